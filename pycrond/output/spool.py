"""A run's output on disk: the truth, from which syslog and people are served.

Bytes come from the run's FIFO by splice(2): in the kernel, so that a kill at any instant loses none. The
spool is a row of segments; those that everyone has had are deleted, but for the last.
"""

import contextlib
import os
import select

SEGMENT = 1 << 20  # bytes
CHUNK = 1 << 16  # bytes moved at once: what a pipe holds


def path(directory: str, run: int, segment: int) -> str:
    """Where a segment of a run's output lies: a thousand runs share a folder."""
    return os.path.join(directory, str(run // 1000), f"{run}.{segment}")


def segments(directory: str, run: int) -> list[int]:
    """The segments that are there, in order; none for a run that printed nothing."""
    try:
        names = os.listdir(os.path.join(directory, str(run // 1000)))
    except OSError:
        return []
    return sorted(int(name.partition(".")[2]) for name in names if name.startswith(f"{run}."))


def remove(directory: str, run: int, size: int) -> None:
    """All that is kept of a run that printed `size` bytes; the folder too, if nothing else is in it."""
    for segment in range(-(-size // SEGMENT)):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path(directory, run, segment))
    if size:
        with contextlib.suppress(OSError):
            os.rmdir(os.path.dirname(path(directory, run, 0)))


def highest(directory: str) -> int:
    """A number that no run whose output is kept has gone beyond."""
    try:
        return 1000 * (1 + max((int(name) for name in os.listdir(directory) if name.isdigit()), default=-1))
    except OSError:
        return 0


class Spool:
    """One run's output, growing at its end; offsets count from its first byte ever."""

    def __init__(self, directory: str, run: int, *, is_new: bool = False) -> None:
        """`is_new`: nothing is there yet, which need not be looked for."""
        self._directory = directory
        self._run = run
        self._descriptor = -1  # of the last segment
        there = [] if is_new else segments(directory, run)
        self._first = there[0] if there else 0
        self._middle = 0  # where the next one to be deleted between both ends is
        self.size = 0
        if there:
            self.size = there[-1] * SEGMENT + os.stat(path(directory, run, there[-1])).st_size

    @property
    def begin(self) -> int:
        """Where what is kept begins: everyone has had what was before."""
        return self._first * SEGMENT

    def take(self, fifo: int) -> int | None:
        """Move what the FIFO holds, up to a chunk: bytes moved, 0 at its end, None when it is empty for now.

        The first byte makes the file, for many jobs print nothing. Raises OSError where the disk takes no
        more; the bytes then stay in the pipe.
        """
        if self._descriptor < 0 and not (state := _state(fifo)) & select.POLLIN:
            return 0 if state & select.POLLHUP else None
        self.open()
        inside = self.size % SEGMENT
        room = min(CHUNK, SEGMENT - inside)
        try:
            moved = os.splice(fifo, self._descriptor, room, offset_dst=inside, flags=os.SPLICE_F_NONBLOCK)
        except BlockingIOError:
            return None
        self.size += moved
        return moved

    def open(self) -> None:
        """Have the last segment open. An adopted FIFO without writers shows its end only to splice itself."""
        last = self.size // SEGMENT
        if self._descriptor >= 0 and (self.size % SEGMENT or not self.size):
            return
        self.close()
        file = path(self._directory, self._run, last)
        os.makedirs(os.path.dirname(file), mode=0o700, exist_ok=True)
        # Not O_APPEND: splice(2) refuses it. The file's size says where to go on.
        self._descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def read(self, offset: int, most: int) -> bytes:
        """Up to `most` bytes from `offset` on; less only at the end, or where it is gone."""
        return read(self._directory, self._run, offset, most)

    def drop_before(self, offset: int, *, ends: int = 0) -> None:
        """Delete the segments that end at or before `offset`, but for the last: people may want it.
        With `ends` so many are kept at the beginning, and at the end as it is now.
        """
        keep = min(offset, max(0, self.size - 1)) // SEGMENT
        first = max(self._first, ends, self._middle) if ends else self._first
        if ends:
            keep = min(keep, self.size // SEGMENT - ends)
        for segment in range(first, keep):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path(self._directory, self._run, segment))
        if ends:
            self._middle = max(first, keep)
        else:
            self._first = max(first, keep)

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _state(fifo: int) -> int:
    """What poll(2) says of the FIFO now: POLLIN there are bytes, POLLHUP nobody has it open for writing."""
    poll = select.poll()
    poll.register(fifo, select.POLLIN)
    found = poll.poll(0)
    return found[0][1] if found else 0


def read(directory: str, run: int, offset: int, most: int) -> bytes:
    """Up to `most` bytes of a run's output from `offset` on; less only at its end, or where it is gone."""
    data = b""
    while len(data) < most:
        segment, inside = divmod(offset + len(data), SEGMENT)
        room = min(most - len(data), SEGMENT - inside)
        try:
            with open(path(directory, run, segment), "rb", buffering=0) as file:
                part = os.pread(file.fileno(), room, inside)
        except FileNotFoundError:
            break
        data += part
        if len(part) < room:
            break
    return data


def kept(directory: str, run: int) -> tuple[int, int]:
    """Where the kept output of a run begins and ends; both 0 where there is none."""
    there = segments(directory, run)
    if not there:
        return 0, 0
    try:
        size = os.stat(path(directory, run, there[-1])).st_size
    except FileNotFoundError:
        size = 0
    return there[0] * SEGMENT, there[-1] * SEGMENT + size


def end(directory: str, run: int, most: int) -> bytes:
    """The last bytes of what is kept of a run's output."""
    try:  # nearly always there is one segment alone, and folders are long
        with open(path(directory, run, 0), "rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            if size < SEGMENT:
                return os.pread(file.fileno(), most, max(0, size - most))
    except FileNotFoundError:
        pass
    first, last = kept(directory, run)
    return read(directory, run, max(first, last - most), most)


def first_offset(directory: str, run: int) -> int | None:
    """Where the kept output of a run begins; None where there is none."""
    there = segments(directory, run)
    return there[0] * SEGMENT if there else None
