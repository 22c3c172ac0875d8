"""The paused jobs, in memory and in the ledger's table of pauses."""

from collections.abc import Iterable
from datetime import datetime

from pycrond.ledger.database import Database
from pycrond.ledger.rows import PauseRow

MAX_MOVE = 1e12  # seconds; keeps the times finite


class Pauses:
    """Pauses and resumes jobs; pauses survive a restart of the daemon."""

    def __init__(self, file: Database, now: datetime) -> None:
        """A pause whose start is after now begins now, with the same length."""
        self._file = file
        rows = file.db.execute("SELECT key, since, until, reason FROM pauses WHERE ended_at IS NULL")
        self._paused = {row.key: row for row in (PauseRow(*values) for values in rows)}
        for row in [*self._paused.values()]:
            if row.since > now.timestamp():
                self._move([row], max(now.timestamp() - row.since, -MAX_MOVE))

    def clock_was_turned(self, seconds: float) -> None:
        """Move the ends of all pauses: each is a duration."""
        self._move([*self._paused.values()], seconds)

    def _move(self, rows: Iterable[PauseRow], seconds: float) -> None:
        for row in rows:
            until = None if row.until is None else row.until + seconds
            self._paused[row.key] = row._replace(since=row.since + seconds, until=until)
        statement = (
            "UPDATE pauses SET since = since + ?, until = until + ? WHERE key = ? AND ended_at IS NULL"
        )
        self._file.write((statement, [(seconds, seconds, row.key) for row in rows]))

    def reason(self, key: str, now: datetime) -> str | None:
        """Return the reason given for a job's pause, which may be empty; None if the job is not paused."""
        pause = self._paused.get(key) if self._paused else None
        if pause is None or (pause.until is not None and now.timestamp() >= pause.until):
            return None
        return pause.reason

    def pause(self, keys: Iterable[str], until: float | None, reason: str, now: datetime) -> None:
        """Pause jobs until a time, in Unix seconds, or until they are resumed; this replaces an earlier
        pause.
        """
        keys = list(keys)
        self.resume(keys, now)
        rows = [PauseRow(key, now.timestamp(), until, reason) for key in keys]
        # Ended pauses are deleted, so that a job has few rows, however often it is paused.
        delete_ended = "DELETE FROM pauses WHERE key = ? AND (ended_at < ? OR until < ?)"
        self._file.write((delete_ended, [(key, now.timestamp(), now.timestamp()) for key in keys]))
        self._write(rows)
        self._paused |= {row.key: row for row in rows}

    def resume(self, keys: Iterable[str], now: datetime) -> list[str]:
        """End pauses; return the jobs that were paused."""
        paused = [key for key in keys if self.reason(key, now) is not None]
        statement = "UPDATE pauses SET ended_at = ? WHERE key = ? AND ended_at IS NULL"
        self._file.write((statement, [(now.timestamp(), key) for key in paused]))
        for key in paused:
            del self._paused[key]
        return paused

    def _write(self, rows: Iterable[PauseRow]) -> None:
        statement = "INSERT INTO pauses (key, since, until, reason) VALUES (?, ?, ?, ?)"
        self._file.write((statement, [tuple(row) for row in rows]))

    def write_all(self) -> None:
        """Write all pauses to a new ledger that has replaced a damaged one."""
        self._write(self._paused.values())

    def drop_expired(self, now: datetime) -> None:
        """Forget the pauses whose time is over."""
        if self._paused:
            at = now.timestamp()
            self._paused = {
                key: row for key, row in self._paused.items() if row.until is None or at < row.until
            }

    def forget(self, keys: Iterable[str]) -> None:
        """Forget the pauses of jobs that the ledger has forgotten."""
        for key in keys:
            self._paused.pop(key, None)

    def count(self, now: datetime) -> int:
        """Return the number of paused jobs."""
        return sum(self.reason(key, now) is not None for key in self._paused)
