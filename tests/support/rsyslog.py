"""A real rsyslogd for tests, which listens on a unix socket, and by UDP and TCP on the loopback interface."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import wait_until
from tests.support import packages

_PATH = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
_CONFIGURATION = """\
global(workDirectory="{home}")
main_queue(queue.type="{queue}")
module(load="imuxsock" SysSock.Use="off")
input(type="imuxsock" Socket="{home}/log" RateLimit.Interval="0")
module(load="imudp")
input(type="imudp" address="127.0.0.1" port="{port}" RateLimit.Interval="0")
module(load="imtcp")
input(type="imtcp" address="127.0.0.1" port="{port}" RateLimit.Interval="0")
template(name="all" type="string"
         string="%syslogfacility-text%.%syslogseverity-text% %HOSTNAME% %syslogtag%%msg%\\n")
action(type="omfile" file="{home}/lines" template="all")
"""


class Rsyslogd:
    """An rsyslogd that can be ended and started again with the same configuration.

    With the `queue` "Direct" it writes each message before it reads the next, so that a kill loses at most
    one message; "FixedArray", rsyslogd's default, keeps some messages in memory.
    """

    def __init__(self, home: Path, queue: str = "Direct") -> None:
        self.home = home
        self.path = str(home / "log")
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        (home / "rsyslog.conf").write_text(_CONFIGURATION.format(home=home, port=self.port, queue=queue))

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    def start(self) -> None:
        """Start it, and return when it listens."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
        command = [str(shutil.which("rsyslogd", path=_PATH)), "-n", "-f", f"{self.home}/rsyslog.conf"]
        with (self.home / "complaints").open("ab") as complaints:
            self._process = process = subprocess.Popen(
                [*command, "-i", f"{self.home}/pid"],
                stdin=subprocess.DEVNULL,
                stdout=complaints,
                stderr=complaints,
            )
        wait_until(lambda: self._listens() or process.poll() is not None)
        assert process.poll() is None, (self.home / "complaints").read_text()

    def pause(self) -> None:
        """Stop the process by a signal; its sockets stay open."""
        os.kill(self.pid, signal.SIGSTOP)
        wait_until(lambda: set(self._states()) == {"T"})  # its threads stop one after another

    def _states(self) -> Iterator[str]:
        for thread in Path(f"/proc/{self.pid}/task").iterdir():
            yield (thread / "stat").read_text().rpartition(")")[2].split()[0]

    def go_on(self) -> None:
        """Continue after `pause`."""
        os.kill(self.pid, signal.SIGCONT)

    def end(self, number: int = signal.SIGKILL) -> None:
        """End it; messages that it has not read are lost. After a kill the file of the socket remains."""
        if self._process and self._process.poll() is None:
            os.kill(self.pid, number)
            self.go_on()
            self._process.wait()

    def lines(self) -> list[str]:
        """Return the lines it has written, like ``cron.info HOST TAG[pid]: (user) CMD (command)``."""
        try:
            return (self.home / "lines").read_text(errors="surrogateescape").split("\n")[:-1]
        except FileNotFoundError:
            return []

    def _listens(self) -> bool:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as local, socket.socket() as tcp:
            return local.connect_ex(self.path) == 0 and tcp.connect_ex(("127.0.0.1", self.port)) == 0


@pytest.fixture
def rsyslogd() -> Iterator[Rsyslogd]:
    """A running rsyslogd; the path of its directory is short enough for a socket."""
    install()
    with tempfile.TemporaryDirectory(prefix="rsyslog.") as home:
        daemon = Rsyslogd(Path(home))
        try:
            daemon.start()
            yield daemon
        finally:
            daemon.end()


def install() -> None:
    packages.install("rsyslog", lambda: shutil.which("rsyslogd", path=_PATH))


def _free_port() -> int:
    """Return a port that neither UDP nor TCP uses; the kernel assigns other ports for a while."""
    while True:
        with socket.socket() as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            tcp.bind(("127.0.0.1", 0))
            with contextlib.suppress(OSError):
                udp.bind(tcp.getsockname())
                return int(tcp.getsockname()[1])
