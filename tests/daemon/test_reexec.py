"""Restart in place: same pid, nothing lost, and new code that cannot start changes nothing."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Crond, alive, wait_until
from tests.support import proc
from tests.support.rsyslog import Rsyslogd

pytestmark = pytest.mark.daemon
ROOT = Path(__file__).parents[2]


def start(crond: Crond) -> int:
    """Which start of a daemon this is, 0 while there is none."""
    return int((crond.status() or {"start": 0})["start"])


def waiting_job(crond: Crond, number: int = 3) -> None:
    text = "@reboot touch began$$; while ! [ -e go ]; do sleep 0.02; done; echo late; exit 7\n"
    crond.write("jobs", f"HOME={crond.folder}\n" + "".join(f"#: name=j{n}\n{text}" for n in range(number)))


def test_running_jobs_stay_its_children(crond: Crond) -> None:
    waiting_job(crond)
    crond.run("start")
    wait_until(lambda: len(list(crond.folder.glob("began*"))) == 3)
    pid, keeper = crond.pid, crond.keeper
    crond.run("restart")
    assert (crond.pid, crond.keeper) == (pid, keeper)
    assert {run.state for run in crond.runs()} == {"running"}
    assert {proc.stat(run.pid or 0).parent for run in crond.runs()} == {pid}
    (crond.folder / "go").touch()
    wait_until(lambda: {(run.state, run.exit_status) for run in crond.runs()} == {("failed", 7)})
    spools = list((crond.state / "spool").rglob("*.*"))
    assert [path.read_text() for path in spools] == ["late\n"] * 3
    wait_until(lambda: not any("/fifo/" in to for to in proc.descriptors(keeper).values()))


def test_a_job_that_ends_in_the_middle_of_it(crond: Crond) -> None:
    """Its status waits for the new program, as any child's does."""
    crond.write("jobs", f"HOME={crond.folder}\n" + "@reboot sleep 0.$$; echo x; exit 3\n" * 50)
    crond.run("start")
    for _ in range(4):
        crond.run("restart")
    wait_until(lambda: {(run.state, run.exit_status) for run in crond.runs()} == {("failed", 3)})
    assert len(list((crond.state / "spool").rglob("*.*"))) == 50


def test_a_hundred_usr2_in_a_storm(crond: Crond) -> None:
    waiting_job(crond)
    crond.run("start")
    wait_until(lambda: len(list(crond.folder.glob("began*"))) == 3)
    pid = crond.pid
    before = start(crond)
    for _ in range(100):
        os.kill(pid, signal.SIGUSR2)
        os.sched_yield()
    wait_until(lambda: start(crond) > before)
    (crond.folder / "go").touch()
    wait_until(lambda: {(run.state, run.exit_status) for run in crond.runs()} == {("failed", 7)})
    assert (crond.pid, crond.programs("daemon")) == (pid, [pid])


def test_it_leaves_no_descriptor_behind(crond: Crond) -> None:
    crond.write("jobs", "0 0 1 1 * true\n")
    crond.run("start")
    crond.run("restart")
    before = sorted(proc.descriptors(crond.pid))
    for _ in range(3):
        crond.run("restart")
    assert len(proc.descriptors(crond.pid)) == len(before)
    assert not [number for number in proc.descriptors(crond.pid).values() if "fifo" in number]


def test_a_job_has_the_limit_of_descriptors_that_the_first_start_had(crond: Crond) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    crond.write("jobs", f"HOME={crond.folder}\n* * * * * ulimit -n >limit\n")
    crond.at("2031-03-01 11:59:20")
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (1000, hard))
        crond.run("start")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    crond.run("restart")
    os.kill(crond.pid, signal.SIGKILL)
    wait_until(lambda: start(crond) == 3)
    crond.run("restart")
    crond.at("2031-03-01 12:00:00")
    note = crond.folder / "limit"
    wait_until(lambda: note.exists() and note.read_text() == "1000\n")


@pytest.fixture
def copied(crond: Crond) -> Iterator[Crond]:
    """One whose program may be spoiled: a copy, found before the installed one."""
    import shutil

    site = crond.folder / "site"
    shutil.copytree(ROOT / "pycrond", site / "pycrond", ignore=shutil.ignore_patterns("__pycache__"))
    crond.environment["PYTHONPATH"] = str(site)
    crond.environment["PYTHONDONTWRITEBYTECODE"] = "1"
    crond.write("jobs", "0 0 1 1 * true\n")
    yield crond


@pytest.mark.parametrize(
    ("file", "text", "why"),
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
            "ledger {} is of version 6, from a newer pycrond; this one knows up to 0",
        ),
        ("sources/loader.py", "raise SystemExit\n", "the new version exited without output"),
    ],
)
def test_new_code_that_cannot_start_changes_nothing(
    copied: Crond, rsyslogd: Rsyslogd, file: str, text: str, why: str
) -> None:
    copied.environment["PYCROND_SYSLOG"] = rsyslogd.path
    copied.run("start")
    pid, before = copied.pid, start(copied)
    (copied.folder / "site" / "pycrond" / file).write_text(text)
    said = f"not restarted, the old one goes on: {why.format(copied.state / 'ledger')}"
    # The command line is spoiled too, in part: what is asked here is the daemon.
    os.kill(pid, signal.SIGUSR2)
    wait_until(lambda: (copied.status() or {"refusals": 0})["refusals"] == 1)
    status = copied.status()
    assert status
    assert (status["pid"], status["start"], status["refused"]) == (pid, before, said.partition("on: ")[2])
    wait_until(lambda: any("not restarted, this one goes on" in line for line in rsyslogd.lines()))


def test_restart_says_why_not(copied: Crond) -> None:
    copied.run("start")
    (copied.folder / "site" / "pycrond" / "daemon" / "loop.py").write_text("import no_such_module\n")
    said = copied.run("restart", status=1).stderr
    assert said == (
        "pycrond: not restarted, the old one goes on: ModuleNotFoundError: No module named 'no_such_module'\n"
    )


# stop --wait and --kill-jobs


def test_stop_wait_lets_jobs_end(crond: Crond) -> None:
    waiting_job(crond)
    crond.run("start")
    wait_until(lambda: len(list(crond.folder.glob("began*"))) == 3)
    pid, keeper = crond.pid, crond.keeper
    stop = subprocess.Popen(
        [str(Path(sys.executable).parent / "pycrond"), "stop", "--wait"],
        env=crond.environment,
        stdout=subprocess.PIPE,
    )
    wait_until(lambda: (crond.status() or {"stopping": False})["stopping"])
    (crond.folder / "go").touch()
    out, _ = stop.communicate(timeout=20)
    assert (stop.returncode, out) == (0, f"pycrond stopped, pid {pid}\n".encode())
    assert not alive(keeper)
    assert {(run.state, run.exit_status) for run in crond.runs()} == {("failed", 7)}


def test_stop_wait_for_a_time(crond: Crond) -> None:
    waiting_job(crond)
    crond.run("start")
    wait_until(lambda: len(list(crond.folder.glob("began*"))) == 3)
    done = crond.run("stop", "--wait=0.2", status=1)
    assert done.stdout.endswith("; 3 jobs still running, for the next start to take over\n")


def test_stop_kill_jobs_ends_process_groups(crond: Crond) -> None:
    crond.write("jobs", f"HOME={crond.folder}\n@reboot sleep 1000 & echo $! >child; wait\n")
    crond.run("start")
    note = crond.folder / "child"
    wait_until(lambda: note.exists() and note.read_text())
    crond.run("stop", "--kill-jobs")
    (run,) = crond.runs()
    assert (run.state, run.signal, run.reason) == ("killed", 15, "stop --kill-jobs")
    wait_until(lambda: not alive(int(note.read_text())))


def test_stop_kill_jobs_also_ends_those_of_an_earlier_daemon(crond: Crond) -> None:
    crond.write("jobs", "@reboot exec sleep 1000\n")
    crond.run("start")
    wait_until(lambda: crond.runs()[0].state == "running")
    crond.run("stop")
    crond.run("start")
    crond.run("stop", "--kill-jobs")
    (run,) = crond.runs()
    assert (run.state, run.signal) == ("killed", 15)
