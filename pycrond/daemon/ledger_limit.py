"""The setting `ledger-limit`: the oldest runs of all jobs are folded while the ledger is larger."""

from collections.abc import Callable, Sequence

from pycrond import clock
from pycrond.ledger.archive import Archive
from pycrond.ledger.rows import OldRow

STEP_INTERVAL = 0.25  # seconds between two steps, which take some milliseconds
MIN_WAIT = 0.05  # seconds until a step is tried again that had to wait for starts
EXHAUSTED_INTERVAL = 3600.0  # seconds until the next step if nothing is left to fold
FOLD_ABOVE = 0.9  # the part of the limit above which runs are folded
WASTED, MIN_FREE = 0.25, 1 << 20  # the part of the file, and the bytes, above which free space is given back

Fold = Callable[[str, Sequence[OldRow]], None]


class LedgerLimit:
    """Folds old runs, and then the rows of days, a few at a time, and gives the space back to the disk."""

    def __init__(self, archive: Archive, fold: Fold, limit: int) -> None:
        """`limit` is in bytes; 0: no limit."""
        self._archive = archive
        self._fold = fold
        self._limit = limit
        self._after = 0  # all runs up to this number are folded
        self._all_folded = False
        self._key: str | None = ""  # the job whose days were merged last
        self._free = 0
        self._next_at: float | None = None

    def step(self, *, is_new_minute: bool) -> None:
        """Fold a few runs if the ledger is too large, or give some of its unused space back."""
        elapsed = clock.elapsed()
        if elapsed < self._next_at if self._next_at is not None else not is_new_minute:
            return
        size, before = self._archive.size(), self._free
        self._free = size.free
        self._next_at = elapsed + STEP_INTERVAL
        if self._limit and size.total - size.log - size.free > self._limit * FOLD_ABOVE:
            if not self._make_room():
                self._next_at = elapsed + EXHAUSTED_INTERVAL
        elif size.free > max(MIN_FREE, size.total * WASTED) and size.free != before:
            self._archive.give_back()
        else:
            self._next_at = None

    def _make_room(self) -> bool:
        """Fold some of the oldest runs, or merge the days of a job; return whether more may be left."""
        if not self._all_folded:
            through, jobs = self._archive.oldest_runs(self._after)
            for key, rows in jobs.items():
                self._fold(key, rows)
            self._after, self._all_folded = max(self._after, through), not through
            return True
        self._key = self._archive.next_job(self._key or "")
        if self._key is None:
            self._after, self._all_folded = 0, False
            return False
        self._archive.merge_days(self._key)
        return True

    def retry_in(self, elapsed: float) -> float | None:
        """Return the seconds until `step` has something to do; None if it waits for the next minute."""
        return None if self._next_at is None else max(MIN_WAIT, self._next_at - elapsed)
