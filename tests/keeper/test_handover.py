"""A service that is stopped and started while jobs run: each start makes a keeper; its predecessor reports the ends."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import SCRIPT, Crond, alive, wait_until
from tests.support import proc

pytestmark = pytest.mark.daemon
JOB = "until [ -e {0} ]; do sleep 0.05; done; echo done; exit 7"


class Service:
    """A pycrond as systemd runs it: in the foreground, with a socket for notifications."""

    def __init__(self, crond: Crond) -> None:
        self.crond = crond
        self.notifications = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notifications.bind(str(crond.directory / "notify"))
        self.notifications.settimeout(60)
        crond.environment["NOTIFY_SOCKET"] = str(crond.directory / "notify")
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> subprocess.Popen[bytes]:
        """Start it and return when it has reported that it is ready."""
        process = subprocess.Popen(
            [SCRIPT, "start", "--foreground"], env=self.crond.environment,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.processes.append(process)
        while self.notifications.recv(1024) != b"READY=1":
            pass
        return process

    def stop(self, process: "subprocess.Popen[bytes]") -> None:
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        assert self.crond.status() is None

    def left(self) -> int:
        """Start and stop it, and return the pid of the job that is left running."""
        first = self.start()
        wait_until(lambda: [run.state for run in self.crond.runs()] == ["running"])
        self.stop(first)
        pid = self.crond.runs()[0].pid
        assert pid
        return pid

    def release(self, name: str = "go") -> None:
        """Let a job end with 7."""
        (self.crond.directory / name).touch()

    def ends(self) -> None:
        """Wait until the ledger has the exit status and the output of every run."""
        wait_until(lambda: all(run.ended_at for run in self.crond.runs()))
        assert {(run.state, run.exit_status) for run in self.crond.runs()} == {("failed", 7)}
        wait_until(lambda: {run.bytes for run in self.crond.runs()} == {5})


@pytest.fixture
def service(crond: Crond) -> Iterator[Service]:
    crond.write("jobs", f"#: name=long\n@reboot cd {crond.directory}; {JOB.format('go')}\n")
    service_ = Service(crond)
    yield service_
    crond.end()
    for process in service_.processes:
        process.kill()
        process.wait(20)
    service_.notifications.close()


def test_a_restart_makes_a_keeper_and_the_first_one_reports_how_the_job_ended(service: Service) -> None:
    job, crond = service.left(), service.crond
    (old,) = crond.programs("keeper")
    assert proc.stat(job).parent == old
    service.crond.environment["NEW"] = "1"
    again = service.start()
    assert again.poll() is None
    assert crond.keeper != old, "the daemon has the environment, the limits and the namespaces of its start"
    assert b"NEW=1" in Path(f"/proc/{crond.pid}/environ").read_bytes()
    assert [(run.state, run.pid) for run in crond.runs()] == [("running", job)]
    service.release()
    service.ends()
    wait_until(lambda: not alive(old))
    crond.run("stop")
    assert again.wait(20) == 0
    assert not Path(crond.pidfile).exists()
    assert not crond.programs("keeper")


def test_a_job_that_ends_between_stop_and_start_keeps_its_exit_status(service: Service) -> None:
    job = service.left()
    service.release()
    wait_until(lambda: not alive(job))
    service.start()
    service.ends()


def test_of_three_keepers_those_remain_whose_jobs_run(service: Service) -> None:
    crond = service.crond
    service.left()
    again = service.start()
    crond.write("more", f"#: name=more\n0 0 1 1 * cd {crond.directory}; {JOB.format('go2')}\n")
    crond.run("reload")
    crond.run("run", "more")
    wait_until(lambda: [run.state for run in crond.runs()] == ["running"] * 2)
    service.stop(again)
    again = service.start()
    assert len(crond.programs("keeper")) == 3
    service.stop(again)
    service.start()
    wait_until(lambda: len(crond.programs("keeper")) == 3)  # the keeper without a job ends
    service.release()
    wait_until(lambda: sorted(run.state for run in crond.runs()) == ["failed", "running"])
    service.release("go2")
    service.ends()
    wait_until(lambda: len(crond.programs("keeper")) == 1)


def test_a_start_without_the_foreground_takes_over_too(service: Service) -> None:
    service.left()
    service.crond.run("start")
    service.release()
    service.ends()


def test_a_start_that_fails_leaves_the_jobs_to_their_keeper(service: Service) -> None:
    job, crond = service.left(), service.crond
    (old,) = crond.programs("keeper")
    crond.pidfile.mkdir()
    assert "cannot write pidfile" in crond.run("start", "--foreground", status=1).stderr
    assert alive(job)
    wait_until(lambda: crond.programs("keeper") == [old])
    assert crond.run("stop", status=3).stderr == "pycrond: pycrond is stopped already, 1 job still running\n"
    crond.pidfile.rmdir()
    service.start()
    service.release()
    service.ends()


def test_when_the_process_in_front_is_killed_the_daemon_stops_and_the_job_goes_on(service: Service) -> None:
    crond = service.crond
    first = service.start()
    wait_until(lambda: [run.state for run in crond.runs()] == ["running"])
    daemon, keeper = crond.pid, crond.keeper
    assert proc.stat(keeper).parent == first.pid
    first.kill()
    wait_until(lambda: not alive(daemon))
    assert alive(keeper)
    service.start()
    service.release()
    service.ends()


@pytest.mark.parametrize("with_daemon", [False, True])
def test_when_the_keeper_is_killed_the_process_in_front_takes_its_place(
    service: Service, with_daemon: bool
) -> None:
    crond = service.crond
    first = service.start()
    wait_until(lambda: [run.state for run in crond.runs()] == ["running"])
    daemon, job = crond.pid, crond.runs()[0].pid
    for pid in [crond.keeper, daemon][: 1 + with_daemon]:
        os.kill(pid, signal.SIGKILL)
    crond.next_daemon(daemon)
    assert crond.keeper == first.pid
    assert service.notifications.recv(1024) == b"READY=1", "not STOPPING=1: systemd would end the service"
    assert job
    assert proc.stat(job).parent == first.pid, "also where the kernel tells nobody else how it ends"
    service.release()
    service.ends()
    service.stop(first)
    wait_until(lambda: not crond.programs("keeper"))


def test_the_end_of_a_service_is_no_error_if_nothing_runs(service: Service) -> None:
    service.stop(service.start())
    assert service.crond.run("stop", "--service").stderr == ""


def test_hup_is_passed_on(service: Service) -> None:
    service.left()
    second = service.start()
    service.crond.write("more", "0 5 * * * true\n")
    second.send_signal(signal.SIGHUP)
    wait_until(lambda: (service.crond.status() or {"jobs": 0})["jobs"] == 2)
    assert second.poll() is None


def test_the_process_in_front_uses_little_memory(service: Service) -> None:
    assert int(proc.status(service.start().pid, "RssAnon").removesuffix(" kB")) < 5 * 1024
