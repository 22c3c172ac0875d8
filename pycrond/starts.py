"""Which pid each run got, in a small file overwritten in place: noted in the instant of its start.

When a daemon is killed before the ledger has it, the next one knows all the same.
"""

import os
import struct

FORMAT = struct.Struct("<qq")
SLOTS = 4096  # starts that the ledger may not have heard of yet


class Starts:
    """Runs and pids, in the order of their starts."""

    def __init__(self, path: str) -> None:
        """The room is taken now: raises OSError where there is none."""
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.posix_fallocate(self._descriptor, 0, SLOTS * FORMAT.size)
        self._used = len(self.read())

    def read(self) -> dict[int, int]:
        """The pid of each run that was not forgotten."""
        data = os.pread(self._descriptor, SLOTS * FORMAT.size, 0)
        found = {}
        for run, pid in FORMAT.iter_unpack(data[: len(data) // FORMAT.size * FORMAT.size]):
            if not run:
                break
            found[run] = pid
        return found

    def note(self, run: int, pid: int) -> None:
        """A start; beyond the last slot it is left to the ledger alone."""
        if self._used < SLOTS:
            os.pwrite(self._descriptor, FORMAT.pack(run, pid), self._used * FORMAT.size)
            self._used += 1

    def forget(self) -> None:
        """The ledger has them all."""
        if self._used:
            os.pwrite(self._descriptor, bytes(self._used * FORMAT.size), 0)
            self._used = 0

    def close(self) -> None:
        os.close(self._descriptor)
