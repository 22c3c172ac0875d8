"""The delivered output of runs, which stays on disk for people until there is no room for it.

The files themselves say what there is. After a start they are counted, a directory at a time.
"""

import contextlib
import os
from collections import deque
from collections.abc import Callable

from pycrond import clock
from pycrond.output import spool

BLOCK = 4096  # bytes; a file takes whole blocks on disk
MAX_TURN_TIME = 0.002  # seconds of a turn of the loop in which files are counted
MAX_DELETED = 100  # runs whose output is deleted at once


class KeptOutput:
    """Counts the delivered output, and deletes the oldest."""

    def __init__(self, directory: str, is_open: Callable[[int], bool]) -> None:
        """`is_open` tells whether the output of a run is not delivered in full yet: it is not kept output."""
        self._directory = directory
        self._is_open = is_open
        self._uncounted = deque(self._thousands())
        self._coming: deque[int] = deque()  # directories of runs that may be deleted, the oldest first
        self._oldest: deque[int] = deque()  # runs of one directory
        self.size = 0
        """Bytes on disk, as far as they are counted."""

    def _thousands(self) -> list[int]:
        """Return the numbers of the directories, each of a thousand runs, in order."""
        with contextlib.suppress(OSError):
            return sorted(int(name) for name in os.listdir(self._directory) if name.isdigit())
        return []

    def count(self) -> bool:
        """Count for a moment what earlier daemons left; return whether there is more to count."""
        give_up_at = clock.elapsed() + MAX_TURN_TIME
        while self._uncounted and clock.elapsed() < give_up_at:
            self.size += sum(self._runs(self._uncounted.popleft()).values())
        return bool(self._uncounted)

    def _runs(self, thousand: int) -> dict[int, int]:
        """Return the bytes on disk of the kept output of each run in a directory, the oldest first."""
        sizes: dict[int, int] = {}
        with (
            contextlib.suppress(OSError),
            os.scandir(os.path.join(self._directory, str(thousand))) as entries,
        ):
            for entry in entries:
                run = int(entry.name.partition(".")[0])
                if not self._is_open(run):
                    with contextlib.suppress(FileNotFoundError):
                        sizes[run] = sizes.get(run, 0) + _on_disk(entry.stat().st_size)
        return dict(sorted(sizes.items()))

    def add(self, run: int, size: int) -> None:
        """Count output of a run that has become kept output; less than 0: that was deleted."""
        if run // 1000 not in self._uncounted:
            self.size = max(0, self.size + _on_disk(size))

    def remove(self, run: int) -> int:
        """Delete the kept output of a run; return the bytes on disk that it had."""
        sizes = [
            spool.remove_segment(self._directory, run, segment)
            for segment in spool.segments(self._directory, run)
        ]
        if sizes:
            spool.remove_empty_directory(self._directory, run // 1000)
        freed = sum(map(_on_disk, sizes))
        self.add(run, -freed)
        return freed

    def free(self, size: int) -> int:
        """Delete so many bytes of kept output, or more, of the oldest runs; return how many, which may be
        less because there is no more, or not now.
        """
        freed = deleted = 0
        while freed < size and deleted < MAX_DELETED and self._find_oldest():
            run = self._oldest.popleft()
            if not self._is_open(run):
                freed += self.remove(run)
                deleted += 1
        return freed

    def _find_oldest(self) -> bool:
        """Find the runs that come next; False if there are none, after a look at all directories."""
        was_reset = False
        while not self._oldest:
            if not self._coming:
                if was_reset or not self.size:
                    self.size = 0 if not self._uncounted else self.size
                    return False
                self._coming, was_reset = deque(self._thousands()), True
                continue
            self._oldest.extend(self._runs(self._coming.popleft()))
        return True


def _on_disk(size: int) -> int:
    """Return a size rounded up to whole blocks."""
    return -(-size // BLOCK) * BLOCK
