"""Which runs were begun, which pid each got, and how it ended: in a small file, noted in that instant.

When a daemon is killed before the ledger has it, or while the disk is full, the next one knows all the same.
Of a run that is not in it, it knows that no process was ever started.
"""

import itertools
import os
import struct
from typing import NamedTuple

from pycrond.hashing import digest

FORMAT = struct.Struct("<qqqd")
SLOTS = 8192  # notes that the ledger may not have heard of yet; the first is the file's own
LIVES = -1


class JournalEntry(NamedTuple):
    """A run's process; its status as wait(2) has it, or LIVES, and when it ended, in Unix seconds."""

    pid: int
    status: int = LIVES
    at: float = 0.0


BEGINS, NOT_BEGUN = JournalEntry(0), JournalEntry(-1)
"""It is about to get a process; it got none."""


class Journal:
    """Runs and their processes, in the order in which that was noted."""

    def __init__(self, path: str, boot: str) -> None:
        """The room is taken now: raises OSError where there is none. `boot` tells this boot from others."""
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.posix_fallocate(self._descriptor, 0, SLOTS * FORMAT.size)
        mark = FORMAT.pack(int(digest(boot.encode(), 7), 16), 0, 0, 0.0)
        known = os.pread(self._descriptor, FORMAT.size, 0) == mark
        if not known:
            os.pwrite(self._descriptor, mark + bytes((SLOTS - 1) * FORMAT.size), 0)
        self._used = 1 + len(self._rows())
        self.is_complete = known and self._used < SLOTS
        """Whether it has all that was begun in this boot and that the ledger did not hear of."""

    def read(self) -> dict[int, JournalEntry]:
        """What was noted last of each run that was not forgotten."""
        return {run: JournalEntry(pid, status, at) for run, pid, status, at in self._rows()}

    def _rows(self) -> list[tuple[int, int, int, float]]:
        data = os.pread(self._descriptor, (SLOTS - 1) * FORMAT.size, FORMAT.size)
        rows = FORMAT.iter_unpack(data[: len(data) // FORMAT.size * FORMAT.size])
        return list(itertools.takewhile(lambda row: row[0], rows))

    def note(self, run: int, noted: JournalEntry) -> None:
        """A start or an end; beyond the last slot it is left to the ledger alone."""
        if self._used < SLOTS:
            os.pwrite(self._descriptor, FORMAT.pack(run, *noted), self._used * FORMAT.size)
            self._used += 1

    def forget(self) -> None:
        """The ledger has them all."""
        if self._used > 1:
            os.pwrite(self._descriptor, bytes((self._used - 1) * FORMAT.size), FORMAT.size)
            self._used = 1

    def close(self) -> None:
        os.close(self._descriptor)
