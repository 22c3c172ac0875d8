"""The password in the setting `cluster` reaches every daemon, and no other process or user."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pycrond.host.daemon_arguments import read_daemon_arguments
from tests.conftest import SCRIPT, Crond, wait_until

pytestmark = pytest.mark.daemon
PASSWORD = "hunter22"
CONNINFO = f"postgresql://cron:{PASSWORD}@127.0.0.1:1/jobs?connect_timeout=1"
SHOWN = CONNINFO.replace(PASSWORD, "*****")


@pytest.fixture
def started(crond: Crond) -> Iterator[Crond]:
    crond.environment["PYCROND_CLUSTER"] = CONNINFO
    crond.write("jobs", "0 0 1 1 * true\n")
    crond.run("start")
    yield crond
    assert PASSWORD not in arguments(crond)


def arguments(crond: Crond) -> str:
    """Return the arguments of all processes of this daemon."""
    texts = []
    for pid in crond.processes():
        try:
            texts.append(Path(f"/proc/{pid}/cmdline").read_text())
        except OSError:
            continue
    return "\n".join(texts)


def daemon_conninfo(crond: Crond) -> str:
    """Return the connection string that the daemon reads from its arguments."""
    words = Path(f"/proc/{crond.pid}/cmdline").read_text().split("\0")
    own = ("--keeper=", "--lock=", "--after=")
    flags = [word for word in words if word.startswith("--") and not word.startswith(own)]
    return read_daemon_arguments(flags).cluster


def test_only_the_recorded_settings_have_it(started: Crond) -> None:
    assert SHOWN in arguments(started)
    holders = [
        path
        for path in started.directory.rglob("*")
        if path.is_file() and PASSWORD.encode() in path.read_bytes()
    ]
    assert holders == [started.state / "settings"]
    assert holders[0].stat().st_mode & 0o777 == 0o600
    assert daemon_conninfo(started) == CONNINFO


def test_no_command_prints_it(started: Crond) -> None:
    for command in ("config", "config --json", "status --json", "doctor", "check"):
        done = started.run(*command.split(), status=None)
        assert PASSWORD not in done.stdout + done.stderr
        assert (SHOWN in done.stdout) == command.startswith("config")


def test_the_daemon_after_a_killed_one_has_it(started: Crond) -> None:
    first = started.pid
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: (started.status() or {"pid": first})["pid"] != first)
    assert daemon_conninfo(started) == CONNINFO


def test_the_daemon_after_a_restart_in_place_has_it(started: Crond) -> None:
    pid = started.pid
    started.run("restart")
    assert (started.pid, daemon_conninfo(started)) == (pid, CONNINFO)


def test_another_password_needs_another_daemon(started: Crond) -> None:
    pid, changed = started.pid, CONNINFO.replace(PASSWORD, "correct-horse")
    started.environment["PYCROND_CLUSTER"] = changed
    started.run("start", status=1)
    assert daemon_conninfo(started) == CONNINFO, "a start that is refused changes nothing"
    started.run("restart")
    assert started.pid != pid
    assert daemon_conninfo(started) == changed


def test_a_start_while_the_daemon_is_dead_gives_the_next_one_its_password(started: Crond) -> None:
    first, changed = started.pid, CONNINFO.replace(PASSWORD, "correct-horse")
    ledger, elsewhere = started.state / "ledger", started.directory / "ledger"
    ledger.rename(elsewhere)
    ledger.mkdir()
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: "not started" in started.run("start", status=None).stderr)
    ledger.rmdir()
    elsewhere.rename(ledger)
    started.environment["PYCROND_CLUSTER"] = changed
    outputs = [started.run("start", status=None).stdout]
    while not started.status():
        outputs.append(started.run("start", status=None).stdout)
    # On a busy machine the keeper's own attempt can be the first.
    is_started = outputs[-1].startswith("pycrond started")
    assert daemon_conninfo(started) == (changed if is_started else CONNINFO)


def test_doctor_names_a_file_that_others_can_read(crond: Crond) -> None:
    file = crond.directory / "pycrond.toml"
    file.write_text(f'cluster = "{CONNINFO}"\n')
    for mode, is_named in ((0o600, False), (0o640, True), (0o604, True)):
        file.chmod(mode)
        done = crond.run("doctor", "--config", str(file), status=None)
        assert (f"the password of the cluster in {file}" in done.stdout) == is_named
        assert PASSWORD not in done.stdout + done.stderr


def test_in_the_foreground(crond: Crond) -> None:
    process = subprocess.Popen(
        [SCRIPT, "start", "--foreground", f"--cluster={CONNINFO}"],
        env=crond.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    crond.write("jobs", "0 0 1 1 * true\n")
    wait_until(lambda: crond.status() is not None)
    assert PASSWORD not in arguments(crond)
    assert daemon_conninfo(crond) == CONNINFO
    process.terminate()
    assert process.wait() == 0
