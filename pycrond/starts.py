"""Which pid each run got, and how it ended, in a small file overwritten in place: noted in that instant.

When a daemon is killed before the ledger has it, or while the disk is full, the next one knows all the same.
"""

import itertools
import os
import struct
from typing import NamedTuple

FORMAT = struct.Struct("<qqqd")
SLOTS = 4096  # starts and ends that the ledger may not have heard of yet
LIVES = -1


class Noted(NamedTuple):
    """A run's process; its status as wait(2) has it, or LIVES, and when it ended, in Unix seconds."""

    pid: int
    status: int = LIVES
    at: float = 0.0


class Starts:
    """Runs and their processes, in the order in which that was noted."""

    def __init__(self, path: str) -> None:
        """The room is taken now: raises OSError where there is none."""
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.posix_fallocate(self._descriptor, 0, SLOTS * FORMAT.size)
        self._used = len(self._rows())

    def read(self) -> dict[int, Noted]:
        """What was noted last of each run that was not forgotten."""
        return {run: Noted(pid, status, at) for run, pid, status, at in self._rows()}

    def _rows(self) -> list[tuple[int, int, int, float]]:
        data = os.pread(self._descriptor, SLOTS * FORMAT.size, 0)
        rows = FORMAT.iter_unpack(data[: len(data) // FORMAT.size * FORMAT.size])
        return list(itertools.takewhile(lambda row: row[0], rows))

    def note(self, run: int, noted: Noted) -> None:
        """A start or an end; beyond the last slot it is left to the ledger alone."""
        if self._used < SLOTS:
            os.pwrite(self._descriptor, FORMAT.pack(run, *noted), self._used * FORMAT.size)
            self._used += 1

    def forget(self) -> None:
        """The ledger has them all."""
        if self._used:
            os.pwrite(self._descriptor, bytes(self._used * FORMAT.size), 0)
            self._used = 0

    def close(self) -> None:
        os.close(self._descriptor)
