"""The keeper, seen from outside, when its daemon dies; and a daemon whose keeper has died."""

import itertools
import os
import signal
import socket
import sys
import time

import pytest

from pycrond.control.client import connect
from pycrond.keeper.lock import acquire_lock
from pycrond.output.spool import Spool
from tests.conftest import Crond, alive, children, wait_until
from tests.support import proc
from tests.support.rsyslog import Rsyslogd

pytestmark = pytest.mark.daemon


@pytest.fixture
def started(crond: Crond) -> Crond:
    crond.write("jobs", "0 0 1 1 * true\n")
    crond.run("start")
    return crond


def test_the_keeper_starts_a_killed_daemon_again(started: Crond) -> None:
    keeper, first = started.keeper, started.pid
    second = started.crash()
    assert started.keeper == keeper, "the pidfile names the new daemon, a child of the same keeper"
    assert started.programs("daemon") == [second]
    assert not proc.exists(first), "the old daemon was reaped"


def test_the_reason_for_a_new_daemon_is_logged(crond: Crond, rsyslogd: Rsyslogd) -> None:
    crond.environment["PYCROND_SYSLOG"] = rsyslogd.path
    crond.run("start")
    second = crond.crash()
    wait_until(lambda: any(f"pycrond[{second}]" in line and "signal 9" in line for line in rsyslogd.lines()))


def test_an_orphan_of_a_job_becomes_the_keepers_child_and_is_reaped(crond: Crond) -> None:
    orphan_file = crond.directory / "orphan"
    crond.write("jobs", f"HOME={crond.directory}\n@reboot setsid sleep 1000 & echo $! >new; mv new orphan\n")
    crond.run("start")
    wait_until(lambda: orphan_file.exists() and crond.runs()[0].state == "succeeded")
    orphan = int(orphan_file.read_text())
    wait_until(lambda: proc.stat(orphan).parent == crond.keeper)
    os.kill(orphan, signal.SIGKILL)
    wait_until(lambda: not proc.exists(orphan))


def test_orphans_of_a_dead_daemon_become_the_keepers_children(crond: Crond) -> None:
    crond.write("jobs", f"HOME={crond.directory}\n@reboot exec sleep 1000\n")
    crond.run("start")
    keeper = crond.keeper
    wait_until(lambda: crond.runs()[0].pid)
    job = crond.runs()[0].pid
    assert job
    crond.crash()
    assert proc.stat(job).parent == keeper
    os.kill(job, signal.SIGKILL)
    wait_until(lambda: not proc.exists(job))
    wait_until(lambda: crond.runs()[0].state not in {"running", "claimed"})


def test_the_keeper_holds_the_lock_also_without_a_daemon(started: Crond) -> None:
    keeper, daemon = started.keeper, started.pid
    assert acquire_lock(str(started.state)) is None
    os.kill(keeper, signal.SIGSTOP)
    os.kill(daemon, signal.SIGKILL)
    wait_until(lambda: not alive(daemon))
    assert acquire_lock(str(started.state)) is None
    os.kill(keeper, signal.SIGCONT)
    started.next_daemon(daemon)


def test_the_keeper_answers_a_second_start_with_the_daemons_pid(started: Crond) -> None:
    pid = started.pid
    done = started.run("start", status=1)
    assert done.stderr.startswith(f"pycrond: already running, pid {pid}")
    assert started.pid == pid


def test_a_start_while_the_daemon_is_dead_waits_for_the_next_daemon(started: Crond) -> None:
    first = started.pid
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: not proc.exists(first))
    done = started.run("start", status=None)
    assert started.pid != first
    assert done.stdout.startswith(f"pycrond started, pid {started.pid}:") or (
        done.stderr.startswith(f"pycrond: already running, pid {started.pid}")
    )


def test_after_a_stop_the_keeper_is_gone(started: Crond) -> None:
    keeper, daemon = started.keeper, started.pid
    started.run("stop")
    assert not alive(keeper)
    assert not alive(daemon)
    assert not started.pidfile.exists()
    assert list(started.runtime.glob("*.sock")) == []
    lock = acquire_lock(str(started.state))
    assert lock is not None
    os.close(lock)


def test_the_keeper_uses_little_memory(started: Crond) -> None:
    limit = 12 if sys.version_info < (3, 12) else 13  # MiB; Python itself takes more
    assert int(proc.status(started.keeper, "VmRSS").removesuffix(" kB")) < limit * 1024


def test_a_client_that_sends_nothing_or_garbage_does_no_harm(started: Crond) -> None:
    path = str(started.runtime / "keeper.sock")
    with connect(path, 5.0), connect(path, 5.0) as garbage:
        garbage.sendall(b"\0\xff" * 1000)
        assert "already running" in started.run("start", status=1).stderr
    with connect(path, 5.0) as client:
        client.sendall(b"start")  # and disconnects before the answer
    assert alive(started.keeper)
    started.run("stop")


def test_only_its_user_may_connect_to_the_keepers_socket(started: Crond) -> None:
    assert (started.runtime / "keeper.sock").stat().st_mode & 0o777 == 0o600


# A daemon that cannot start


@pytest.fixture
def broken(started: Crond) -> Crond:
    """A pycrond whose ledger was replaced by a directory, and whose daemon has died."""
    ledger = started.state / "ledger"
    ledger.rename(started.state / "good")
    for leftover in started.state.glob("ledger-*"):
        leftover.rename(started.state / leftover.name.replace("ledger", "good"))
    ledger.mkdir()
    daemon = started.pid
    os.kill(daemon, signal.SIGKILL)
    wait_until(lambda: not proc.exists(daemon))
    return started


def repair(crond: Crond) -> None:
    (crond.state / "ledger").rmdir()
    for good in crond.state.glob("good*"):
        good.rename(crond.state / good.name.replace("good", "ledger"))


def next_child(parent: int, seen: set[int]) -> float:
    """Wait for a new child of a process, add it to `seen` and return the time in seconds."""
    wait_until(lambda: set(children(parent)) - seen)
    seen |= set(children(parent))
    return time.monotonic()


def test_a_daemon_that_always_dies_is_started_again_after_growing_intervals(broken: Crond) -> None:
    keeper = broken.programs("keeper")[0]
    seen: set[int] = set()
    times = [next_child(keeper, seen) for _ in range(4)]
    intervals = [after - before for before, after in itertools.pairwise(times)]
    # 0.4, 0.8, 1.6 s, each after the same short life; or twice that, if the first interval was already over.
    assert intervals[0] < intervals[1] < intervals[2]
    assert intervals[2] > 1.5


def test_the_daemon_runs_again_after_the_repair(broken: Crond) -> None:
    keeper = broken.programs("keeper")[0]
    seen: set[int] = set()
    for _ in range(3):
        next_child(keeper, seen)
    repair(broken)
    wait_until(broken.status)
    assert broken.keeper == keeper
    assert len(broken.json("list")["jobs"]) == 1


def test_a_start_reports_the_error_and_does_not_wait_for_the_next_attempt(broken: Crond) -> None:
    wait_until(lambda: not broken.programs("daemon"))
    stderr = broken.run("start", status=1).stderr
    assert stderr.startswith("pycrond: not started: ")
    assert str(broken.state / "ledger") in stderr
    repair(broken)
    outputs: list[str] = []

    def has_started() -> bool:
        done = broken.run("start", status=None)
        outputs.append(done.stdout + done.stderr)
        return broken.status() is not None

    wait_until(has_started)  # an attempt that began before the repair may still fail
    # On a busy machine the keeper's own attempt can be the first.
    started, running = f"pycrond started, pid {broken.pid}:", f"pycrond: already running, pid {broken.pid}"
    assert outputs[-1].startswith((started, running)), outputs


def test_a_stop_ends_the_attempts(broken: Crond) -> None:
    keeper = broken.programs("keeper")[0]
    next_child(keeper, set())
    broken.run("stop")
    assert not alive(keeper)
    assert broken.programs("daemon") == []


def test_a_daemon_that_fails_at_its_first_start_is_not_started_again(crond: Crond) -> None:
    (crond.state / "ledger").mkdir(parents=True)
    crond.state.chmod(0o700)
    stderr = crond.run("start", status=1).stderr
    assert str(crond.state / "ledger") in stderr
    wait_until(lambda: not crond.programs("keeper"))
    assert crond.programs("daemon") == []
    (crond.state / "ledger").rmdir()
    crond.run("start")


# A daemon without a keeper


@pytest.fixture
def orphaned(started: Crond) -> Crond:
    keeper, daemon = started.keeper, started.pid
    os.kill(keeper, signal.SIGKILL)
    wait_until(lambda: proc.stat(daemon).parent != keeper)
    return started


def test_without_its_keeper_a_daemon_continues(orphaned: Crond) -> None:
    pid = orphaned.pid
    orphaned.write("more", "0 0 1 1 * false\n")
    assert "2 jobs" in orphaned.run("reload").stdout
    assert orphaned.json("status")["pid"] == pid


def test_without_its_keeper_a_daemon_prevents_a_second_daemon(orphaned: Crond) -> None:
    pid = orphaned.pid
    started_at = time.monotonic()
    assert orphaned.run("start", status=1).stderr.startswith(f"pycrond: already running, pid {pid}")
    assert time.monotonic() - started_at < 5.0
    assert orphaned.programs("daemon") == [pid]


def test_without_its_keeper_a_daemon_can_be_stopped(orphaned: Crond) -> None:
    pid = orphaned.pid
    assert orphaned.run("stop").stdout == f"pycrond stopped, pid {pid}\n"
    assert not alive(pid)
    assert not orphaned.pidfile.exists()
    orphaned.run("status", status=3)


def test_without_its_keeper_a_daemon_can_be_restarted(orphaned: Crond) -> None:
    pid = orphaned.pid
    orphaned.run("restart")
    assert orphaned.pid != pid
    assert orphaned.programs("keeper") == [orphaned.keeper]


def test_after_both_were_killed_a_start_succeeds(started: Crond) -> None:
    keeper, daemon = started.keeper, started.pid
    os.kill(keeper, signal.SIGKILL)
    os.kill(daemon, signal.SIGKILL)
    wait_until(lambda: not alive(daemon) and not alive(keeper))
    assert started.pidfile.exists()
    with pytest.raises(OSError, match="refused"), socket.socket(socket.AF_UNIX) as client:
        os.chdir(started.runtime)  # a socket's name is 108 bytes at most
        client.connect("keeper.sock")
    started.run("status", status=3)
    started.run("start")
    assert started.pid != daemon


def test_without_a_daemon_an_output_is_stored_up_to_a_limit_and_nothing_is_lost(crond: Crond) -> None:
    """Beyond 16 MiB it stays in the pipe, and the job waits: only a daemon knows how much may be stored."""
    done, spool = crond.directory / "done", crond.state / "spool" / "0"
    lines = (
        "until [ -e go ]; do sleep 0.05; done; yes | tr -d '\\n' | head -c 30000000 | fold -w 999; touch done"
    )
    crond.write("jobs", f"HOME={crond.directory}\n@reboot {lines}\n")
    crond.run("start")
    run = crond.runs()[0].id
    crond.run("stop")
    (crond.directory / "go").touch()
    wait_until(lambda: (spool / f"{run}.16").exists() and (spool / f"{run}.16").stat().st_size)
    wait_until(lambda: len(os.listdir(spool)) == 17)
    assert not done.exists()
    crond.run("start")
    wait_until(lambda: crond.runs()[0].state == "succeeded")
    printed = 30000000 + 30000000 // 999
    wait_until(lambda: crond.runs()[0].bytes == printed)


def test_lines_that_the_keeper_reads_have_their_times(crond: Crond) -> None:
    step = "until [ -e {0} ]; do sleep 0.02; done; echo {0}"
    crond.write("jobs", f"HOME={crond.directory}\n@reboot echo 0; {step.format(1)}; {step.format(2)}\n")
    crond.run("start")
    directory, run = str(crond.state / "spool"), crond.runs()[0].id
    wait_until(lambda: Spool(directory, run).size == 2)
    crond.run("stop")
    for number in (1, 2):
        time.sleep(0.02)  # more than the interval between two times
        (crond.directory / str(number)).touch()
        wait_until(lambda end=2 * number + 2: Spool(directory, run).size == end)  # type: ignore[misc]
    crond.run("start")
    wait_until(lambda: crond.runs()[0].state == "succeeded")
    marks = Spool(directory, run).times(0, 6)
    assert [offset for offset, _ in marks] == [0, 2, 4]
    assert sorted({at for _, at in marks}) == [at for _, at in marks]
