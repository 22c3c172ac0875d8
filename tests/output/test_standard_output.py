"""Standard output as a target: each line once, whatever its reader does, also across restarts."""

import dataclasses
import fcntl
import json
import os
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import pairwise

import pytest

from pycrond.host.spawn import unread_bytes
from pycrond.output import output
from pycrond.output.standard_stream import StandardStream
from tests.conftest import SCRIPT, Crond, wait_until
from tests.support.loop import Loop

pytestmark = pytest.mark.process

COUNT = 2000
FLOOD = f"#: name=flood\n* * * * * seq {COUNT}\n"


class Pipe:
    """A pipe that holds few pages, so that it is soon full."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        fcntl.fcntl(self.writer, fcntl.F_SETPIPE_SZ, 16384)
        os.set_blocking(self.reader, False)
        self.received = b""

    def read(self) -> bytes:
        with suppress(BlockingIOError):
            while data := os.read(self.reader, 1 << 16):
                self.received += data
        return self.received

    def lines(self, event: str = "") -> list[str]:
        """Return what jobs have printed; with `event` the details of these events."""
        documents = [json.loads(line) for line in self.read().splitlines()]
        if event:
            return [document.get("message", "") for document in documents if document.get("event") == event]
        return [document["line"] for document in documents if "line" in document]

    def close(self) -> None:
        for number in (self.reader, self.writer):
            with suppress(OSError):
                os.close(number)


@pytest.fixture
def pipe() -> Iterator[Callable[[], Pipe]]:
    pipes: list[Pipe] = []

    def make() -> Pipe:
        pipes.append(Pipe())
        return pipes[-1]

    yield make
    for pipe in pipes:
        pipe.close()


@pytest.fixture
def printing(
    silent_loop: Loop, monkeypatch: pytest.MonkeyPatch, pipe: Callable[[], Pipe]
) -> Callable[[], Pipe]:
    """Give daemons that are started from now on another standard output."""
    silent_loop.settings = dataclasses.replace(
        silent_loop.settings, syslog="none", log_stdout=True, log_format="json"
    )

    def redirect() -> Pipe:
        new = pipe()
        monkeypatch.setattr(output, "StandardStream", lambda _number: StandardStream(new.writer))
        monkeypatch.setattr(output, "is_null", lambda _number: False)
        return new

    return redirect


def stuck(loop: Loop) -> bool:
    """Return whether the job has ended, the reader accepts nothing more, and the ledger has the progress."""
    output = loop.daemon.subsystems.output
    is_full = output._routes[1].target.wants_write and not loop.daemon.subsystems.runs.active.count
    return is_full and output.delivery.retry_in(0.0) is None


NUMBERS = [str(number) for number in range(1, COUNT + 1)]


@pytest.mark.parametrize("is_killed", [False, True], ids=["stopped", "killed"])
def test_a_line_is_printed_once_also_over_restarts(
    silent_loop: Loop, printing: Callable[[], Pipe], is_killed: bool
) -> None:
    """The reader stands still, then ends; the next daemon continues with another reader. A daemon that waits
    for its reader has stored its progress: then even a kill repeats nothing.
    """
    loop, first = silent_loop, printing()
    loop.begin(FLOOD)
    loop.minutes()
    loop.until(lambda: stuck(loop))
    for _ in range(5):  # the reader continues and stands still again
        first.read()
        loop.turn()
    loop.until(lambda: stuck(loop))
    if is_killed:
        loop.release()
        first.read()
    else:
        loop.stop()
        first.read()
        os.close(first.reader)
    second = printing()
    loop.begin()
    subsystems = loop.daemon.subsystems
    loop.until(lambda: second.read() and not subsystems.output.delivery.backlog)
    assert 0 < len(first.lines()) < COUNT
    assert first.lines() + second.lines() == NUMBERS
    assert first.received.endswith(b"\n")
    assert [row.state for row in loop.runs()] == ["succeeded"]
    assert loop.query("SELECT bytes, delivered, told, printed, shown FROM runs") == [(8893, 8893, 3, 8893, 3)]


def test_a_stop_writes_what_the_reader_takes_meanwhile(
    silent_loop: Loop, printing: Callable[[], Pipe]
) -> None:
    """Also the bytes that are still in the FIFOs, and the message about the stop."""
    loop, pipe = silent_loop, printing()
    loop.begin(FLOOD)
    loop.minutes()
    loop.until(lambda: stuck(loop))
    os.set_blocking(pipe.reader, True)
    with (loop.directory / "out").open("wb") as out:
        reader = subprocess.Popen(["cat"], stdin=pipe.reader, stdout=out)
    loop.stop()
    os.close(pipe.writer)
    assert reader.wait(30) == 0
    pipe.received = (loop.directory / "out").read_bytes()
    os.set_blocking(pipe.reader, False)
    assert pipe.lines() == NUMBERS
    assert pipe.lines("SHUTDOWN") == ["0 jobs left running"]


def test_a_reader_that_ends_holds_up_nothing(silent_loop: Loop, printing: Callable[[], Pipe]) -> None:
    """Syslog gets all messages meanwhile, and the next daemon prints them. Each target has its own position."""
    loop, first = silent_loop, printing()
    loop.settings = dataclasses.replace(loop.settings, syslog=str(loop.directory / "log"))
    loop.log.open()
    loop.begin(FLOOD)
    os.close(first.reader)
    loop.minutes()
    loop.until(lambda: loop.query("SELECT delivered, told FROM runs") == [(8893, 2)])
    assert loop.log.details("CMDOUT") == NUMBERS
    assert loop.daemon.subsystems.output.retry_in(0.0) is not None
    loop.stop()
    second = printing()
    loop.begin()
    loop.until(lambda: second.read() and not loop.daemon.subsystems.output.delivery.backlog)
    assert second.lines() == NUMBERS
    assert Counter(loop.log.details("CMDOUT")) == Counter(NUMBERS), "not once more"


def test_a_target_that_comes_goes_on_where_the_one_before_was(
    silent_loop: Loop, printing: Callable[[], Pipe]
) -> None:
    loop, pipe = silent_loop, printing()
    loop.begin(FLOOD)
    loop.minutes()
    loop.until(lambda: stuck(loop))
    loop.stop()
    loop.settings = dataclasses.replace(loop.settings, syslog=str(loop.directory / "log"), log_stdout=False)
    loop.log.open()
    loop.begin()
    loop.settle()
    assert pipe.lines() + loop.log.details("CMDOUT") == NUMBERS


def test_without_a_target_output_stays_in_the_spool(silent_loop: Loop) -> None:
    """Both its ends are kept, and it counts as delivered: `spool-limit` and the retention apply."""
    loop = silent_loop
    loop.settings = dataclasses.replace(loop.settings, syslog="none", spool_limit=6)
    loop.begin("#: name=big\n* * * * * seq 900000\n")  # 6 MB
    loop.minutes()
    loop.settle()
    kept = loop.state / "spool/0"
    assert sorted(path.name for path in kept.iterdir()) == [f"1.{segment}" for segment in range(6)]
    assert (kept / "1.0").read_bytes().startswith(b"1\n2\n")
    assert loop.query("SELECT delivered = bytes, told FROM runs") == [(1, 3)]
    loop.minutes()
    loop.settle()
    loop.until(lambda: not list(kept.glob("1.*")))  # the older run was deleted
    assert list(kept.glob("2.*"))


@pytest.mark.daemon
def test_a_container_without_syslog(crond: Crond) -> None:
    """Real processes: standard output is a pipe. A kill loses nothing and repeats no more than 32 KiB; a stop
    ends it with the last line.
    """
    crond.environment |= {"PYCROND_SYSLOG": "none", "PYCROND_LOG_FORMAT": "json"}
    flag = crond.directory / "flag"
    crond.write(
        "jobs",
        f"#: name=work\n@reboot seq 20000; while ! test -e {flag}; do sleep .1; done; echo last; echo error >&2\n",
    )
    reader, writer = os.pipe()
    pycrond = subprocess.Popen([SCRIPT, "start", "--foreground"], env=crond.environment, stdout=writer)
    os.close(writer)
    with open(reader, "rb") as lines:
        wait_until(lambda: unread_bytes(reader) > 60_000)
        os.kill(crond.pid, signal.SIGKILL)
        wait_until(crond.status)
        documents = [json.loads(lines.readline())]
        while documents[-1].get("line") != "20000":
            documents.append(json.loads(lines.readline()))
        flag.touch()
        crond.run("stop", "--wait")
        documents += map(json.loads, lines.read().splitlines())  # to the end: no process holds it open
    assert pycrond.wait(30) == 0
    printed = [document["line"] for document in documents if document.get("run") and "line" in document]
    assert printed[-2:] == ["last", "error"]
    numbers = [int(line) for line in printed[:-2]]
    again = next((n for n, (one, two) in enumerate(pairwise(numbers), 1) if two != one + 1), len(numbers))
    repeated = len(numbers) - 20_000
    assert numbers == [*range(1, again + 1), *range(again - repeated + 1, 20_001)]
    assert sum(len(str(number)) + 1 for number in range(again - repeated + 1, again + 1)) <= 1 << 15
    assert {document["job"] for document in documents if "run" in document} == {"work"}
    events = Counter(document["event"] for document in documents if "event" in document)
    assert events.pop("CMD") >= 1
    assert events == {"STARTUP": 2, "EXIT": 1, "SHUTDOWN": 1}
