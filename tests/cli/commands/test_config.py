"""The commands init and config: the files that are written, the values in force and their origin."""

import json
import os
import re
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from pycrond import settings
from pycrond.cli.settings_layers import from_toml
from pycrond.keeper.lock import acquire_lock
from pycrond.setting_values import settle
from pycrond.settings import Settings
from tests.conftest import Crond, pycrond


def known_values(directory: Path, *arguments: str) -> dict[str, Any]:
    document = json.loads(pycrond(directory, "config", "--json", *arguments).stdout)
    return {row["setting"]: (row["value"], row["from"]) for row in document["settings"]}


def test_every_setting_is_shown(tmp_path: Path) -> None:
    lines = pycrond(tmp_path, "config").stdout.splitlines()
    assert lines[0].split() == ["SETTING", "VALUE", "FROM"]
    assert [line.split()[0] for line in lines[1:]] == [setting.key for setting in settings.SETTINGS.values()]
    assert set(known_values(tmp_path)) == {setting.key for setting in settings.SETTINGS.values()}


@pytest.mark.parametrize("line", ["max-running = 3", '"max-running"=3', "  'max-running' = 3 # why"])
def test_the_origin_of_each_value(tmp_path: Path, line: str) -> None:
    file = tmp_path / "my.toml"
    file.write_text(f"# max-running = 9\nwatch = true\n{line}\nsyslog = '/log'\n")
    known_settings = known_values(tmp_path, "--config", str(file), "--syslog", "/flag", "--log-stderr")
    assert known_settings["max-running"] == (3, f"{file}:3")
    assert known_settings["watch"] == (True, f"{file}:2")
    assert known_settings["syslog"] == ("/flag", "--syslog")
    assert known_settings["log-stderr"] == (True, "--log-stderr")
    assert known_settings["state-dir"] == (str(tmp_path), "PYCROND_STATE_DIR")
    assert known_settings["dialect"] == ("auto", "default")


def test_settings_of_the_running_daemon(tmp_path: Path) -> None:
    """The state directory has these settings, by which commands find the daemon; only flags precede them."""
    (tmp_path / "settings").write_text(
        f"--crontabs=/c\n--state-dir={tmp_path}\n--runtime-dir=/r\n--pidfile=/p\n--watch=yes"
    )
    file = tmp_path / "my.toml"
    file.write_text("watch = true\nmax-running = 3\nspool-limit = 4096\n")
    options = "--config", str(file), "--dialect", "debian"
    lock = acquire_lock(str(tmp_path))
    assert lock is not None
    try:
        running = known_values(tmp_path, *options)
    finally:
        os.close(lock)
    assert running["runtime-dir"] == ("/r", "running daemon")
    assert running["watch"] == (True, f"{file}:1")
    assert running["max-running"] == (0, f"running daemon; {file}:2 differs")
    assert running["spool-limit"] == (4096, f"{file}:3")
    assert running["syslog-facility"] == ("cron", "default")
    assert running["state-dir"] == (str(tmp_path), "PYCROND_STATE_DIR")
    assert running["dialect"] == ("debian", "--dialect")
    stopped = known_values(tmp_path, *options)
    assert stopped["max-running"] == (3, f"{file}:2")
    assert stopped["runtime-dir"][1] == "default"
    assert stopped["crontabs"][0] != ["/c"], "as a start would read them"


def test_a_value_that_is_not_allowed_is_an_error(tmp_path: Path) -> None:
    assert "is not one of" in pycrond(tmp_path, "config", "--dialect", "vixie", status=1).stderr


def test_init_writes_files_that_start_accepts(crond: Crond) -> None:
    directory = crond.directory / "new"
    del crond.environment["PYCROND_CRONTABS"]
    stdout = crond.run("init", "--directory", str(directory)).stdout
    assert f"wrote {directory}/pycrond.toml\nwrote {directory}/crontabs/first\n" in stdout
    config = f"--config {directory}/pycrond.toml"
    assert f"pycrond start {config};" in stdout
    assert crond.run("check", *config.split()).stdout == "ok: 1 job in 1 file\n"
    assert crond.run("config", *config.split(), "--json").stdout.count(f"{directory}/pycrond.toml:") == 1


def test_init_overwrites_nothing(tmp_path: Path) -> None:
    (tmp_path / "pycrond.toml").symlink_to("/nowhere")
    stderr = pycrond(tmp_path, "init", "--directory", ".", status=1).stderr
    assert stderr == f"pycrond: {tmp_path}/pycrond.toml exists already\n"
    assert not (tmp_path / "crontabs").exists()


def test_init_writes_every_setting_with_its_default(tmp_path: Path) -> None:
    pycrond(tmp_path, "init", "--directory", "d")
    text = (tmp_path / "d/pycrond.toml").read_text()
    document = tomllib.loads(re.sub(r"^# (?=[a-z-]+ = )", "", text, flags=re.MULTILINE))
    read = settle([from_toml(document, "f")])
    for field in fields(Settings):
        assert field.metadata["help"] in re.sub(r"\n# ", " ", text)
        if field.name not in {"crontabs", "state_dir", "runtime_dir", "pidfile"}:
            assert getattr(read, field.name) == field.default
    assert tomllib.loads(text) == {"crontabs": ["crontabs"]}


def test_the_examples_of_init_have_no_errors(tmp_path: Path) -> None:
    pycrond(tmp_path, "init", "--directory", "d")
    text = (tmp_path / "d/crontabs/first").read_text()
    active = re.sub(r"^# (?=#:|[0-9*@]|[A-Z_]+=)", "", text, flags=re.MULTILINE)
    (tmp_path / "active").write_text(active)
    done = pycrond(tmp_path, "check", "active", "--verbose", "--ignore", "missing-program,without-effect")
    assert (
        done.stdout == "active: 6 valid entries\nok: 6 jobs in 1 file\n"
    )  # one is the line that names the fields
