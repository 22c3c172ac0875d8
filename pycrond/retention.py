"""What is old is folded: a row stays for each state of a job's runs of a day, and their output goes."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from pycrond import clock, spool
from pycrond.foldbook import Foldbook
from pycrond.run import FoldedRow, OldRow

KEPT_FOR = timedelta(days=90)
KEPT_MOST = 10_000  # runs of a job
SHARE = 0.02  # seconds that are spent on it after a minute's work


class Retention:
    """Goes round the jobs, a few after each minute, so that nobody waits for it."""

    def __init__(self, book: Foldbook, spools: str) -> None:
        self._book = book
        self._spools = spools
        self._last = ""  # the job that was looked at last
        self._minute: datetime | None = None

    def tend(self, minute: datetime, now: datetime) -> None:
        """Once after each turn, that of `minute`."""
        if minute == self._minute or self._book.is_owed:
            return
        self._minute = minute
        until = clock.elapsed() + SHARE
        first = None
        while clock.elapsed() < until:
            self._last = self._book.job_after(self._last) or self._book.job_after("") or ""
            if self._last in {"", first}:
                return
            first = first or self._last
            self.fold(self._last, now)

    def fold(self, key: str, now: datetime) -> None:
        """A share of the old runs of one job."""
        old = self._book.old_runs(key, (now - KEPT_FOR).timestamp(), KEPT_MOST)
        if not old:
            return
        self._book.fold(key, _by_day(old), [one.id for one in old])
        for one in old:
            spool.remove(self._spools, one.id, one.bytes)


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
