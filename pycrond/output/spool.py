"""The authoritative copy of a run's output, on disk; syslog, mail and users read it from here.

splice(2) moves the bytes from the run's FIFO inside the kernel, so that a kill at any moment loses no byte. A
spool is a sequence of segment files. Delivered segments are deleted, except for the last.
`line_times` has the times at which the bytes were read, and their streams.
"""

import contextlib
import ctypes
import os
import select

from pycrond.host.safe_paths import OWN_FILE
from pycrond.host.write_back import begin_write_back
from pycrond.output import line_times
from pycrond.output.line_times import NOT_SPLIT, LineTimes, Mark

SEGMENT_SIZE = 1 << 20  # bytes
CHUNK_SIZE = 1 << 16  # bytes moved at once: the capacity of a pipe
BLOCK = 4096  # bytes; a file takes whole blocks on disk
KEEP_SIZE_PUNCH_HOLE = 3  # <linux/falloc.h>

_libc = ctypes.CDLL(None)


def path(directory: str, run: int, segment: int) -> str:
    """Return the path of a segment of a run's output; a thousand runs share a directory."""
    return os.path.join(directory, str(run // 1000), f"{run}.{segment}")


def segments(directory: str, run: int) -> list[int]:
    """Return the numbers of the segments on disk, in order; none for a run that printed nothing."""
    try:
        names = os.listdir(os.path.join(directory, str(run // 1000)))
    except OSError:
        return []
    return sorted(int(name.partition(".")[2]) for name in names if name.startswith(f"{run}."))


def remove_empty_directory(directory: str, thousand: int) -> None:
    """Delete the directory of a thousand runs if it is empty."""
    with contextlib.suppress(OSError):
        os.rmdir(os.path.join(directory, str(thousand)))
        line_times.remove_directory(directory, thousand)


def remove_segment(directory: str, run: int, segment: int) -> int:
    """Delete a segment with its times, if it exists; return the bytes on disk that it had."""
    size = 0
    with contextlib.suppress(FileNotFoundError):
        size = on_disk(os.stat(path(directory, run, segment)))
        os.unlink(path(directory, run, segment))
    line_times.remove(directory, run, segment)
    return size


def on_disk(status: os.stat_result) -> int:
    """Return the bytes of a segment on disk: whole blocks, without blocks that were given back."""
    return min(whole_blocks(status.st_size), status.st_blocks * 512)


def whole_blocks(size: int) -> int:
    """Return a size rounded up to whole blocks."""
    return -(-size // BLOCK) * BLOCK


def _data_start(descriptor: int) -> int:
    """Return the start of a segment's data: earlier blocks may have been given back (lseek(2), SEEK_DATA)."""
    try:
        return os.lseek(descriptor, 0, os.SEEK_DATA)
    except OSError:  # it is empty, or has no data left
        return os.fstat(descriptor).st_size


def upper_run_bound(directory: str) -> int:
    """Return a number above the numbers of all runs with output on disk."""
    try:
        return 1000 * (1 + max((int(name) for name in os.listdir(directory) if name.isdigit()), default=-1))
    except OSError:
        return 0


class Spool:
    """The output of a run; new bytes are appended. Offsets count from the first byte that the run printed."""

    def __init__(self, directory: str, run: int, *, is_new: bool = False) -> None:
        """`is_new`: the run has no output yet, so no segments are searched for."""
        self._directory = directory
        self._run = run
        self._descriptor = -1  # of the last segment
        self._first = 0  # the first segment on disk
        self._given_back = 0  # the offset up to which blocks were given back
        self._middle = 0  # the first segment not yet deleted between both ends
        self._ends = 0  # segments kept at the beginning, if later ones were deleted
        self.marks = LineTimes(directory, run)
        self.size = 0
        if existing := [] if is_new else segments(directory, run):
            self._find_ends(existing[0], existing[-1])

    def _find_ends(self, first: int, last: int) -> None:
        """Find the start and the end of the output in existing segments. Another process may delete them."""
        self._first, self._given_back, self.size = first, first * SEGMENT_SIZE, last * SEGMENT_SIZE
        with (
            contextlib.suppress(FileNotFoundError),
            open(path(self._directory, self._run, first), "rb") as file,
        ):
            self._given_back += _data_start(file.fileno())
        with contextlib.suppress(FileNotFoundError):
            self.size += os.stat(path(self._directory, self._run, last)).st_size

    @property
    def kept_start(self) -> int:
        """The offset of the first byte on disk; earlier output was delivered or dropped, and deleted."""
        return max(self._first * SEGMENT_SIZE, self._given_back)

    @property
    def stored_size(self) -> int:
        """The number of bytes on disk."""
        between = max(0, self._middle - self._ends) if self._middle > self._first else 0
        return self.size - self.kept_start - between * SEGMENT_SIZE

    def skip_to(self, size: int) -> None:
        """Continue at this offset or later. The output before it was delivered; it was deleted to make room,
        or the machine failed before it was on the disk.
        """
        if self.size < size:
            self.size = self._given_back = size
            self._first = size // SEGMENT_SIZE

    def move_from(
        self, fifo: int, at: float, max_size: int = CHUNK_SIZE, stream: str = NOT_SPLIT
    ) -> int | None:
        """Move up to `max_size` bytes from the FIFO. Return their number; 0 at the end of the FIFO, None if
        it is empty. `at` is the time of these bytes in Unix seconds.

        The file is created with the first byte, because many jobs print nothing. Raises OSError if the disk
        is full; the bytes then stay in the pipe.
        """
        if self._descriptor < 0 and not (state := _poll(fifo)) & select.POLLIN:
            return 0 if state & select.POLLHUP else None
        self.open()
        position = self.size % SEGMENT_SIZE
        room = min(max_size, SEGMENT_SIZE - position)
        if stream != NOT_SPLIT:  # first the mark: after a crash each byte must have a stream
            self.marks.note(self.size // SEGMENT_SIZE, position, at, stream)
        try:
            moved = os.splice(fifo, self._descriptor, room, offset_dst=position, flags=os.SPLICE_F_NONBLOCK)
        except BlockingIOError:
            return None
        if moved and stream == NOT_SPLIT:
            self.marks.note(self.size // SEGMENT_SIZE, position, at)
        self.size += moved
        return moved

    def end_line(self) -> None:
        """Add a newline to the output. Raises OSError."""
        self.open()
        self.size += os.pwrite(self._descriptor, b"\n", self.size % SEGMENT_SIZE)

    def open(self) -> None:
        """Open the last segment. Needed for an adopted FIFO: without writers only splice(2) sees its end."""
        last = self.size // SEGMENT_SIZE
        if self._descriptor >= 0 and (self.size % SEGMENT_SIZE or not self.size):
            return
        self.close()
        file = path(self._directory, self._run, last)
        os.makedirs(os.path.dirname(file), mode=0o700, exist_ok=True)
        # Not O_APPEND: splice(2) refuses it. The file's size is the next position.
        self._descriptor = os.open(file, os.O_RDWR | os.O_CREAT | OWN_FILE, 0o600)

    def begin_write_back(self) -> None:
        """Start writing the last segment to the disk, so that a power cut does not destroy it."""
        last = max(0, self.size - 1) // SEGMENT_SIZE
        with contextlib.suppress(OSError):
            descriptor = os.open(path(self._directory, self._run, last), os.O_RDONLY | OWN_FILE)
            begin_write_back(descriptor)
            os.close(descriptor)

    def read(self, offset: int, max_size: int) -> bytes:
        """Return up to `max_size` bytes from `offset` on; fewer if the output ends or is deleted."""
        return read(self._directory, self._run, offset, max_size)

    def times(self, start: int, end: int) -> list[Mark]:
        """Return the times at which the output from `start` up to but not including `end` was read: offsets
        in order, each with the time of the bytes from there on. Output of an older version has the time of
        the last change of its segment.
        """
        marks: list[Mark] = []
        for segment in range(start // SEGMENT_SIZE, -(-end // SEGMENT_SIZE)):
            base = segment * SEGMENT_SIZE
            first = max(0, start - base)
            parts = self.marks.between(segment, first, min(SEGMENT_SIZE, end - base))
            with contextlib.suppress(FileNotFoundError):
                parts = parts or [(first, os.stat(path(self._directory, self._run, segment)).st_mtime)]
            marks += [(base + position, at) for position, at in parts]
        return marks

    def drop_before(self, offset: int, *, ends: int = 0) -> None:
        """Delete the segments that end at or before `offset`, except for the last, which users may read.
        With `ends`, keep this many segments at the beginning and at the current end.
        """
        keep = min(offset, max(0, self.size - 1)) // SEGMENT_SIZE
        first = max(self._first, ends, self._middle) if ends else self._first
        if ends:
            keep = min(keep, self.size // SEGMENT_SIZE - ends)
        for segment in range(first, keep):
            remove_segment(self._directory, self._run, segment)
        if ends:
            self._middle, self._ends = max(first, keep), ends
        else:
            self._first = max(first, keep)

    def give_back(self, offset: int) -> int:
        """Give the whole blocks before `offset` in its segment back to the disk; return their bytes.
        `drop_before` deletes the segments before it.
        """
        segment, end = divmod(offset // BLOCK * BLOCK, SEGMENT_SIZE)
        start, before = segment * SEGMENT_SIZE, self.kept_start
        if start + end <= before:
            return 0
        with contextlib.suppress(OSError), open(path(self._directory, self._run, segment), "r+b") as file:
            if os.fstatvfs(file.fileno()).f_bsize > BLOCK:
                return 0
            arguments = (file.fileno(), KEEP_SIZE_PUNCH_HOLE, ctypes.c_long(0), ctypes.c_long(end))
            if _libc.fallocate64(*arguments) == 0:
                self._given_back = start + end
                return self._given_back - max(before, start)
        return 0

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _poll(fifo: int) -> int:
    """Return the FIFO's state: POLLIN if it holds bytes, POLLHUP if no process has it open for writing."""
    poll = select.poll()
    poll.register(fifo, select.POLLIN)
    return sum(event for _, event in poll.poll(0))


def read(directory: str, run: int, offset: int, max_size: int) -> bytes:
    """Return up to `max_size` bytes of a run's output from `offset` on; fewer if it ends or is deleted."""
    data = b""
    while len(data) < max_size:
        segment, position = divmod(offset + len(data), SEGMENT_SIZE)
        room = min(max_size - len(data), SEGMENT_SIZE - position)
        try:
            with open(path(directory, run, segment), "rb", buffering=0) as file:
                part = os.pread(file.fileno(), room, position)
        except FileNotFoundError:
            break
        data += part
        if len(part) < room:
            break
    return data


def tail(directory: str, run: int, max_size: int) -> bytes:
    """Return the last bytes of a run's output, up to `max_size`."""
    try:  # usually there is a single segment, and listing a large directory is slow
        with open(path(directory, run, 0), "rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            if size < SEGMENT_SIZE:
                start = max(_data_start(file.fileno()), size - max_size)
                return os.pread(file.fileno(), max_size, start)
    except FileNotFoundError:
        pass
    output = Spool(directory, run)
    return output.read(max(output.kept_start, output.size - max_size), max_size)
