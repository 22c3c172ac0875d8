"""Jobs that are paused: which, until when, why."""

from collections.abc import Iterable
from datetime import UTC, datetime

from pycrond.ledger.pauses import PauseTable
from pycrond.ledger.rows import PauseRow


class Pauses:
    """Kept in the ledger, so that they survive a restart."""

    def __init__(self, book: PauseTable) -> None:
        self._book = book
        self._paused = {row.key: row for row in book.open()}

    def why(self, key: str, now: datetime) -> str | None:
        """The reason given, which may be empty; None where the job is not paused."""
        paused = self._paused.get(key) if self._paused else None
        if paused is None:
            return None
        if paused.until is not None and now.timestamp() >= paused.until:
            del self._paused[key]
            return None
        return paused.reason

    def pause(self, keys: Iterable[str], until: float | None, reason: str, now: datetime) -> None:
        """Until a time, in Unix seconds, or until they are resumed; a later pause replaces an earlier one."""
        keys = list(keys)
        self.resume(keys, now)
        self._book.pause(keys, until, reason, now)
        self._paused |= {key: PauseRow(key, now.timestamp(), until, reason) for key in keys}

    def resume(self, keys: Iterable[str], now: datetime) -> list[str]:
        """Those among them that were paused."""
        found = [key for key in keys if self.why(key, now) is not None]
        self._book.resume(found, now)
        for key in found:
            del self._paused[key]
        return found

    def tell_new_ledger(self) -> None:
        """All of them, to a ledger that has taken the place of the one that knew them."""
        for row in self._paused.values():
            self._book.pause([row.key], row.until, row.reason, datetime.fromtimestamp(row.since, UTC))

    def count(self, now: datetime) -> int:
        """How many jobs are paused."""
        return sum(self.why(key, now) is not None for key in [*self._paused])
