"""What is old is folded: a row stays for each state of a job's runs of a day, and their output goes."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from pycrond import clock
from pycrond.ledger.archive import Archive
from pycrond.ledger.rows import FoldedRow, OldRow
from pycrond.output import spool

KEPT_FOR = timedelta(days=90)
KEPT_MOST = 10_000  # runs of a job
SHARE = 0.02  # seconds that are spent on it after a minute's work


class Retention:
    """Goes round the jobs, after each minute at one and one more for each run: nobody waits for it, and an
    idle machine is left alone.
    """

    def __init__(self, book: Archive, spools: str) -> None:
        self._book = book
        self._spools = spools
        self._key = ""  # of the job that was looked at last
        self._has_more = False  # of that job
        self._minute: datetime | None = None
        self._runs = 0

    def tick(self, minute: datetime, runs: int, now: datetime) -> None:
        """Once after each turn, that of `minute`; `runs` is how many there have ever been."""
        if minute == self._minute or self._book.is_owed:
            return
        looks = 1 + runs - (self._runs if self._minute else runs)
        self._minute, self._runs = minute, runs
        until = clock.elapsed() + SHARE
        first = None
        while looks > 0 and clock.elapsed() < until:
            looks -= 1
            if not self._has_more:
                self._key = self._book.job_after(self._key) or self._book.job_after("") or ""
                if self._key in {"", first}:
                    return
            first = first or self._key
            self._has_more = self.fold(self._key, now)

    def fold(self, key: str, now: datetime) -> bool:
        """A share of the old runs of one job; whether there may be more of them."""
        old = self._book.old_runs(key, (now - KEPT_FOR).timestamp(), KEPT_MOST)
        if old:
            self._book.fold(key, _by_day(old), [one.id for one in old])
        for one in old:
            spool.remove(self._spools, one.id, one.bytes)
        return bool(old)


def _by_day(old: Iterable[OldRow]) -> list[FoldedRow]:
    """A row for each day (UTC) and state; first attempts at fires apart from all other runs."""
    groups: dict[tuple[object, ...], list[OldRow]] = defaultdict(list)
    for one in old:
        day = datetime.fromtimestamp(one.fire, UTC).date()
        groups[day, one.state, one.wall is None, one.attempt > 1].append(one)
    return [_row(several) for several in groups.values()]


def _row(several: list[OldRow]) -> FoldedRow:
    first = min(several, key=lambda one: (one.fire, one.id))
    last = max(one.fire for one in several)
    return FoldedRow(
        min(one.id for one in several),
        first.fire,
        first.wall,
        first.fold,
        first.era,
        first.attempt,
        first.state,
        last,
        len(several),
    )
