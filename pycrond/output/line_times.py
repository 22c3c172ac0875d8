"""The times at which a run's output was read, and the streams, in small files beside the spool.

A mark is 8 bytes, in the byte order of the machine: a position in a segment, the time at which the bytes from
there on were read, and, with `log=split`, their stream. The mark of a run's first byte is in a file that a
thousand runs share, since most runs print at one time only. The other marks of a segment, and all marks of a
run with `log=split`, are in a file of the segment. The keeper writes marks, too.
"""

import contextlib
import os
import sys
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence

from pycrond.host.safe_paths import OWN_FILE

TIME_BITS = 42  # of a mark: milliseconds since 1970
TIME_MASK = (1 << TIME_BITS) - 1
POSITION_BIT = 43  # of a mark: the lowest of the position
SPLIT, ERROR = 1 << 63, 1 << TIME_BITS  # of a mark: the stream is known; it is standard error
NOT_SPLIT, STDOUT, STDERR = "output", "stdout", "stderr"
"""The streams; the first if standard output and standard error are not separate."""
STREAM_BITS = {NOT_SPLIT: 0, STDOUT: SPLIT, STDERR: SPLIT | ERROR}
STREAMS = {bits: stream for stream, bits in STREAM_BITS.items()}
MARK_SIZE = 8  # bytes
MIN_INTERVAL = 0.01  # seconds between two marks
SPARE_SIZE = 4096  # bytes by which the marks of a segment may be larger than its output

Mark = tuple[int, float]
"""A position or an offset, and a time in Unix seconds."""
StreamMark = tuple[int, str]
"""A position or an offset, and a stream."""


def path(directory: str, run: int, segment: int) -> str:
    """Return the path of the marks of a segment."""
    return os.path.join(directory, "times", str(run // 1000), f"{run}.{segment}")


def first_path(directory: str, run: int) -> str:
    """Return the path of the file that has the first mark of a thousand runs."""
    return os.path.join(directory, "times", str(run // 1000), "first")


class LineTimes:
    """The marks of a run's segments; the latest segment that was read is kept in memory."""

    def __init__(self, directory: str, run: int) -> None:
        """`directory` is the directory of the spools."""
        self._directory = directory
        self._run = run
        self._noted = (-1, 0.0, "")  # segment, time and stream of the latest mark that was written
        self._written = 0  # the number of marks
        self._read = (-1, -1)  # the segment in memory, and `_written` when it was read
        self._marks = array("Q")

    def note(self, segment: int, position: int, at: float, stream: str = NOT_SPLIT) -> None:
        """Write a mark: the bytes from a position on were read at this time. On a full disk none is written,
        and the bytes get the time of those before them; a stream must be written: then OSError is raised. If
        there are too many marks, the streams are not separated for a while.
        """
        noted_segment, noted_at, noted_stream = self._noted
        is_other = (segment, stream) != (noted_segment, noted_stream)
        if not is_other and abs(at - noted_at) < MIN_INTERVAL:
            return
        is_first = segment == position == 0 and stream == NOT_SPLIT
        name = (
            first_path(self._directory, self._run) if is_first else path(self._directory, self._run, segment)
        )
        with contextlib.nullcontext() if stream != NOT_SPLIT else contextlib.suppress(OSError):
            descriptor = _open(name)
            try:
                size = self._run % 1000 * MARK_SIZE if is_first else os.fstat(descriptor).st_size
                has_room = is_first or size <= position + SPARE_SIZE
                if not has_room and is_other and stream != NOT_SPLIT:
                    has_room, stream = noted_stream != NOT_SPLIT, NOT_SPLIT
                if has_room:
                    mark = _mark(position, at, stream)
                    size = size if is_first else size // MARK_SIZE * MARK_SIZE  # a full disk may cut a mark
                    os.pwrite(descriptor, mark, size)
            finally:
                os.close(descriptor)
        self._noted = segment, at, stream
        self._written += 1

    def between(self, segment: int, start: int, end: int) -> list[Mark]:
        """Return the marks of a segment's bytes from `start` up to but not including `end`, in order; the
        first mark is at `start`. Output of an older version has no marks.
        """
        marks = self._between(segment, start, end)
        return [(max(start, _position(mark)), (mark & TIME_MASK) / 1000) for mark in marks]

    def streams(self, segment: int, start: int, end: int) -> list[StreamMark]:
        """Return the streams of a segment's bytes, in the form in which `between` returns the times."""
        marks = self._between(segment, start, end)
        streams = {
            max(start, _position(mark)): STREAMS.get(mark & (SPLIT | ERROR), NOT_SPLIT) for mark in marks
        }
        return [*streams.items()]

    def _between(self, segment: int, start: int, end: int) -> "array[int]":
        if self._read != (segment, self._written):
            self._marks = _load(self._directory, self._run, segment)
            self._read = segment, self._written
        marks = self._marks
        low = max(0, bisect_right(marks, start, key=_position) - 1)
        high = max(low + 1, bisect_left(marks, end, key=_position))
        return marks[low:high]


def _mark(position: int, at: float, stream: str) -> bytes:
    mark = STREAM_BITS[stream] | position << POSITION_BIT | max(0, int(at * 1000)) & TIME_MASK
    return mark.to_bytes(MARK_SIZE, sys.byteorder)


def _position(mark: int) -> int:
    return (mark & ~SPLIT) >> POSITION_BIT


def _open(name: str) -> int:
    try:
        return os.open(name, os.O_WRONLY | os.O_CREAT | OWN_FILE, 0o600)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(name), mode=0o700, exist_ok=True)
        return os.open(name, os.O_WRONLY | os.O_CREAT | OWN_FILE, 0o600)


def _load(directory: str, run: int, segment: int) -> "array[int]":
    marks = array("Q")
    if segment == 0:
        first = _contents(first_path(directory, run), run % 1000 * MARK_SIZE, MARK_SIZE)
        marks.frombytes(first if any(first) else b"")
    rest = _contents(path(directory, run, segment), 0, -1)
    marks.frombytes(rest[: len(rest) // MARK_SIZE * MARK_SIZE])
    return marks


def _contents(name: str, offset: int, size: int) -> bytes:
    try:
        with open(name, "rb", buffering=0) as file:
            file.seek(offset)
            return file.read(size)
    except FileNotFoundError:
        return b""


def remove(directory: str, run: int, segment: int) -> None:
    """Delete the marks of a segment, except for the run's first mark."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path(directory, run, segment))


def remove_directory(directory: str, thousand: int) -> None:
    """Delete the first marks of a thousand runs that have no output any more."""
    with contextlib.suppress(OSError):
        os.unlink(first_path(directory, 1000 * thousand))
        os.rmdir(os.path.dirname(first_path(directory, 1000 * thousand)))


def by_time(lines: bytes, start: int, marks: Sequence[Mark]) -> Iterator[tuple[float, bytes]]:
    """Yield lines, which begin at the offset `start`, in groups with the time at which the last byte of a
    line was read. A last line without a newline counts as complete.
    """
    begin = 0
    for (_, at), (following, _) in zip(marks, [*marks[1:], (-1, 0.0)], strict=True):
        end = len(lines) if following < 0 else lines.rfind(b"\n", begin, max(begin, following - start)) + 1
        if end > begin:
            yield at, lines[begin:end]
            begin = end
