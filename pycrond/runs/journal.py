"""The journal of starts and ends: a small file that is written immediately, before the ledger.

If a daemon is killed before the ledger has them, or while the disk is full, the next daemon reads them from
the journal. For a run that is not in it, no process was ever started.
"""

import itertools
import os
import struct
from collections.abc import Container, Iterable
from datetime import datetime
from typing import NamedTuple

from pycrond.hashing import digest
from pycrond.host import procfs
from pycrond.host.safe_paths import OWN_FILE
from pycrond.keeper.client import KeeperClient
from pycrond.ledger.writer import Ledger
from pycrond.output.capture import Capture

FORMAT = struct.Struct("<qqqd")
SLOTS = 8192  # entries that the ledger may not have yet; the first slot identifies the file
LIVES = -1


class JournalEntry(NamedTuple):
    """A run's process, its wait(2) status or LIVES, and the time of its end in Unix seconds."""

    pid: int
    status: int = LIVES
    at: float = 0.0


BEGINS = JournalEntry(0)
"""Written before the process is started."""
NOT_BEGUN = JournalEntry(-1)
"""Written when the start has failed."""


class Journal:
    """The file, and the pending updates for the ledger and the keeper.

    The order (starts, ends, release) makes a crash between two steps recoverable.
    """

    def __init__(self, path: str, boot: str, ledger: Ledger, keeper: KeeperClient, capture: Capture) -> None:
        """Reserve the room on the disk; raises OSError if there is none. `boot` identifies this boot."""
        self._ledger = ledger
        self._keeper = keeper
        self._capture = capture
        self._starts: list[tuple[int, int, datetime, float]] = []
        self._releases: list[tuple[int, int, int]] = []
        self._path = path
        self._descriptor = _open(path)
        mark = FORMAT.pack(int(digest(boot.encode(), 7), 16), 0, 0, 0.0)
        is_known = os.pread(self._descriptor, FORMAT.size, 0) == mark
        if not is_known:
            os.pwrite(self._descriptor, mark + bytes((SLOTS - 1) * FORMAT.size), 0)
        self._used = 1 + len(self._rows())
        self.is_complete = is_known and self._used < SLOTS
        """True if it has every start of this boot that the ledger does not have."""

    # The file

    @property
    def is_in_place(self) -> bool:
        """Return whether the file is still at its path, where the next daemon looks for it."""
        try:
            return os.path.samestat(os.stat(self._path), os.fstat(self._descriptor))
        except OSError:
            return False

    def make_again(self) -> None:
        """Write a new file at the path if the file is no longer there. Raises OSError."""
        if not self.is_in_place:
            new = _open(self._path)
            os.pwrite(new, os.pread(self._descriptor, SLOTS * FORMAT.size, 0), 0)
            os.close(self._descriptor)
            self._descriptor = new

    def read(self) -> dict[int, JournalEntry]:
        """Return the last entry of each run in the file."""
        return {run: JournalEntry(pid, status, at) for run, pid, status, at in self._rows()}

    def _rows(self) -> list[tuple[int, int, int, float]]:
        data = os.pread(self._descriptor, (SLOTS - 1) * FORMAT.size, FORMAT.size)
        rows = FORMAT.iter_unpack(data[: len(data) // FORMAT.size * FORMAT.size])
        return list(itertools.takewhile(lambda row: row[0], rows))

    def note(self, run: int, entry: JournalEntry) -> None:
        """Write a start or an end; when all slots are used, only the ledger will have it."""
        if self._used < SLOTS:
            os.pwrite(self._descriptor, FORMAT.pack(run, *entry), self._used * FORMAT.size)
            self._used += 1

    def clear(self) -> None:
        """Empty the file: the ledger has all its entries."""
        if self._used > 1:
            os.pwrite(self._descriptor, bytes((self._used - 1) * FORMAT.size), FORMAT.size)
            self._used = 1

    # Pending updates for the ledger and the keeper

    def add_start(self, run: int, pid: int, at: datetime, lateness: float) -> None:
        """Queue a start for the ledger; `lateness` in ms."""
        self._starts.append((run, pid, at, lateness))

    def forget_processes(self, processes: Iterable[tuple[int, int]]) -> None:
        """Have the keeper forget processes, by pid and start time, once the ledger has been written."""
        self._releases += [(0, *process) for process in processes]

    def write_starts(self, living: Container[int]) -> None:
        """Write the queued starts to the ledger. The start time of a pid in `living` is read from /proc."""
        if self._starts:
            rows = [
                (run, pid, (procfs.start_ticks(pid) or 0) if pid in living else 0, at, lateness)
                for run, pid, at, lateness in self._starts
            ]
            self._ledger.started(rows)
            self._starts.clear()

    def release(self) -> None:
        """Clear the file and release the keeper's copies, if the ledger has everything."""
        if self._ledger.file.has_pending:
            return
        self.clear()
        releases = [*self._releases, *((run, 0, 0) for run in self._capture.take_closed())]
        if releases:
            self._keeper.release(releases)
            self._releases.clear()


def _open(path: str) -> int:
    """Open the file, and reserve its room on the disk."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | OWN_FILE, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, SLOTS * FORMAT.size)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
