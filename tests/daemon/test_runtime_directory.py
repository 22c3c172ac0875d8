"""The runtime directory: no other daemon uses it, and it is made again when somebody removes it."""

import os
import shutil
from pathlib import Path

import pytest

from pycrond.cli import health
from pycrond.daemon import runtime_directory
from pycrond.errors import PycrondError
from pycrond.keeper.lock import acquire_lock, claim_runtime_dir
from tests.conftest import Crond, wait_until
from tests.support.loop import Loop


@pytest.fixture
def without_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime_directory, "CHECK_INTERVAL", 0.0)


@pytest.mark.usefixtures("without_interval")
@pytest.mark.parametrize("part", ["", "fifo", "control.sock", "starts"])
def test_a_part_that_is_removed_is_made_again(loop: Loop, part: str) -> None:
    loop.begin("* * * * * echo hello\n")
    runtime = Path(loop.settings.runtime_dir)
    removed = runtime / part
    shutil.rmtree(removed) if removed.is_dir() else removed.unlink()
    loop.minutes()
    loop.until(lambda: [run.state for run in loop.runs()] == ["succeeded"])
    loop.minutes()
    assert {"fifo", "control.sock", "starts"} <= {*os.listdir(runtime)}
    assert loop.daemon.subsystems.runs.journal.is_in_place
    assert (runtime / "starts").stat().st_size > 0
    loop.log.read()
    errors = [f"the runtime directory {runtime} was removed, in part or whole, and is made again"]
    assert loop.log.details("ERROR") == (errors if part != "fifo" else []), "the next start makes that again"


@pytest.mark.usefixtures("without_interval")
def test_a_directory_that_cannot_be_made_again_is_reported_once(loop: Loop) -> None:
    loop.begin("* * * * * true\n")
    runtime = Path(loop.settings.runtime_dir)
    shutil.rmtree(runtime)
    runtime.touch()
    loop.minutes(3)
    loop.log.read()
    assert len([line for line in loop.log.details("ERROR") if "cannot be made again" in line]) == 1
    assert loop.daemon.subsystems.runs.launcher.trouble
    runtime.unlink()
    loop.minutes(2)
    loop.until(lambda: loop.runs()[-1].state == "succeeded")
    assert not loop.daemon.subsystems.runs.launcher.trouble


def test_a_daemon_that_cannot_start_jobs_is_not_healthy() -> None:
    answer = {"version": "1", "minute": 0.0, "lateness_ms": {"worst_recent": None}, "jobs": 1, "running": 0}
    disk = {"waiting_bytes": 0, "trouble": None, "ledger": None}
    answer |= {"errors": 0, "stopping": False, "files": 1, "disk": disk, "keeper": True, "kept": []}
    assert health.judge(answer, 1.0, 60.0).status == health.Status.HEALTHY
    judged = health.judge(answer | {"start_trouble": "No such file or directory"}, 1.0, 60.0)
    assert judged.status == health.Status.LATE
    assert judged.text == "jobs cannot be started (No such file or directory)"


def test_a_runtime_directory_belongs_to_one_daemon(tmp_path: Path) -> None:
    for name in ("run", "one", "two"):
        (tmp_path / name).mkdir()
    run, one, two = (str(tmp_path / name) for name in ("run", "one", "two"))
    (tmp_path / "link").symlink_to(one)
    lock = acquire_lock(one)
    assert lock is not None
    for state in (one, f"{tmp_path}/link", one):
        claim_runtime_dir(run, state)
    with pytest.raises(
        PycrondError, match=f"in use by the daemon with --state-dir {one}; give this one its own"
    ):
        claim_runtime_dir(run, two)
    os.close(lock)
    claim_runtime_dir(run, two)
    shutil.rmtree(two)
    claim_runtime_dir(run, one)


def test_a_second_daemon_with_the_same_runtime_directory_is_refused(crond: Crond) -> None:
    crond.write("jobs", "@reboot echo one\n")
    crond.run("start")
    options = ("--state-dir", f"{crond.directory}/other", "--pidfile", f"{crond.directory}/pid2")
    refused = crond.run("start", *options, status=1)
    assert f"{crond.runtime} is in use by the daemon with --state-dir {crond.state}" in refused.stderr
    assert (crond.status() or {})["pid"] == crond.pid
    crond.run("stop")
    crond.run("start", *options)
    crond.run("stop", *options)


def test_a_stop_without_a_control_socket(crond: Crond) -> None:
    crond.write("jobs", "")
    crond.run("start")
    pid = crond.pid
    (crond.runtime / "control.sock").unlink()
    crond.run("stop")
    wait_until(lambda: not os.path.exists(f"/proc/{pid}"))
    assert not (crond.state / "crash").exists()
