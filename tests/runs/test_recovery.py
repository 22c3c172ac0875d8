"""Runs whose daemon dies or stops: they go on, their output arrives, and their exit status is known."""

import os
import re
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.conftest import Crond, alive, wait_until
from tests.support import proc
from tests.support.rsyslog import Rsyslogd

pytestmark = pytest.mark.daemon
NEVER = "0 0 1 1 * true\n"


def job(crond: Crond, script: str, number: int = 1) -> None:
    """Write jobs that wait for the file `go` and then execute the script."""
    line = f"@reboot touch began$$; while ! [ -e go ]; do sleep 0.02; done; {script}\n"
    crond.write("jobs", f"HOME={crond.directory}\n" + "".join(f"#: name=j{n}\n{line}" for n in range(number)))


def have_begun(crond: Crond, number: int = 1) -> bool:
    return len(list(crond.directory.glob("began*"))) == number


def go(crond: Crond) -> None:
    (crond.directory / "go").touch()


def states(crond: Crond) -> set[tuple[str, int | None, int | None]]:
    return {(run.state, run.exit_status, run.signal) for run in crond.runs()}


def segments(crond: Crond) -> list[Path]:
    """Return the files of output, without those of its times."""
    return [path for path in (crond.state / "spool").rglob("*.*") if "times" not in path.parts]


def output(crond: Crond) -> list[str]:
    return sorted(path.read_text() for path in segments(crond))


def kill(crond: Crond) -> int:
    """Kill the daemon and wait until it has ended; return its pid."""
    pid = crond.pid
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not proc.exists(pid))
    return pid


@pytest.mark.parametrize(
    ("script", "end"),
    [
        ("echo out; exit 7", ("failed", 7, None)),
        ("echo out", ("succeeded", 0, None)),
        ("echo out; kill -9 $$", ("failed", None, 9)),
    ],
)
def test_a_run_that_ends_while_the_daemon_is_dead_has_its_status_and_output(
    crond: Crond, script: str, end: tuple[str, int | None, int | None]
) -> None:
    job(crond, script, 20)
    crond.run("start")
    wait_until(lambda: have_begun(crond, 20))
    pid = crond.pid
    os.kill(pid, signal.SIGKILL)
    go(crond)
    crond.next_daemon(pid)
    wait_until(lambda: states(crond) == {end})
    assert output(crond) == ["out\n"] * 20
    assert {run.cpu_s is not None and run.duration_s is not None for run in crond.runs()} == {True}


def test_the_keeper_stores_more_output_than_a_pipe_holds_while_no_daemon_can_start(crond: Crond) -> None:
    """The keeper goes on until the next daemon starts, however long that takes."""
    job(crond, "seq 500000; exit 3")
    crond.run("start")
    wait_until(lambda: have_begun(crond))
    ledger = crond.state / "ledger"
    ledger.rename(crond.state / "good")
    ledger.mkdir()  # no daemon can start
    kill(crond)
    go(crond)
    size = sum(len(str(number)) + 1 for number in range(1, 500001))
    wait_until(lambda: sum(path.stat().st_size for path in segments(crond)) == size)
    ledger.rmdir()
    (crond.state / "good").rename(ledger)
    wait_until(lambda: states(crond) == {("failed", 3, None)})
    kept = sorted(segments(crond), key=lambda path: int(path.suffix[1:]))
    assert "".join(path.read_text() for path in kept).split() == [str(n) for n in range(1, 500001)]


def test_an_adopted_run_that_ends_later_has_its_status_and_output(crond: Crond, rsyslogd: Rsyslogd) -> None:
    crond.environment["PYCROND_SYSLOG"] = rsyslogd.path
    job(crond, "echo late; exit 9", 5)
    crond.run("start")
    wait_until(lambda: have_begun(crond, 5))
    crond.crash()
    assert {run.state for run in crond.runs()} == {"running"}
    go(crond)
    wait_until(lambda: states(crond) == {("failed", 9, None)})
    wait_until(lambda: sum("EXIT" in line and "status=9" in line for line in rsyslogd.lines()) == 5)
    assert sum("CMDOUT (late)" in line for line in rsyslogd.lines()) == 5


def test_after_a_stop_the_keeper_stores_the_output_and_status_of_running_jobs(crond: Crond) -> None:
    job(crond, "echo before; sleep 0.1; echo after; exit 4", 3)
    crond.run("start")
    wait_until(lambda: have_begun(crond, 3))
    pid, keeper = crond.pid, crond.keeper
    done = crond.run("stop")
    assert (
        done.stdout == f"pycrond stopped, pid {pid}; 3 jobs still running, for the next start to take over\n"
    )
    assert alive(keeper)
    assert crond.run("status", status=3).stderr == "pycrond: pycrond is stopped, 3 jobs still running\n"
    assert crond.run("stop", status=3).stderr == "pycrond: pycrond is stopped already, 3 jobs still running\n"
    go(crond)
    wait_until(lambda: not alive(keeper))
    assert crond.run("status", status=3).stderr == "pycrond: pycrond is not running\n"
    assert output(crond) == ["before\nafter\n"] * 3
    crond.write("jobs", NEVER)
    crond.run("start")
    assert states(crond) == {("failed", 4, None)}
    assert not (crond.state / "ends").exists()


def test_a_start_while_jobs_still_run_adopts_them(crond: Crond) -> None:
    job(crond, "exit 6", 2)
    crond.run("start")
    wait_until(lambda: have_begun(crond, 2))
    keeper = crond.keeper
    crond.run("stop")
    assert crond.run("start").stdout.startswith("pycrond started, pid ")
    assert crond.keeper != keeper
    assert alive(keeper), "it is the parent of these jobs, and reports how they end"
    go(crond)
    wait_until(lambda: states(crond) == {("failed", 6, None)})
    wait_until(lambda: not alive(keeper))


def test_the_keeper_does_not_wait_for_a_process_that_a_job_left_behind(crond: Crond) -> None:
    crond.write("jobs", f"HOME={crond.directory}\n@reboot sleep 1000 & echo $! >stray\n")
    crond.run("start")
    wait_until(lambda: [run.state for run in crond.runs()] == ["succeeded"])
    keeper = crond.keeper
    crond.run("stop")
    assert not alive(keeper)
    assert alive(int((crond.directory / "stray").read_text()))


def test_a_daemon_without_its_keeper_logs_an_error_and_goes_on(crond: Crond, rsyslogd: Rsyslogd) -> None:
    crond.environment["PYCROND_SYSLOG"] = rsyslogd.path
    job(crond, "exit 8")
    crond.run("start")
    wait_until(lambda: have_begun(crond))
    pid = crond.pid
    os.kill(crond.keeper, signal.SIGKILL)
    wait_until(lambda: any("the keeper is gone" in line for line in rsyslogd.lines()))
    go(crond)
    wait_until(lambda: states(crond) == {("failed", 8, None)})
    assert crond.pid == pid


def test_a_daemon_with_a_new_keeper_gets_the_status_of_an_adopted_run_from_the_kernel(crond: Crond) -> None:
    """Keeper and daemon were killed: the run is a child of init, and only a pidfd has its exit status."""
    job(crond, "exit 8")
    crond.run("start")
    wait_until(lambda: have_begun(crond))
    os.kill(crond.keeper, signal.SIGKILL)
    kill(crond)
    crond.write("jobs", NEVER)
    crond.run("start")
    assert {run.state for run in crond.runs()} == {"running"}
    go(crond)
    wait_until(lambda: states(crond).isdisjoint({("running", None, None)}))
    newer = tuple(map(int, re.findall(r"\d+", os.uname().release)[:2])) >= (6, 15)
    known = {("failed", 8, None)}
    assert states(crond) == known or (not newer and states(crond) == {("unknown", None, None)})


def test_the_keeper_closes_the_fifos_of_ended_runs(crond: Crond) -> None:
    crond.write("jobs", "".join(f"@reboot echo {number}\n" for number in range(50)))
    crond.run("start")
    wait_until(lambda: {run.state for run in crond.runs()} == {"succeeded"})
    wait_until(lambda: not any("/fifo/" in to for to in proc.descriptors(crond.keeper).values()))
    assert os.listdir(crond.runtime / "fifo") == []


def test_in_the_foreground_a_keeper_stays_for_the_output_of_running_jobs(crond: Crond) -> None:
    import subprocess

    from tests.conftest import SCRIPT

    job(crond, "echo late; exit 4")
    shell = subprocess.Popen(
        [SCRIPT, "start", "--foreground"], env=crond.environment, stderr=subprocess.DEVNULL
    )
    wait_until(lambda: have_begun(crond))
    wait_until(crond.status)
    os.kill(shell.pid, signal.SIGTERM)
    assert shell.wait(10) == 0
    go(crond)
    wait_until(lambda: not crond.programs("keeper"))
    assert output(crond) == ["late\n"]
    assert Path(crond.state / "lock").exists()


def test_output_that_syslog_has_and_a_power_cut_took_is_not_waited_for(
    crond: Crond, rsyslogd: Rsyslogd
) -> None:
    """A power cut ends all processes, and takes what was not on the disk yet."""
    crond.environment["PYCROND_SYSLOG"] = rsyslogd.path
    crond.write("jobs", "@reboot echo one; echo two; exec sleep 999\n")
    crond.run("start")

    def is_delivered() -> bool:
        with closing(sqlite3.connect(crond.state / "ledger")) as db:
            ((size,),) = db.execute("SELECT max(delivered) FROM runs")
            return bool(size == len("one\ntwo\n"))

    wait_until(is_delivered)
    for pid in crond.processes():
        os.kill(pid, signal.SIGKILL)
    (segment,) = segments(crond)
    os.truncate(segment, len("one\n"))
    crond.run("start")
    wait_until(lambda: (crond.status() or {}).get("backlog") == 0)
    assert crond.run("logs").stdout.count("one") == 1
