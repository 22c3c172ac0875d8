"""`pycrond init` and `pycrond config`: what is written, and who says what holds."""

import json
import re
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from pycrond import settings
from pycrond.settings import Settings
from tests.conftest import Crond, pycrond


def known(folder: Path, *arguments: str) -> dict[str, Any]:
    document = json.loads(pycrond(folder, "config", "--json", *arguments).stdout)
    return {one["setting"]: (one["value"], one["from"]) for one in document["settings"]}


def test_every_setting_is_shown(tmp_path: Path) -> None:
    lines = pycrond(tmp_path, "config").stdout.splitlines()
    assert lines[0].split() == ["SETTING", "VALUE", "FROM"]
    assert [line.split()[0] for line in lines[1:]] == [setting.key for setting in settings.SETTINGS.values()]
    assert set(known(tmp_path)) == {setting.key for setting in settings.SETTINGS.values()}


@pytest.mark.parametrize("line", ["max-running = 3", '"max-running"=3', "  'max-running' = 3 # why"])
def test_where_each_comes_from(tmp_path: Path, line: str) -> None:
    file = tmp_path / "my.toml"
    file.write_text(f"# max-running = 9\nwatch = true\n{line}\nsyslog = '/log'\n")
    found = known(tmp_path, "--config", str(file), "--syslog", "/flag", "--log-stderr")
    assert found["max-running"] == (3, f"{file}:3")
    assert found["watch"] == (True, f"{file}:2")
    assert found["syslog"] == ("/flag", "--syslog")
    assert found["log-stderr"] == (True, "--log-stderr")
    assert found["state-dir"] == (str(tmp_path), "PYCROND_STATE_DIR")
    assert found["dialect"] == ("auto", "default")


def test_what_the_latest_daemon_was_started_with(tmp_path: Path) -> None:
    """As it is recorded for other commands."""
    (tmp_path / "settings").write_text(
        f"--crontabs=/c\n--state-dir={tmp_path}\n--runtime-dir=/r\n--pidfile=/p\n--watch=yes"
    )
    found = known(tmp_path)
    assert found["watch"] == (True, "latest daemon")
    assert found["runtime-dir"] == ("/r", "latest daemon")
    assert found["syslog"] == ("/dev/log", "default")
    assert found["state-dir"] == (str(tmp_path), "PYCROND_STATE_DIR")


def test_a_value_that_is_not_allowed_is_told(tmp_path: Path) -> None:
    assert "is not one of" in pycrond(tmp_path, "config", "--dialect", "vixie", status=1).stderr


def test_init_writes_what_start_takes(crond: Crond) -> None:
    folder = crond.folder / "new"
    del crond.environment["PYCROND_CRONTABS"]
    said = crond.run("init", "--directory", str(folder)).stdout
    assert f"wrote {folder}/pycrond.toml\nwrote {folder}/crontabs/first\n" in said
    config = f"--config {folder}/pycrond.toml"
    assert f"pycrond start {config};" in said
    assert crond.run("check", *config.split()).stdout == ""
    assert crond.run("config", *config.split(), "--json").stdout.count(f"{folder}/pycrond.toml:") == 1


def test_init_overwrites_nothing(tmp_path: Path) -> None:
    (tmp_path / "pycrond.toml").symlink_to("/nowhere")
    said = pycrond(tmp_path, "init", "--directory", ".", status=1).stderr
    assert said == f"pycrond: {tmp_path}/pycrond.toml is there already\n"
    assert not (tmp_path / "crontabs").exists()


def test_every_setting_stands_there_with_its_default(tmp_path: Path) -> None:
    pycrond(tmp_path, "init", "--directory", "d")
    text = (tmp_path / "d/pycrond.toml").read_text()
    document = tomllib.loads(re.sub(r"^# (?=[a-z-]+ = )", "", text, flags=re.MULTILINE))
    found = settings.settle([settings.from_toml(document, "f")])
    for one in fields(Settings):
        assert one.metadata["help"] in re.sub(r"\n# ", " ", text)
        if one.name not in {"crontabs", "state_dir", "runtime_dir", "pidfile"}:
            assert getattr(found, one.name) == one.default
    assert tomllib.loads(text) == {"crontabs": ["crontabs"]}


def test_the_examples_are_right_once_the_comment_signs_are_gone(tmp_path: Path) -> None:
    pycrond(tmp_path, "init", "--directory", "d")
    text = (tmp_path / "d/crontabs/first").read_text()
    active = re.sub(r"^# (?=#:|[0-9*@]|[A-Z_]+=)", "", text, flags=re.MULTILINE)
    (tmp_path / "active").write_text(active)
    done = pycrond(tmp_path, "check", "active", "--verbose", "--ignore", "missing-program,without-effect")
    assert done.stdout == "active: 6 valid entries\n"  # one is the line that names the fields
