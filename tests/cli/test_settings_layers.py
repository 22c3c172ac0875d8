"""The location of the daemon: the user's own, or root's, which users may ask about their own jobs."""

import os
from pathlib import Path

import pytest

from pycrond import settings
from pycrond.cli import settings_layers
from pycrond.cli.cluster.access import conninfo_of
from pycrond.cli.parser import build_parser
from pycrond.cli.settings_layers import from_environment, from_toml, load_settings
from pycrond.errors import PycrondError
from pycrond.hashing import digest
from pycrond.settings import Settings


def short(state_dir: Path | str) -> str:
    return digest(os.fsencode(os.path.realpath(state_dir)), 6)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home directory of a user other than root."""
    for name in [name for name in os.environ if name.startswith(("PYCROND_", "XDG_"))]:
        monkeypatch.delenv(name)
    own = os.geteuid() or 65534
    monkeypatch.setattr(os, "geteuid", lambda: own)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "session"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def locate(*arguments: str) -> Settings:
    return load_settings(build_parser().parse_args(["list", *arguments]))


def test_a_users_own_daemon(home: Path) -> None:
    state = home / ".local/state/pycrond"
    settings = locate()
    assert (settings.state_dir, settings.runtime_dir) == (
        str(state),
        f"{home}/session/pycrond/{short(state)}",
    )


@pytest.mark.parametrize("how", ["flag", "variable"])
def test_the_daemon_of_the_system(home: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    if how == "variable":
        monkeypatch.setenv("PYCROND_SYSTEM", "yes")
    settings = locate(*["--system"] * (how == "flag"))
    state = "/var/lib/pycrond"
    assert (settings.state_dir, settings.runtime_dir) == (state, f"/run/pycrond/{short(state)}")
    assert settings.pidfile == "/run/pycrond.pid"
    assert locate("--no-system").state_dir != state


def test_messages_go_to_the_journal_where_journald_runs(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The start of systemd, a restart, and `config` without a daemon get the same answer."""
    monkeypatch.setattr(settings, "JOURNAL_SOCKET", str(home / "socket"))
    assert locate().syslog == "/dev/log"
    (home / "socket").touch()
    assert locate().syslog == "journal"
    monkeypatch.setenv("PYCROND_SYSLOG", "/dev/log")
    assert locate().syslog == "/dev/log"


def test_a_state_directory_that_belongs_to_root(home: Path) -> None:
    """The root directory, which exists on every machine, is such a directory."""
    settings = locate("--state-dir", "/")
    assert settings.runtime_dir == f"/run/pycrond/{short('/')}"
    (home / "own").mkdir()
    os.chown(home / "own", 65534 if os.getuid() == 0 else -1, -1)
    assert locate("--state-dir", f"{home}/own").runtime_dir == f"{home}/session/pycrond/{short(home / 'own')}"


def test_the_clusters_connection_string(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = build_parser().parse_args(["list"])
    with pytest.raises(PycrondError, match="there is no cluster: set 'cluster'"):
        conninfo_of(load_settings(options))
    file = home / "pycrond.toml"
    file.write_text('cluster = "host=db password=x"\nnode-labels = ["web"]\n')
    file.chmod(0o600)
    monkeypatch.setenv("PYCROND_CONFIG", str(file))
    assert conninfo_of(load_settings(options)) == "host=db password=x"
    monkeypatch.setenv("PYCROND_CLUSTER", "postgresql://u:y@db")
    assert conninfo_of(load_settings(options)) == "postgresql://u:y@db"


@pytest.mark.parametrize("command", [("history", "--cluster"), ("cluster", "status")])
def test_the_cluster_of_another_users_daemon(
    home: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    options = build_parser().parse_args([*command, "--state-dir", str(home)])
    assert not load_settings(options).cluster, "no daemon has run here"

    def refused(state_dir: str) -> None:
        raise PermissionError(13, "Permission denied", state_dir)

    monkeypatch.setattr(settings_layers, "read_recorded_arguments", refused)
    with pytest.raises(PycrondError, match="only root and the daemon's own user may do that"):
        load_settings(options)
    assert locate("--state-dir", str(home)).state_dir == str(home), "list needs no cluster"
    monkeypatch.setenv("PYCROND_CLUSTER", "host=db")
    assert load_settings(options).cluster == "host=db"


def test_recorded_settings_that_are_not_readable_are_ignored(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: str, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr("builtins.open", refused)
    assert locate("--system").state_dir == "/var/lib/pycrond"


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"PYCROND_STATE_DIR": "/x", "HOME": "/h"}, {"state_dir": "/x"}),
        ({"PYCROND_CRONTABS": "/a:/b"}, {"crontabs": ("/a", "/b")}),
        ({"PYCROND_CRONTABS": ":/a::"}, {"crontabs": ("/a",)}),  # "" would be the working directory
        ({"PYCROND_CRONTABS": ":"}, {}),
        ({"PYCROND_STATE_DIR": ""}, {}),
        ({"PYCROND_SYSLOG_FORMAT": "rfc5424"}, {"syslog_format": "rfc5424"}),
        ({"PYCROND_JOB": "a job's own", "PYCROND_RUN": "5"}, {}),
    ],
)
def test_the_environment(environ: dict[str, str], expected: dict[str, object]) -> None:
    assert from_environment(environ) == expected


def test_the_file() -> None:
    layer = from_toml({"state-dir": "/x", "crontabs": ["/a"], "log-console": True}, "f")
    assert layer == {"state_dir": "/x", "crontabs": ["/a"], "log_console": True}


@pytest.mark.parametrize("key", ["state_dir", "State-Dir", "pid-file", ""])
def test_a_typo_in_the_file_is_an_error(key: str) -> None:
    with pytest.raises(PycrondError, match=rf"^/p.toml: unknown setting '{key}' \(known: crontabs, state-"):
        from_toml({key: "x"}, "/p.toml")
