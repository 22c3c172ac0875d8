"""pycrond in a container: settings from the environment, jobs that inherit it, pycrond as process 1."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pycrond import clock
from pycrond.jobs.run import State
from tests.conftest import SCRIPT, Crond, children, wait_until
from tests.support.loop import Loop

pytestmark = pytest.mark.daemon


@pytest.mark.parametrize(("inherit", "output"), [("yes", "hello crontab"), ("no", " crontab")])
def test_jobs_inherit_the_environment_if_the_setting_is_yes(crond: Crond, inherit: str, output: str) -> None:
    crond.environment |= {"PYCROND_INHERIT_ENV": inherit, "GREETING": "hello", "PLACE": "daemon"}
    out = crond.directory / "out"
    crond.write("jobs", f'PLACE=crontab\n@reboot echo "$GREETING $PLACE" > {out}\n')
    crond.run("start")
    wait_until(lambda: out.exists() and out.read_text().endswith("\n"))
    assert out.read_text() == f"{output}\n"


CONTAINER = """
set -e
mount --make-rprivate /
mount -t tmpfs none /run
mount --bind {directory} {directory}
mount -o remount,ro,bind /
exec {prefix} {script} start --foreground
"""
IDLE_STOP_TIME = 4.0  # seconds; far below the grace of jobs, and above the need of a busy machine
UNSHARE = ["unshare", "--mount", "--pid", "--fork", "--mount-proc"]
ARBITRARY = "setpriv --reuid 1000650000 --regid 0 --clear-groups --inh-caps +dac_read_search --ambient-caps +dac_read_search"
"""As under OpenShift, without an entry in /etc/passwd; it may read this tree, wherever that is."""


class Container:
    """A pycrond as process 1 on a read-only root, with the directories of a `Crond`."""

    def __init__(self, crond: Crond) -> None:
        self.crond = crond
        self.log = crond.directory / "messages"
        self.started: list[subprocess.Popen[bytes]] = []
        if subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode:
            (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("cannot unshare namespaces")
        crond.environment |= {"PYCROND_INHERIT_ENV": "yes", "PYCROND_RUNTIME_DIR": "/run/pycrond"}

    def start(self, prefix: str = "") -> subprocess.Popen[bytes]:
        script = self.crond.directory / "container"
        script.write_text(CONTAINER.format(directory=self.crond.directory, prefix=prefix, script=SCRIPT))
        with self.log.open("wb") as log:
            command = [*UNSHARE, "sh", str(script)]
            self.started.append(subprocess.Popen(command, env=self.crond.environment, stderr=log))
        return self.started[-1]

    def wait_for(self, *words: str) -> None:
        try:
            wait_until(lambda: all(word in self.log.read_text() for word in words))
        except AssertionError:
            pytest.fail(f"not among the messages: {words}\n{self.log.read_text()}")

    @property
    def first(self) -> int:
        """The pid that process 1 of the container has on this machine."""
        (pid,) = children(self.started[-1].pid)
        return pid

    def stop(self) -> float:
        """Stop the container, and return the seconds that the stop took."""
        began = time.monotonic()
        os.kill(self.first, signal.SIGTERM)
        assert self.started[-1].wait(30) == 0, self.log.read_text()
        return time.monotonic() - began

    def end(self) -> None:
        for process in self.started:
            for pid in children(process.pid):
                os.kill(pid, signal.SIGKILL)
            process.wait()


@pytest.fixture
def container(crond: Crond) -> Iterator[Container]:
    """A container that is not started yet; all its processes are ended after the test."""
    container = Container(crond)
    yield container
    container.end()


def test_as_the_first_process_on_a_read_only_root(crond: Crond, container: Container) -> None:
    """Process 1 passes signals on, reaps orphans, and exits with 0 when its jobs have ended; at once if idle."""
    out, orphan = crond.directory / "out", crond.directory / "orphan"
    crond.write(
        "jobs", f"@reboot setsid sh -c 'sleep 0.1; echo $PPID >{orphan}' & exit\n@reboot echo hi >{out}\n"
    )
    container.start()
    wait_until(lambda: out.exists() and orphan.exists() and orphan.read_text())
    assert Path(f"/proc/{container.first}/status").read_text().split("NSpid:")[1].split()[1] == "1"
    wait_until(lambda: len(children(container.first)) == 1)  # the daemon alone: the orphan was reaped
    assert container.stop() < IDLE_STOP_TIME


def test_the_start_fails_without_a_crontab_that_is_accepted(crond: Crond, container: Container) -> None:
    crond.write("jobs", "* * * * * true\n")
    crond.crontabs.chmod(0o777)
    assert container.start().wait(30) == 1
    assert "everyone may write it (mode 0777); see the setting trust-crontabs" in container.log.read_text()
    assert not crond.runs()


def test_jobs_get_term_and_kill_and_nothing_is_lost_when_the_container_stops(
    crond: Crond, container: Container
) -> None:
    """The state is on an emptyDir, the crontab belongs to another user, and the uid has no entry in
    /etc/passwd.

    The daemon is killed while the stop waits for a job: another one ends the job.
    """
    crond.environment |= {
        "PYCROND_TRUST_CRONTABS": "yes",
        "PYCROND_STOP_GRACE": "1",
        "PYCROND_PIDFILE": "/run/pycrond.pid",
    }
    crond.state.mkdir()
    jobs = crond.write(
        "jobs",
        "#: name=ends\n@reboot trap 'echo TERM came; exit 5' TERM; echo ready; while :; do sleep 0.02; done\n"
        "#: name=stays\n@reboot trap '' TERM; echo ready, too; while :; do sleep 0.02; done\n"
        "#: name=again retries=1 retry-delay=10m\n@reboot id -u; exit 3\n"
        "#: name=left\n@reboot sleep 999 &\n",
    )
    for path in (crond.state, crond.crontabs, jobs):
        os.chown(path, 4321, 4321)
        path.chmod(0o777)
    container.start(ARBITRARY)
    container.wait_for("output: ready\n", "output: ready, too", "output: 1000650000", "status=3", "LEFT")
    (daemon,) = (pid for pid in children(container.first) if b"pycrond.daemon" in cmdline(pid))
    os.kill(container.first, signal.SIGTERM)
    container.wait_for("STOP (ends 2 jobs within 1 s)", "output: TERM came")
    os.kill(daemon, signal.SIGKILL)
    assert container.started[-1].wait(30) == 0
    assert "after signal 9 of the previous daemon" in container.log.read_text()
    ends = {run.name: (run.state, run.reason) for run in crond.runs()}
    assert ends["ends"] == ends["stays"] == (State.KILLED, "stop: the daemon was stopped"), ends
    assert [run.state for run in crond.runs() if run.name == "again"] == [State.WAITING, State.FAILED]
    container.start(ARBITRARY)
    wait_until(
        lambda: container.log.read_text().count("output: ready") == 2
    )  # a start of the container is a boot
    assert [run.attempt for run in crond.runs() if run.name == "again" and run.state == State.WAITING]


def cmdline(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


@pytest.mark.process
def test_a_stop_may_wait_for_jobs_and_a_second_one_ends_them(silent_loop: Loop) -> None:
    loop = silent_loop
    loop.settings = replace(loop.settings, stop_jobs="wait", stop_grace=1)
    loop.begin("@reboot trap '' TERM; echo ready; while :; do sleep 0.02; done\n* * * * * true\n")
    subsystems = loop.daemon.subsystems
    loop.until(lambda: subsystems.output.delivery.backlog)
    loop.daemon._stop(clock.now())
    loop.minutes(2)
    assert [run.state for run in loop.runs()] == [State.RUNNING]  # nothing is started, nothing is ended
    loop.daemon._stop(clock.now())  # Ctrl-C comes several times
    loop.turn()
    assert not any(active.is_being_ended for active in subsystems.runs.active.by_pid.values())
    loop.daemon._second_stop_at = 0.0
    loop.daemon._stop(clock.now())
    loop.until(lambda: subsystems.is_idle and loop.runs()[0].state != State.RUNNING)
    (run,) = loop.runs()
    assert (run.state, run.signal, run.reason) == (
        State.KILLED,
        signal.SIGKILL,
        "stop: the daemon was stopped",
    )
    assert run.duration_s is not None and run.duration_s < 5  # its own grace would be 10 s
