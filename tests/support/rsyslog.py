"""A real rsyslogd for tests, on sockets of its own: a unix socket, and udp and tcp on loopback."""

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
    """One rsyslogd after another with one configuration.

    `queue` is what it does with what it has read: "Direct" writes each message before it reads the next, so that
    a kill takes at most the one in its hands; "FixedArray", as by default, keeps some in memory.
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
        """Return when it listens."""
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
        """Stop it as a debugger would; what it has open stays open."""
        os.kill(self.pid, signal.SIGSTOP)
        wait_until(lambda: set(self._states()) == {"T"})  # each thread stops when it comes to it

    def _states(self) -> Iterator[str]:
        for thread in Path(f"/proc/{self.pid}/task").iterdir():
            yield (thread / "stat").read_text().rpartition(")")[2].split()[0]

    def go_on(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def end(self, number: int = signal.SIGKILL) -> None:
        """End it, with what it has not read; the socket's file stays behind a kill."""
        if self._process and self._process.poll() is None:
            os.kill(self.pid, number)
            self.go_on()
            self._process.wait()

    def lines(self) -> list[str]:
        """What it has written, as ``cron.info HOST TAG[pid]: (user) CMD (command)``."""
        try:
            return (self.home / "lines").read_text(errors="surrogateescape").split("\n")[:-1]
        except FileNotFoundError:
            return []

    def _listens(self) -> bool:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as local, socket.socket() as tcp:
            return local.connect_ex(self.path) == 0 and tcp.connect_ex(("127.0.0.1", self.port)) == 0


@pytest.fixture
def rsyslogd() -> Iterator[Rsyslogd]:
    """A running rsyslogd, gone after the test; its home's name is short enough for a socket's path."""
    _install()
    with tempfile.TemporaryDirectory(prefix="rsyslog.") as home:
        daemon = Rsyslogd(Path(home))
        try:
            daemon.start()
            yield daemon
        finally:
            daemon.end()


def _install() -> None:
    """Where CI runs, a test that cannot have its rsyslogd fails; elsewhere it is skipped."""
    if shutil.which("rsyslogd", path=_PATH):
        return
    why = "no rsyslogd, and not root with apt-get to install it"
    if os.geteuid() == 0 and shutil.which("apt-get"):
        why = _apt_get("update") or _apt_get("install", "--yes", "--no-install-recommends", "rsyslog")
    if why:
        give_up = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        give_up(why)


def _apt_get(*words: str) -> str:
    """What went wrong, if anything."""
    done = subprocess.run(
        ["apt-get", "--quiet=2", "-o", "DPkg::Lock::Timeout=300", *words],
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return f"apt-get {words[0]}: {done.stderr.strip()}" if done.returncode else ""


def _free_port() -> int:
    """Free for udp and tcp just now; the kernel gives out others for a while."""
    while True:
        with socket.socket() as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            tcp.bind(("127.0.0.1", 0))
            with contextlib.suppress(OSError):
                udp.bind(tcp.getsockname())
                return int(tcp.getsockname()[1])
