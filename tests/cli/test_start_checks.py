"""The checks before a start: other crontabs than before, and another cron."""

import argparse
import os
from pathlib import Path

import pytest

from pycrond.cli import start_checks
from pycrond.cli.doctor import probe
from pycrond.cli.doctor.probe import Process
from pycrond.cli.parser import build_parser
from pycrond.cli.settings_layers import layers, record_settings
from pycrond.errors import PycrondError
from pycrond.setting_values import settle
from pycrond.settings import Settings


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with ./crontabs, a state directory beside it, and no settings in the environment."""
    for name in [name for name in os.environ if name.startswith("PYCROND_")]:
        monkeypatch.delenv(name)
    for name in ("one/crontabs", "two/crontabs", "state"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.setenv("PYCROND_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path / "one")
    return tmp_path


def parsed(*arguments: str) -> argparse.Namespace:
    return build_parser().parse_args(["start", *arguments])


def check(*arguments: str) -> None:
    given = layers(parsed(*arguments), daemon="")
    start_checks.check_same_crontabs(settle(given.values()), given, parsed(*arguments))


def latest(*arguments: str) -> None:
    record_settings(settle(layers(parsed(*arguments), daemon="").values()))


def test_another_working_directory_has_other_crontabs(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check()  # a new state directory
    latest()
    check()
    monkeypatch.chdir(here / "two")
    with pytest.raises(PycrondError) as error:
        check()
    assert str(error.value) == (
        f"not started: {here}/state was last used with the crontabs {here}/one/crontabs, and now with"
        f" {here}/two/crontabs (./crontabs of the working directory); give --crontabs {here}/one/crontabs to use"
        " the former, or --yes to use the latter"
    )
    check("--crontabs", "crontabs")
    (here / "two/crontabs").rmdir()
    (here / "two/crontabs").symlink_to(here / "one/crontabs")
    check()  # the same directory by another name


@pytest.mark.parametrize("value", ["crontabs", "{}/two/crontabs"])
def test_a_relative_variable_depends_on_the_working_directory(
    here: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    latest()
    monkeypatch.chdir(here / "two")
    monkeypatch.setenv("PYCROND_CRONTABS", value.format(here))
    if os.path.isabs(os.environ["PYCROND_CRONTABS"]):
        check()
    else:
        with pytest.raises(PycrondError, match=r"\(PYCROND_CRONTABS\)"):
            check()


def test_after_a_daemon_of_the_system(here: Path) -> None:
    latest("--system", "--root", str(here))
    with pytest.raises(PycrondError, match="give --system to use the former"):
        check()
    check("--system", "--root", str(here))


def test_a_state_directory_whose_record_is_damaged(here: Path) -> None:
    (here / "state/settings").write_text("--no-such-setting=1\n")
    check()


def of_system(root: str) -> Settings:
    return Settings(state_dir="/s", runtime_dir="/r", pidfile="/p", system=True, root=root)


def test_another_cron_with_the_same_crontabs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "processes", lambda: iter([Process(42, "cron", ["/usr/sbin/cron"])]))
    monkeypatch.setattr(probe, "is_of_system", lambda _pid: True)
    with pytest.raises(PycrondError) as error:
        start_checks.check_no_other_cron(of_system("/"))
    assert str(error.value) == (
        "not started: cron (pid 42) runs, and reads the same crontabs: every job would run twice;"
        " stop it (systemctl disable --now cron, or kill 42), or give --beside-cron"
    )
    start_checks.check_no_other_cron(of_system("/srv/image"))
    monkeypatch.setattr(probe, "is_of_system", lambda _pid: False)
    start_checks.check_no_other_cron(of_system("/"))
