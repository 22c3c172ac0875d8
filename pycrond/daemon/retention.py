"""Retention: old runs are folded to one row for each day and state, and their output is deleted."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from pycrond import clock
from pycrond.ledger.archive import Archive
from pycrond.ledger.rows import FoldedRow, OldRow
from pycrond.output import spool

KEPT_TIME = timedelta(days=90)
KEPT_RUNS = 10_000  # of a job
MAX_TIME = 0.02  # seconds a minute


class Retention:
    """Folds the runs of one job a minute, and of one more for each new run, within 20 ms."""

    def __init__(self, archive: Archive, spool_dir: str) -> None:
        self._archive = archive
        self._spool_dir = spool_dir
        self._key = ""  # of the job that was looked at last
        self._has_more = False  # old runs of that job
        self._minute: datetime | None = None
        self._runs = 0

    def step(self, minute: datetime, runs: int, now: datetime) -> None:
        """Work once after the turn of `minute`; `runs` is the number of runs there have ever been."""
        if minute == self._minute or self._archive.is_blocked:
            return
        jobs = 1 + runs - (self._runs if self._minute else runs)
        self._minute, self._runs = minute, runs
        until = clock.elapsed() + MAX_TIME
        first = None
        while jobs > 0 and clock.elapsed() < until:
            jobs -= 1
            if not self._has_more:
                self._key = self._archive.next_job(self._key) or self._archive.next_job("") or ""
                if self._key in {"", first}:
                    return
            first = first or self._key
            self._has_more = self.fold(self._key, now)

    def fold(self, key: str, now: datetime) -> bool:
        """Fold some old runs of a job; return whether there may be more."""
        old = self._archive.old_runs(key, (now - KEPT_TIME).timestamp(), KEPT_RUNS)
        if old:
            self._archive.fold(key, _by_day(old), [row.id for row in old])
        for row in old:
            spool.remove(self._spool_dir, row.id, row.bytes)
        return bool(old)


def _by_day(old: Iterable[OldRow]) -> list[FoldedRow]:
    """A row for each day (UTC) and state; first attempts at fires apart from all other runs."""
    groups: dict[tuple[object, ...], list[OldRow]] = defaultdict(list)
    for row in old:
        day = datetime.fromtimestamp(row.fire, UTC).date()
        groups[day, row.state, row.wall is None, row.attempt > 1].append(row)
    return [_folded(rows) for rows in groups.values()]


def _folded(rows: list[OldRow]) -> FoldedRow:
    first = min(rows, key=lambda row: (row.fire, row.id))
    last = max(row.fire for row in rows)
    return FoldedRow(
        min(row.id for row in rows),
        first.fire,
        first.wall,
        first.fold,
        first.era,
        first.attempt,
        first.state,
        last,
        len(rows),
    )
