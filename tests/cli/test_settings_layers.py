"""Where a command looks for the daemon: the user's own, or root's, which users may ask for their own jobs."""

import os
from pathlib import Path

import pytest

from pycrond.cli.parser import build_parser
from pycrond.cli.settings_layers import load_settings
from pycrond.hashing import digest
from pycrond.settings import Settings


def short(state_dir: Path | str) -> str:
    return digest(os.fsencode(os.path.realpath(state_dir)), 6)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's, who is not root."""
    for name in [name for name in os.environ if name.startswith(("PYCROND_", "XDG_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(os, "geteuid", lambda: 65534)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "session"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def found(*arguments: str) -> Settings:
    return load_settings(build_parser().parse_args(["list", *arguments]))


def test_a_users_own(home: Path) -> None:
    state = home / ".local/state/pycrond"
    at = found()
    assert (at.state_dir, at.runtime_dir) == (str(state), f"{home}/session/pycrond/{short(state)}")


@pytest.mark.parametrize("how", ["flag", "variable"])
def test_the_systems(home: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    if how == "variable":
        monkeypatch.setenv("PYCROND_SYSTEM", "yes")
    at = found(*["--system"] * (how == "flag"))
    state = "/var/lib/pycrond"
    assert (at.state_dir, at.runtime_dir) == (state, f"/run/pycrond/{short(state)}")
    assert at.pidfile == "/run/pycrond.pid"
    assert found("--no-system").state_dir != state


def test_a_state_directory_of_roots(home: Path) -> None:
    """Whichever that is: the root directory is one that everybody has."""
    at = found("--state-dir", "/")
    assert at.runtime_dir == f"/run/pycrond/{short('/')}"
    (home / "own").mkdir()
    os.chown(home / "own", 65534 if os.getuid() == 0 else -1, -1)
    assert found("--state-dir", f"{home}/own").runtime_dir == f"{home}/session/pycrond/{short(home / 'own')}"


def test_what_may_not_be_read_is_left_out(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: str, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr("builtins.open", refused)
    assert found("--system").state_dir == "/var/lib/pycrond"
