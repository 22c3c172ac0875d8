"""start --foreground while a keeper waits for jobs that a stop left running: it stays, and they are taken over."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import SCRIPT, Crond, alive, wait_until

pytestmark = pytest.mark.daemon


class Service:
    """A pycrond as systemd runs it: in the foreground, with a socket for notifications."""

    def __init__(self, crond: Crond) -> None:
        self.crond = crond
        self.notifications = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notifications.bind(str(crond.directory / "notify"))
        self.notifications.settimeout(20)
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

    def left(self) -> int:
        """Start and stop it, and return the pid of the job that is left running."""
        first = self.start()
        wait_until(lambda: [run.state for run in self.crond.runs()] == ["running"])
        first.send_signal(signal.SIGTERM)
        assert first.wait(20) == 0
        pid = self.crond.runs()[0].pid
        assert pid
        return pid


@pytest.fixture
def service(crond: Crond) -> Iterator[Service]:
    crond.write("jobs", "#: name=long\n@reboot sleep 300\n")
    service_ = Service(crond)
    yield service_
    crond.end()
    for process in service_.processes:
        process.kill()
        process.wait(20)
    service_.notifications.close()


def test_it_stays_and_the_job_continues(service: Service) -> None:
    job = service.left()
    second = service.start()
    wait_until(service.crond.status)
    assert second.poll() is None
    assert alive(job)
    assert [(run.state, run.pid) for run in service.crond.runs()] == [("running", job)]


def test_it_can_be_stopped_again_and_again(service: Service) -> None:
    job = service.left()
    for _ in range(2):
        again = service.start()
        wait_until(service.crond.status)
        again.send_signal(signal.SIGTERM)
        assert again.wait(20) == 0
        assert service.crond.status() is None
        assert alive(job)


def test_hup_is_passed_on(service: Service) -> None:
    service.left()
    second = service.start()
    wait_until(service.crond.status)
    service.crond.write("more", "0 5 * * * true\n")
    second.send_signal(signal.SIGHUP)
    wait_until(lambda: (service.crond.status() or {"jobs": 0})["jobs"] == 2)
    assert second.poll() is None


def test_a_stop_by_command_ends_it_if_no_job_is_left(service: Service) -> None:
    job = service.left()
    second = service.start()
    os.kill(job, signal.SIGKILL)
    wait_until(lambda: service.crond.runs()[0].state != "running")
    service.crond.run("stop")
    assert second.wait(20) == 0
    assert not Path(service.crond.pidfile).exists()
