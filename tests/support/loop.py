"""A daemon in the test's own process, whose clock stands still until the test moves it."""

import contextlib
import os
import re
import resource
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from freezegun import freeze_time
from freezegun.api import FrozenDateTimeFactory

from pycrond import clock
from pycrond.daemon.loop import Daemon
from pycrond.daemon.subsystems import Subsystems
from pycrond.host.names import NAMES
from pycrond.host.signals import HANDLED, SignalPipe
from pycrond.keeper.client import KeeperClient
from pycrond.keeper.readiness import Readiness
from pycrond.ledger.reader import Reader
from pycrond.ledger.rows import RunRow
from pycrond.settings import Settings
from tests.conftest import remove_cgroups

WAS_TURNED = Subsystems.clock_was_turned
START = "2025-06-10T12:00:30Z"  # a Tuesday, on which no clock changes
LINE = re.compile(
    rb"<(\d+)>(\w{3} [ \d]\d \d\d:\d\d:\d\d) (pycrond|PYCROND)\[(\d+)\]: \(([^)]*)\) (\w+) \((.*)\)"
    rb"(?: at=(\S+))?"
)


class Line(NamedTuple):
    """The fields of a message to syslogd."""

    priority: int
    tag: str
    pid: int
    user: str
    event: str
    detail: str
    time: str = ""
    """The time in its header."""
    late: str = ""
    """The time at its end, of a late message."""


def read_line(packet: bytes) -> Line:
    match = LINE.fullmatch(packet)
    assert match, packet
    priority, time, tag, pid, user, event, detail, late = (part.decode() for part in match.groups(b""))
    return Line(int(priority), tag, int(pid), user, event, detail, time, late)


class Log:
    """The socket of a syslogd, which can exist or not, and can be read or not."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: list[Line] = []
        self._socket: socket.socket | None = None

    def open(self) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind(str(self.path))

    def close(self) -> None:
        """Remove the socket and its file; messages that were not read are lost."""
        if self._socket:
            self._socket.close()
            self._socket = None
            self.path.unlink()

    def read(self, most: int = 1 << 30) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._socket and most:
                packet = self._socket.recv(1 << 16)
                assert len(packet) <= 1024
                self.lines.append(read_line(packet))
                most -= 1

    def details(self, event: str) -> list[str]:
        """Return the details of all lines of this event."""
        return [line.detail for line in self.lines if line.event == event]

    def of_pid(self, pid: int) -> list[tuple[str, str]]:
        return [(line.event, line.detail) for line in self.lines if line.pid == pid]

    def by_run(self) -> dict[int, list[tuple[str, str]]]:
        """Return event and detail of the lines of runs, by the pid of the run."""
        return {line.pid: self.of_pid(line.pid) for line in self.lines if line.tag == "PYCROND"}


class Loop:
    """A daemon whose loop the test turns, and the files with which the next daemon continues."""

    def __init__(self, directory: Path, frozen: FrozenDateTimeFactory) -> None:
        self.directory = directory
        self.frozen = frozen
        self.crontabs = directory / "crontabs"
        self.state = directory / "state"
        self.log = Log(directory / "log")
        self.reading = True
        self.daemon: Daemon
        self._signals: SignalPipe | None = None
        for name in ("crontabs", "state", "run"):
            (directory / name).mkdir()
        self.settings = Settings(
            crontabs=(str(self.crontabs),),
            state_dir=str(self.state),
            runtime_dir=str(directory / "run"),
            pidfile=str(directory / "pid"),
            syslog=str(directory / "log"),
        )

    # The daemon

    def turn_clock(self, moment: str | datetime, *, dies: bool = False) -> None:
        """Set the clock, as an operator does, and run the loop once; with `dies`, while no daemon runs."""
        if dies:
            self.release()
            self.frozen.move_to(moment)
            self.begin()
            self.turn()
            return
        step = -clock.now().timestamp()
        self.frozen.move_to(moment)
        WAS_TURNED(self.daemon.subsystems, step + clock.now().timestamp(), clock.now())
        self.turn()

    def write(self, text: str | bytes, name: str = "jobs") -> None:
        """Write a crontab whose jobs are recognized by their HOME."""
        data = text if isinstance(text, bytes) else text.encode()
        file = self.crontabs / name
        file.write_bytes(b"HOME=%b\n%b" % (os.fsencode(self.directory), data))
        file.chmod(0o644)

    def begin(self, text: str | bytes | None = None, keeper: int | None = None) -> None:
        """Start a daemon at the current time."""
        if text is not None:
            self.write(text)
        self._handlers = {number: signal.getsignal(number) for number in HANDLED}
        self._signals = SignalPipe()
        self.daemon = Daemon(
            self.settings, self._signals, Readiness(lambda line: None, {}), KeeperClient(keeper)
        )

    def turn(self) -> None:
        """Run the loop once."""
        self.daemon.step(clock.now())
        if self.reading:
            self.log.read()
        for call in self.daemon.subsystems.poller.wait(0.01):
            call()

    def until(self, fact: Callable[[], object], seconds: float = 60.0) -> None:
        """Turn the loop until a fact is true; fail after so many seconds of real time."""
        deadline = os.times().elapsed + seconds
        while not fact():
            assert os.times().elapsed < deadline, f"still not true after {seconds} s: {self.log.lines[-5:]}"
            self.turn()

    def reload(self) -> None:
        """Read the crontabs again, like a daemon that receives HUP."""
        reloader = self.daemon.subsystems.reloader
        before = reloader.count
        reloader.request()
        self.until(lambda: reloader.count > before)

    def to(self, moment: str | datetime) -> None:
        """Set the clock and run the loop once."""
        self.frozen.move_to(moment)
        self.turn()

    def minutes(self, number: int = 1) -> None:
        """Move the clock minute by minute, and run the loop once in each."""
        for _ in range(number):
            self.to(clock.now().replace(second=0, microsecond=0) + timedelta(minutes=1))

    def settle(self) -> None:
        """Turn the loop until no job runs and all output is delivered."""
        subsystems = self.daemon.subsystems
        self.until(lambda: not subsystems.runs.active.count and not subsystems.output.delivery.backlog)
        self.turn()

    def stop(self) -> None:
        """Stop the daemon as planned; its jobs continue."""
        self.daemon._end(clock.now())
        self.release()

    def release(self) -> None:
        """Close all descriptors, like the kernel when a daemon is killed."""
        if self._signals is None:
            return
        self.daemon.subsystems.keeper.close()
        server = self.daemon._server
        server._listener.close()
        if server._spare >= 0:
            os.close(server._spare)
        for client in server._clients:
            client.close()
        self.daemon.subsystems.output.close()
        self.daemon.subsystems.ledger.close()
        NAMES.close()
        self.daemon.subsystems.poller.close()
        signal.set_wakeup_fd(-1)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        for descriptor in (self.daemon._timer.fileno(), self._signals.fileno(), self._signals._writer):
            os.close(descriptor)
        self._signals = None
        for name in os.listdir("/proc/self/fd"):
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/self/fd/{name}").startswith(f"{self.directory}/"):
                    os.close(int(name))

    # Effects of the daemon

    def runs(self) -> list[RunRow]:
        """Return all runs from the ledger, the oldest first."""
        reader = Reader(str(self.state))
        rows = reader.history(None, 100_000)
        reader.close()
        return rows[::-1]

    def query(self, statement: str) -> list[Any]:
        return self.daemon.subsystems.ledger.file.db.execute(statement).fetchall()

    def processes(self) -> list[int]:
        """Return the pids of all processes that the jobs have started."""
        home, pids = f"HOME={self.directory}".encode(), []
        for name in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                if home in Path(f"/proc/{name}/environ").read_bytes():
                    pids.append(int(name))
        return [pid for pid in pids if pid != os.getpid()]

    def end(self) -> None:
        self.release()
        self.log.close()
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        remove_cgroups(self.state)


@pytest.fixture
def silent_loop(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loop]:
    """A loop without a syslogd."""
    # The clock of elapsed time does not follow the frozen one: a clock that is moved stands for time that passes.
    monkeypatch.setattr(Subsystems, "clock_was_turned", lambda *_: None)
    directory, mask, limit = os.getcwd(), os.umask(0o022), resource.getrlimit(resource.RLIMIT_NOFILE)
    with tempfile.TemporaryDirectory(prefix="loop.") as name, freeze_time(START) as frozen:
        assert isinstance(frozen, FrozenDateTimeFactory)
        loop = Loop(Path(name), frozen)
        try:
            yield loop
        finally:
            loop.end()
            os.chdir(directory)
            os.umask(mask)
            resource.setrlimit(resource.RLIMIT_NOFILE, limit)


@pytest.fixture
def loop(silent_loop: Loop) -> Loop:
    """A loop with a syslogd that reads."""
    silent_loop.log.open()
    return silent_loop
