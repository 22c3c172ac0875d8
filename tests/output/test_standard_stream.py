"""Writing to a standard output that is slow, stands still, ends or fails: no call blocks, and no line is cut."""

import fcntl
import os
import pty
import socket
import tty
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from pycrond.output import standard_stream
from pycrond.output.standard_stream import StandardStream

pytestmark = pytest.mark.process

LINES = [b"%08d %b\n" % (number, b"x" * (number % 90)) for number in range(10_000)]
LONG = b"y" * 100_000 + b"\n"
Ends = tuple[int, int]


def raw_pty() -> Ends:
    reader, writer = pty.openpty()
    tty.setraw(writer)
    return reader, writer


def sockets() -> Ends:
    reader, writer = socket.socketpair()
    return reader.detach(), writer.detach()


@pytest.fixture(params=[os.pipe, raw_pty, sockets], ids=["pipe", "terminal", "socket"])
def ends(request: pytest.FixtureRequest) -> Iterator[Ends]:
    """Return the read end and the write end of a standard output."""
    make: Callable[[], Ends] = request.param
    reader, writer = make()
    os.set_blocking(reader, False)
    yield reader, writer
    for number in (reader, writer):
        with suppress(OSError):
            os.close(number)


def opened(writer: int) -> StandardStream:
    stream = StandardStream(writer)
    stream.open()
    return stream


def fill(stream: StandardStream, lines: list[bytes]) -> list[object]:
    """Send lines, each with itself as token, until there is no room; return the accepted lines."""
    taken: list[object] = []
    while lines and stream.can_send:
        stream.send([line := lines.pop(0)], line)
        taken += stream.pop_acknowledged()
    return taken


def read(reader: int) -> bytes:
    received = b""
    with suppress(BlockingIOError):
        while data := os.read(reader, 1 << 20):
            received += data
    return received


def test_a_reader_that_stands_still_and_goes_on(ends: Ends) -> None:
    """Every line arrives once, also a long one; a line that is not accepted is not in the pipe."""
    reader, writer = ends
    lines, stream = [*LINES, LONG, b"last\n"], opened(writer)
    taken, received = fill(stream, lines), b""
    assert (stream.can_send, stream.wants_write, stream.retry_in()) == (False, True, None)
    assert stream.fileno() is not None
    assert os.get_blocking(writer)  # unchanged for the other processes that share it
    while len(taken) < len(LINES) + 2:
        received += read(reader)
        stream.tick(0.0)
        taken += [*stream.pop_acknowledged(), *fill(stream, lines)]
    assert taken == [*LINES, LONG, b"last\n"]
    assert received + read(reader) == b"".join(LINES) + LONG + b"last\n"
    stream.close()


def test_a_pipe_that_must_not_be_opened_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """For example another user's: only bytes that fit are written, because the descriptor itself blocks."""

    def refuse(*_: object) -> int:
        raise PermissionError

    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    monkeypatch.setattr(os, "open", refuse)
    lines, stream = [*LINES, LONG], opened(writer)
    taken = fill(stream, lines)
    assert stream.wants_write
    received = b""
    while len(taken) < len(LINES) + 1:
        received += read(reader)
        stream.tick(0.0)
        taken += [*stream.pop_acknowledged(), *fill(stream, lines)]
    assert received + read(reader) == b"".join(LINES) + LONG
    os.close(reader)
    os.close(writer)


def test_a_pipe_contains_only_whole_lines_when_its_reader_stands_still() -> None:
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(reader, False)
    taken = fill(opened(writer), [*LINES])
    assert read(reader) == b"".join(map(bytes, taken))  # type: ignore[arg-type]
    os.close(reader)
    os.close(writer)


def test_a_reader_that_ends(ends: Ends) -> None:
    """The line waits, and the loop does not spin: a pipe without a reader always counts as writable."""
    reader, writer = ends
    stream = opened(writer)
    fill(stream, [*LINES])
    stream.tick(5.0)
    os.close(reader)
    stream.tick(5.0)
    assert (stream.can_send, stream.wants_write, stream.retry_in()) == (False, False, 1.0)
    stream.tick(5.5)
    assert (stream.retry_in(), stream.pop_acknowledged()) == (0.5, [])
    stream.close()


def test_a_full_disk(tmp_path: Path) -> None:
    """/dev/full behaves like a file on a full disk; then there is room again."""
    with open("/dev/full", "wb", buffering=0) as full:
        stream = opened(full.fileno())
        stream.send([b"one\n"], 1)
        assert (stream.can_send, stream.wants_write, stream.retry_in()) == (False, False, 1.0)
        with (tmp_path / "file").open("wb", buffering=0) as file:
            os.dup2(file.fileno(), stream.fileno() or -1)
            stream.tick(0.5)
            assert not stream.can_send
            stream.tick(1.0)
            assert (stream.can_send, stream.pop_acknowledged()) == (True, [1])
    assert (tmp_path / "file").read_bytes() == b"one\n"
    stream.close()


def test_a_file_that_another_process_writes_too(tmp_path: Path) -> None:
    """Both processes share the offset."""
    with (tmp_path / "file").open("wb", buffering=0) as file:
        stream = opened(file.fileno())
        stream.send([b"one\n"], 1)
        file.write(b"from another process\n")
        stream.send([b"two\n"], 2)
        assert stream.pop_acknowledged() == [1, 2]
        stream.close()
    assert (tmp_path / "file").read_bytes() == b"one\nfrom another process\ntwo\n"


def test_dev_null_is_no_target() -> None:
    with open(os.devnull, "wb") as null, open("/dev/full", "wb") as full:
        assert standard_stream.is_null(null.fileno())
        assert not standard_stream.is_null(full.fileno())
