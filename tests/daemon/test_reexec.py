"""A restart in place keeps the pid and the running jobs; new code that cannot start changes nothing."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pycrond import clock
from pycrond.daemon.reexec import TRIAL_TIME, Reexec
from pycrond.host.poller import Poller
from pycrond.keeper.client import KeeperClient
from pycrond.ledger.schema import MIGRATIONS
from pycrond.output.daemon_log import DaemonLog
from tests.conftest import Crond, alive, wait_until
from tests.support import proc
from tests.support.rsyslog import Rsyslogd

pytestmark = pytest.mark.daemon
ROOT = Path(__file__).parents[2]


def start_number(crond: Crond) -> int:
    """Return the number of this start of a daemon; 0 while no daemon answers."""
    return int((crond.status() or {"start": 0})["start"])


def write_waiting_jobs(crond: Crond, number: int = 3) -> None:
    """Write jobs that wait for the file `go`, print a line and fail with exit status 7."""
    text = "@reboot touch began$$; while ! [ -e go ]; do sleep 0.02; done; echo late; exit 7\n"
    crond.write("jobs", f"HOME={crond.directory}\n" + "".join(f"#: name=j{n}\n{text}" for n in range(number)))


def test_running_jobs_stay_children_of_the_daemon_over_a_restart(crond: Crond) -> None:
    write_waiting_jobs(crond)
    crond.run("start")
    wait_until(lambda: len(list(crond.directory.glob("began*"))) == 3)
    pid, keeper = crond.pid, crond.keeper
    crond.run("restart")
    assert (crond.pid, crond.keeper) == (pid, keeper)
    assert {run.state for run in crond.runs()} == {"running"}
    assert {proc.stat(run.pid or 0).parent for run in crond.runs()} == {pid}
    (crond.directory / "go").touch()
    wait_until(lambda: {(run.state, run.exit_status) for run in crond.runs()} == {("failed", 7)})
    spools = list((crond.state / "spool").rglob("*.*"))
    assert [path.read_text() for path in spools] == ["late\n"] * 3
    wait_until(lambda: not any("/fifo/" in to for to in proc.descriptors(keeper).values()))


def test_a_run_that_ends_during_a_restart_has_its_exit_status(crond: Crond) -> None:
    """The kernel keeps the exit status of a child until the new program reads it."""
    crond.write("jobs", f"HOME={crond.directory}\n" + "@reboot sleep 0.$$; echo x; exit 3\n" * 50)
    crond.run("start")
    for _ in range(4):
        crond.run("restart")
    wait_until(lambda: {(run.state, run.exit_status) for run in crond.runs()} == {("failed", 3)})
    assert len(list((crond.state / "spool").rglob("*.*"))) == 50


def test_a_hundred_usr2_signals_leave_one_daemon_and_all_runs(crond: Crond) -> None:
    write_waiting_jobs(crond)
    crond.run("start")
    wait_until(lambda: len(list(crond.directory.glob("began*"))) == 3)
    pid = crond.pid
    before = start_number(crond)
    for _ in range(100):
        os.kill(pid, signal.SIGUSR2)
        os.sched_yield()
    wait_until(lambda: start_number(crond) > before)
    (crond.directory / "go").touch()
    wait_until(lambda: {(run.state, run.exit_status) for run in crond.runs()} == {("failed", 7)})
    assert (crond.pid, crond.programs("daemon")) == (pid, [pid])


def test_a_restart_leaves_no_open_descriptor(crond: Crond) -> None:
    crond.write("jobs", "0 0 1 1 * true\n")
    crond.run("start")
    crond.run("restart")
    before = sorted(proc.descriptors(crond.pid))
    for _ in range(3):
        crond.run("restart")
    assert len(proc.descriptors(crond.pid)) == len(before)
    assert not [number for number in proc.descriptors(crond.pid).values() if "fifo" in number]


def test_a_job_has_the_descriptor_limit_of_the_first_start(crond: Crond) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    crond.write("jobs", f"HOME={crond.directory}\n* * * * * ulimit -n >limit\n")
    crond.at("2031-03-01 11:59:20")
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (1000, hard))
        crond.run("start")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    crond.run("restart")
    os.kill(crond.pid, signal.SIGKILL)
    wait_until(lambda: start_number(crond) == 3)
    crond.run("restart")
    crond.at("2031-03-01 12:00:00")
    limit = crond.directory / "limit"
    wait_until(lambda: limit.exists() and limit.read_text() == "1000\n")


@pytest.fixture
def copied(crond: Crond) -> Iterator[Crond]:
    """A pycrond that runs from a copy of the package, which a test may break."""
    import shutil

    site = crond.directory / "site"
    shutil.copytree(ROOT / "pycrond", site / "pycrond", ignore=shutil.ignore_patterns("__pycache__"))
    crond.environment["PYTHONPATH"] = str(site)
    crond.environment["PYTHONDONTWRITEBYTECODE"] = "1"
    crond.write("jobs", "0 0 1 1 * true\n")
    yield crond


@pytest.mark.parametrize(
    ("file", "text", "error"),
    [
        ("scheduler/agenda.py", "def\n", "SyntaxError: invalid syntax"),
        (
            "host/poller.py",
            "import no_such_module\n",
            "ModuleNotFoundError: No module named 'no_such_module'",
        ),
        (
            "ledger/schema.py",
            "MIGRATIONS = ()\n",
            f"ledger {{}} is of version {len(MIGRATIONS)}, from a newer pycrond; this one knows up to 0",
        ),
        ("sources/loader.py", "raise SystemExit\n", "the new version exited without output"),
    ],
)
def test_a_daemon_whose_new_code_cannot_start_goes_on_and_reports_the_error(
    copied: Crond, rsyslogd: Rsyslogd, file: str, text: str, error: str
) -> None:
    copied.environment["PYCROND_SYSLOG"] = rsyslogd.path
    copied.run("start")
    pid, before = copied.pid, start_number(copied)
    (copied.directory / "site" / "pycrond" / file).write_text(text)
    refusal = error.format(copied.state / "ledger")
    # The command line may be broken too: ask the daemon itself.
    os.kill(pid, signal.SIGUSR2)
    wait_until(lambda: (copied.status() or {"refusals": 0})["refusals"] == 1)
    status = copied.status()
    assert status
    assert (status["pid"], status["start"], status["refused"]) == (pid, before, refusal)
    wait_until(lambda: any("not restarted, the old program continues" in line for line in rsyslogd.lines()))


def test_restart_prints_why_the_new_code_cannot_start(copied: Crond) -> None:
    copied.run("start")
    (copied.directory / "site" / "pycrond" / "daemon" / "loop.py").write_text("import no_such_module\n")
    stderr = copied.run("restart", status=1).stderr
    assert stderr == (
        "pycrond: not restarted, the old version still runs: ModuleNotFoundError: No module named 'no_such_module'\n"
    )


# stop --wait and --kill-jobs


def test_stop_wait_stops_when_the_jobs_have_ended(crond: Crond) -> None:
    write_waiting_jobs(crond)
    crond.run("start")
    wait_until(lambda: len(list(crond.directory.glob("began*"))) == 3)
    pid, keeper = crond.pid, crond.keeper
    stop = subprocess.Popen(
        [str(Path(sys.executable).parent / "pycrond"), "stop", "--wait"],
        env=crond.environment,
        stdout=subprocess.PIPE,
    )
    wait_until(lambda: (crond.status() or {"stopping": False})["stopping"])
    (crond.directory / "go").touch()
    out, _ = stop.communicate(timeout=20)
    assert (stop.returncode, out) == (0, f"pycrond stopped, pid {pid}\n".encode())
    assert not alive(keeper)
    assert {(run.state, run.exit_status) for run in crond.runs()} == {("failed", 7)}


def test_stop_wait_with_a_duration_leaves_running_jobs(crond: Crond) -> None:
    write_waiting_jobs(crond)
    crond.run("start")
    wait_until(lambda: len(list(crond.directory.glob("began*"))) == 3)
    done = crond.run("stop", "--wait=0.2", status=1)
    assert done.stdout.endswith("; 3 jobs still running, for the next start to take over\n")


def test_stop_kill_jobs_ends_process_groups(crond: Crond) -> None:
    crond.write("jobs", f"HOME={crond.directory}\n@reboot sleep 1000 & echo $! >child; wait\n")
    crond.run("start")
    child = crond.directory / "child"
    wait_until(lambda: child.exists() and child.read_text())
    crond.run("stop", "--kill-jobs")
    (run,) = crond.runs()
    assert (run.state, run.signal, run.reason) == ("killed", 15, "stop --kill-jobs")
    wait_until(lambda: not alive(int(child.read_text())))


def test_stop_kill_jobs_ends_the_runs_of_an_earlier_daemon(crond: Crond) -> None:
    crond.write("jobs", "@reboot exec sleep 1000\n")
    crond.run("start")
    wait_until(lambda: crond.runs()[0].state == "running")
    crond.run("stop")
    crond.run("start")
    crond.run("stop", "--kill-jobs")
    (run,) = crond.runs()
    assert (run.state, run.signal) == ("killed", 15)


def test_a_trial_whose_output_did_not_end_in_time_is_refused_also_if_it_has_ended() -> None:
    log = DaemonLog([], lambda message: None)
    reexec = Reexec(["/bin/true"], None, KeeperClient(None), Poller(), log)
    reexec.begin()
    os.wait()
    reexec.step(clock.elapsed() + TRIAL_TIME)
    assert (reexec.refused, reexec.retry_in(0.0)) == ("the trial did not end within 30 s", None)
