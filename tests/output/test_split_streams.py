"""`log=split`: standard output and standard error are separate, and each line belongs to one of them."""

import dataclasses
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from pycrond import clock
from pycrond.host.fifo_state import NO_WRITER, FifoState, peek
from pycrond.keeper import system_calls
from pycrond.output import line_times, split_streams, spool
from pycrond.output.line_times import NOT_SPLIT, SPARE_SIZE, STDERR, STDOUT
from pycrond.output.spool import SEGMENT_SIZE, Spool
from tests.conftest import Crond, wait_until
from tests.output.test_standard_output import Pipe, pipe, printing
from tests.support.loop import Loop

__all__ = ["pipe", "printing"]

AT = 1_700_000_000.0


class Streams:
    """The FIFOs of a run, and its spool."""

    def __init__(self, directory: Path) -> None:
        self.directory = str(directory)
        self.spool = Spool(self.directory, 7)
        pipes = [os.pipe2(os.O_NONBLOCK) for _ in range(2)]
        self.readers, self.writers = map(list, zip(*pipes, strict=True))

    def out(self, data: bytes) -> None:
        assert os.write(self.writers[0], data) == len(data)

    def err(self, data: bytes) -> None:
        assert os.write(self.writers[1], data) == len(data)

    def move(self, *, everything: bool = False, is_over: bool = False) -> int | None:
        return split_streams.move(self.spool, self.readers, AT, everything=everything, is_over=is_over)

    def close(self, stream: int) -> None:
        os.close(self.writers[stream])
        self.writers[stream] = -1

    @property
    def parts(self) -> list[tuple[str, bytes]]:
        """Return the parts of the spool by stream."""
        marks = [*split_streams.streams(self.spool, 0, self.spool.size), (self.spool.size, "")]
        return [
            (stream, self.spool.read(start, marks[number + 1][0] - start))
            for number, (start, stream) in enumerate(marks[:-1])
        ]


@pytest.fixture
def streams(tmp_path: Path) -> Iterator[Streams]:
    made = Streams(tmp_path)
    yield made
    made.spool.close()
    for descriptor in {*made.readers, *made.writers} - {-1}:
        os.close(descriptor)


def test_what_a_fifo_holds(streams: Streams) -> None:
    fifo = streams.readers[0]
    assert peek(fifo) == FifoState(0, 0, is_full=False, is_ended=False)
    streams.out(b"one\ntw")
    for _ in range(2):
        assert peek(fifo) == FifoState(4, 6, is_full=False, is_ended=False), "nothing is taken out"
    for _ in range(16):
        streams.out(b"x" * 2049)  # a page each, but for the first
    assert peek(fifo) == FifoState(4, 6 + 16 * 2049, is_full=True, is_ended=False)
    streams.close(0)
    assert peek(fifo).is_ended
    os.read(fifo, 1 << 16)
    assert peek(fifo) == NO_WRITER


def test_only_whole_lines_are_taken_until_a_stream_ends(streams: Streams) -> None:
    streams.out(b"one\nhalf")
    streams.err(b"error\nprompt: ")
    assert streams.move() == 10
    assert streams.move() is None
    assert streams.parts == [(STDOUT, b"one\n"), (STDERR, b"error\n")]
    streams.out(b" a line\n")
    assert streams.move() == len("half a line\n")
    streams.out(b"end")
    streams.close(0)
    assert streams.move() == 3
    assert streams.move() is None, "the other stream is open"
    streams.err(b"2\n")
    streams.close(1)
    assert streams.move() == len("\nprompt: 2\n"), "the last line got a newline"
    assert streams.move() == 0
    expected = [
        (STDOUT, b"one\n"),
        (STDERR, b"error\n"),
        (STDOUT, b"half a line\nend\n"),
        (STDERR, b"prompt: 2\n"),
    ]
    assert streams.parts == expected
    streams.spool = Spool(streams.directory, 7)
    assert streams.parts == expected, "another process reads the same"


def test_incomplete_lines_are_taken_at_the_end_of_a_run(streams: Streams) -> None:
    streams.out(b"half")
    streams.err(b"prompt")
    assert streams.move() is None
    assert streams.move(everything=True) == 11
    assert streams.parts == [(STDOUT, b"half\n"), (STDERR, b"prompt")]
    streams.out(b"of a process in the background\n")
    assert streams.move() is None
    assert streams.move(is_over=True) == 32
    assert streams.parts[1:] == [(STDERR, b"prompt\n"), (STDOUT, b"of a process in the background\n")]


def test_delivered_output_that_was_given_back_to_the_disk_has_no_open_line(streams: Streams) -> None:
    streams.out(b"x" * 4095 + b"\n")
    assert streams.move() == 4096
    assert streams.spool.give_back(4096) == 4096
    streams.err(b"error\n")
    assert streams.move() == 6


def test_a_full_pipe_without_a_newline_holds_up_nothing(streams: Streams) -> None:
    """Its line continues, also after a restart; the other stream waits for its end, unless its pipe is full,
    too.
    """
    streams.out(b"x" * 65536)
    streams.err(b"error\n")
    assert streams.move() == 65536
    assert streams.move() is None
    streams.spool.close()
    streams.spool = Spool(streams.directory, 7)
    assert streams.move() is None, "the error waits"
    streams.out(b"x\n")
    assert streams.move() == 8
    streams.out(b"y" * 65536)
    assert streams.move() == 65536
    for _ in range(16):
        streams.err(b"z" * 4095 + b"\n")
    assert streams.move() == 65537
    streams.out(b"y\n")
    assert streams.move() == 2
    assert [(stream, len(data)) for stream, data in streams.parts] == [
        *((STDOUT, 65538), (STDERR, 6), (STDOUT, 65537), (STDERR, 65536), (STDOUT, 2))
    ]


def test_lines_across_segments(streams: Streams) -> None:
    for number in range(SEGMENT_SIZE // 30_000 * 2 + 4):
        streams.out(b"o" * 29_999 + b"\n")
        streams.err(b"%d\n" % number)
        while streams.move():
            pass
    parts = streams.parts
    assert [stream for stream, _ in parts] == [STDOUT, STDERR] * (len(parts) // 2)
    assert [int(data) for stream, data in parts if stream == STDERR] == [*range(len(parts) // 2)]


def test_too_many_marks_tell_nothing_apart_and_nothing_wrong(streams: Streams) -> None:
    for _ in range(2000):
        streams.out(b"\n")
        streams.move()
        streams.err(b"!\n")
        streams.move()
    assert os.path.getsize(line_times.path(streams.directory, 7, 0)) <= 6000 + SPARE_SIZE + 8
    parts = streams.parts
    assert b"".join(data for _, data in parts) == b"\n!\n" * 2000
    assert {stream for stream, _ in parts} == {STDOUT, STDERR, NOT_SPLIT}
    assert all(b"!" not in data for stream, data in parts if stream == STDOUT)
    assert all(b"!" in data for stream, data in parts if stream == STDERR)


def test_a_full_disk_leaves_the_bytes_in_the_pipe(streams: Streams, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes are not moved if their stream cannot be written down."""
    streams.out(b"one\n")
    (Path(streams.directory) / "times").write_bytes(b"")
    with pytest.raises(OSError, match="times"):
        streams.move()
    (Path(streams.directory) / "times").unlink()
    assert streams.move() == 4
    assert streams.parts == [(STDOUT, b"one\n")]


def test_the_keeper_moves_whole_lines(streams: Streams) -> None:
    readers = {7: streams.readers[0], -7: streams.readers[1]}
    streams.out(b"one\nhalf")
    streams.err(b"error\n")
    assert system_calls.move(readers, streams.directory, -7, to_end=False)
    assert not system_calls.move(readers, streams.directory, 7, to_end=False)
    assert system_calls.move(readers, streams.directory, 7, to_end=True)
    streams.spool = Spool(streams.directory, 7)
    assert streams.parts == [(STDOUT, b"one\n"), (STDERR, b"error\n"), (STDOUT, b"half")]
    streams.out(b" line\n")
    streams.err(b"last\n")
    assert streams.move() == 11
    assert streams.parts[2:] == [(STDOUT, b"half line\n"), (STDERR, b"last\n")]


# Real jobs


def lines_of(pipe: Pipe, name: str) -> list[tuple[str, str]]:
    documents = [json.loads(line) for line in pipe.read().splitlines()]
    return [
        (document["stream"], document["line"])
        for document in documents
        if document.get("job") == name and "line" in document
    ]


@pytest.mark.process
def test_lines_of_both_streams(silent_loop: Loop, printing: Callable[[], Pipe]) -> None:
    """Next to a job without the option: the lines of each stream are in order, incomplete lines at the end
    are separate.
    """
    loop, pipe = silent_loop, printing()
    script = "for i in 1 2 3; do echo o$i; echo e$i >&2; done; printf half; printf rest >&2"
    loop.begin(
        f"#: name=split log=split\n* * * * * {script}\n#: name=other\n* * * * * {script}\n"
        f"#: name=one log=split\n* * * * * (echo e; exec 2>&1; seq 30000 | tail -n 2)\n"
    )
    loop.minutes()
    loop.until(lambda: len(loop.runs()) == 3)
    loop.settle()
    loop.until(lambda: not os.listdir(loop.directory / "run/fifo"))
    split = lines_of(pipe, "split")
    assert [line for stream, line in split if stream == STDOUT] == ["o1", "o2", "o3", "half"]
    assert [line for stream, line in split if stream == STDERR] == ["e1", "e2", "e3", "rest"]
    other = lines_of(pipe, "other")
    assert other == [(NOT_SPLIT, line) for line in ("o1", "e1", "o2", "e2", "o3", "e3", "halfrest")]
    assert lines_of(pipe, "one") == [(STDOUT, line) for line in ("e", "29999", "30000")]
    assert not loop.daemon.subsystems.output.capture.open_of_user.total()
    assert {(row.name, row.bytes) for row in loop.runs()} == {("split", 27), ("other", 26), ("one", 14)}


@pytest.mark.process
def test_a_prompt_and_a_closed_stream_do_not_wake_the_loop(loop: Loop) -> None:
    """The prompt stays in its pipe, is checked at intervals, and does not delay the other stream."""
    loop.begin(
        "#: log=split\n* * * * * exec 2>/dev/null; printf 'go? '; until test -e go; do sleep .05; done; echo\n"
    )
    loop.minutes()
    capture = loop.daemon.subsystems.output.capture
    loop.until(lambda: capture._incomplete)
    (output,) = capture._incomplete
    loop.until(lambda: output.pause == 0.5)
    assert capture._poller._callbacks == {}
    assert 0 < (capture.retry_in(clock.elapsed()) or 0) <= 0.5
    (loop.directory / "go").touch()
    loop.settle()
    assert loop.log.details("CMDOUT") == ["go? "]


@pytest.mark.process
def test_a_flood_in_large_writes_is_taken_at_once(loop: Loop) -> None:
    """The pipe usually ends within a line, and a write that waits for room wakes no reader."""
    text = b"".join(b"%d\n" % number for number in range(400_000))
    (loop.directory / "text").write_bytes(text)
    loop.settings = dataclasses.replace(loop.settings, syslog="none")
    loop.begin("#: log=split\n* * * * * dd if=text bs=1M status=none; dd if=text bs=1M status=none >&2\n")
    loop.minutes()
    began = clock.elapsed()
    loop.until(lambda: loop.runs() and loop.runs()[0].state == "succeeded")
    assert clock.elapsed() - began < 10.0  # with the longest pauses it takes a minute
    output = Spool(str(loop.state / "spool"), 1)
    assert split_streams.streams(output, 0, output.size) == [(0, STDOUT), (len(text), STDERR)]
    assert output.read(0, 3 * len(text)) == 2 * text


@pytest.mark.process
@pytest.mark.parametrize("is_killed", [False, True], ids=["stopped", "killed"])
def test_the_next_daemon_goes_on_with_both(
    silent_loop: Loop, printing: Callable[[], Pipe], is_killed: bool
) -> None:
    loop, pipe = silent_loop, printing()
    wait = "until test -e go; do sleep .02; done"
    loop.begin(
        f"#: name=work log=split\n* * * * * echo o1; echo e1 >&2; printf o >&1; printf e >&2; {wait}; echo 2; echo 2 >&2\n"
    )
    loop.minutes()
    loop.until(lambda: len(lines_of(pipe, "work")) == 2)
    loop.release() if is_killed else loop.stop()
    loop.begin("")  # the crontab has no influence any more
    loop.turn()
    (loop.directory / "go").touch()
    loop.settle()
    expected = [(STDERR, "e1"), (STDERR, "e2"), (STDOUT, "o1"), (STDOUT, "o2")]
    printed = lines_of(pipe, "work")
    assert sorted({*printed} if is_killed else printed) == expected, "a kill may repeat lines"
    loop.until(lambda: not os.listdir(loop.directory / "run/fifo"))


@pytest.mark.daemon
def test_kills_and_the_keepers_time(crond: Crond) -> None:
    """No line is lost or mixed when the daemon is killed, while the keeper reads alone, and after that."""
    crond.environment |= {"PYCROND_SYSLOG": "none"}
    script = crond.directory / "job"
    script.write_text(
        "import os, time\n"
        "for number in range(3000):\n"
        "    os.write(1 + number % 2, b'%d %d\\n' % (1 + number % 2, number))\n"
        "    os.write(1 + number % 2, b'%d ' % (1 + number % 2))\n"
        "    os.write(1 + number % 2, b'again %d\\n' % number)\n"
        "    time.sleep(0.0003)\n"
        "    while number == 2000 and not os.path.exists('go'): time.sleep(0.01)\n"
        "os.write(1, b'1 end'); os.write(2, b'2 end')\n"
    )
    crond.write("jobs", f"HOME={crond.directory}\n#: log=split\n@reboot {sys.executable} -S job\n")
    crond.run("start")
    run = crond.runs()[0].id
    directory = str(crond.state / "spool")
    for _ in range(2):
        old = crond.pid
        os.kill(old, signal.SIGKILL)
        wait_until(lambda old=old: crond.status() and crond.pid != old)  # type: ignore[misc]
    crond.run("stop")
    (crond.directory / "go").touch()
    wait_until(lambda: b" 2998\n" in spool.read(directory, run, 0, 1 << 20))
    crond.run("start")
    wait_until(lambda: crond.runs()[0].state == "succeeded")
    wait_until(lambda: not os.listdir(crond.runtime / "fifo"))
    shown = crond.run("logs", "--stream", "stderr", "--lines", "2").stdout.splitlines()
    assert [line.split()[-2:] for line in shown] == [["again", "2999"], ["2", "end"]]
    output = Spool(directory, run)
    ends = [*split_streams.streams(output, 0, output.size), (output.size, "")]
    parts = {STDOUT: b"", STDERR: b""}
    for (start, stream), (end, _) in pairwise(ends):
        parts[stream] += output.read(start, end - start).removesuffix(b"\n") + b"\n"
    for number, stream in enumerate((STDOUT, STDERR)):
        numbers = range(number, 3000, 2)
        expected = [f"{1 + number} {word}{n}" for n in numbers for word in ("", "again ")]
        assert parts[stream].decode().splitlines() == [*expected, f"{1 + number} end"]
