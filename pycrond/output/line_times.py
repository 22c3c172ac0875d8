"""The times at which a run's output was read, in small files beside the spool.

A mark is 8 bytes, in the byte order of the machine: a position in a segment, and the time at which the bytes
from there on were read. The mark of a run's first byte has its place in a file that a thousand runs share,
since most runs print at one time only; the others of a segment follow each other in a file of its own. The
keeper writes marks too.
"""

import contextlib
import os
import sys
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence

from pycrond.host.safe_paths import OWN_FILE

TIME_BITS = 43  # of a mark: milliseconds since 1970; the bits above are the position
TIME_MASK = (1 << TIME_BITS) - 1
MARK_SIZE = 8  # bytes
MIN_INTERVAL = 0.01  # seconds between two marks
SPARE_SIZE = 4096  # bytes by which the marks of a segment may be larger than its output

Mark = tuple[int, float]
"""A position or an offset, and a time in Unix seconds."""


def path(directory: str, run: int, segment: int) -> str:
    """Return the path of the marks of a segment."""
    return os.path.join(directory, "times", str(run // 1000), f"{run}.{segment}")


def first_path(directory: str, run: int) -> str:
    """Return the path of the file that has the first mark of a thousand runs."""
    return os.path.join(directory, "times", str(run // 1000), "first")


class LineTimes:
    """The marks of a run's segments; the latest segment that was read is kept in memory."""

    def __init__(self, directory: str, run: int) -> None:
        """`directory` is that of the spools."""
        self._directory = directory
        self._run = run
        self._noted = (-1, 0.0)  # the segment and the time of the latest mark that was written
        self._written = 0  # marks
        self._read = (-1, -1)  # the segment in memory, and `_written` when it was read
        self._marks = array("Q")

    def note(self, segment: int, position: int, at: float) -> None:
        """Write that the bytes from a position on were read at a time. On a full disk nothing is written, and
        these bytes seem to have come with those before them.
        """
        if segment == self._noted[0] and abs(at - self._noted[1]) < MIN_INTERVAL:
            return
        is_first = segment == position == 0
        name = (
            first_path(self._directory, self._run) if is_first else path(self._directory, self._run, segment)
        )
        mark = (position << TIME_BITS | max(0, int(at * 1000)) & TIME_MASK).to_bytes(MARK_SIZE, sys.byteorder)
        with contextlib.suppress(OSError):
            descriptor = _open(name)
            try:
                size = self._run % 1000 * MARK_SIZE if is_first else os.fstat(descriptor).st_size
                if is_first or size <= position + SPARE_SIZE:
                    os.pwrite(descriptor, mark, size)
            finally:
                os.close(descriptor)
        self._noted = segment, at
        self._written += 1

    def between(self, segment: int, start: int, end: int) -> list[Mark]:
        """Return the marks of a segment's bytes from `start` up to, not including, `end`, in order; the first
        stands at `start`. No marks: the output is of an older version.
        """
        if self._read != (segment, self._written):
            self._marks = _load(self._directory, self._run, segment)
            self._read = segment, self._written
        marks = self._marks
        low = max(0, bisect_right(marks, start << TIME_BITS | TIME_MASK) - 1)
        high = max(low + 1, bisect_left(marks, end << TIME_BITS))
        return [(max(start, mark >> TIME_BITS), (mark & TIME_MASK) / 1000) for mark in marks[low:high]]


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
    """Delete the marks of a segment, but for the run's first."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path(directory, run, segment))


def remove_directory(directory: str, thousand: int) -> None:
    """Delete the first marks of a thousand runs that have no output any more."""
    with contextlib.suppress(OSError):
        os.unlink(first_path(directory, 1000 * thousand))
        os.rmdir(os.path.dirname(first_path(directory, 1000 * thousand)))


def by_time(lines: bytes, start: int, marks: Sequence[Mark]) -> Iterator[tuple[float, bytes]]:
    """Yield lines, which begin at the offset `start`, in groups, each with the time at which the last byte of
    its lines was read. A last line without a newline counts as ended.
    """
    begin = 0
    for (_, at), (following, _) in zip(marks, [*marks[1:], (-1, 0.0)], strict=True):
        end = len(lines) if following < 0 else lines.rfind(b"\n", begin, max(begin, following - start)) + 1
        if end > begin:
            yield at, lines[begin:end]
            begin = end
