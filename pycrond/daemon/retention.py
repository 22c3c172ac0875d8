"""Retention: folds old runs to one row for each day and state and deletes their output; forgets removed jobs
that never ran.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from pycrond import clock
from pycrond.daemon.ledger_limit import LedgerLimit
from pycrond.ledger.archive import DAY_LENGTH, Archive
from pycrond.ledger.codec import decode_options
from pycrond.ledger.pauses import Pauses
from pycrond.ledger.rows import OldRow
from pycrond.output.job_output import smaller
from pycrond.output.kept import KeptOutput
from pycrond.settings import Settings

KEPT_VERSIONS = 100  # of a job
KEPT_GONE_TIME = timedelta(hours=1)  # for a removed job without a run
MAX_TIME = 0.02  # seconds a minute
UNLIMITED = 1 << 62  # runs


class Retention:
    """Processes one job a minute, plus one for each new run or version of a job, within 20 ms; and 1,000
    removed jobs.
    """

    def __init__(self, archive: Archive, pauses: Pauses, kept: KeptOutput, settings: Settings) -> None:
        self._archive = archive
        self._pauses = pauses
        self._kept = kept
        self._settings = settings
        self._limit = LedgerLimit(archive, self._fold, settings.ledger_limit << 20)
        self._gone = ""  # the removed job that was processed last
        self._key = ""  # the job that was processed last
        self._has_more = False  # this job may have more old runs
        self._minute: datetime | None = None
        self._rows = 0

    def step(self, minute: datetime, runs: int, now: datetime) -> None:
        """Work once after the turn of `minute`; `runs` is the number of all runs ever claimed."""
        if self._archive.is_blocked:
            return
        self._limit.step(is_new_minute=minute != self._minute)
        if minute == self._minute:
            return
        rows = runs + self._archive.last_version()
        jobs = 1 + rows - (self._rows if self._minute else rows)
        self._minute, self._rows = minute, rows
        self._gone, forgotten = self._archive.forget_gone_jobs(self._gone, (now - KEPT_GONE_TIME).timestamp())
        self._pauses.forget(forgotten)
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
        """Fold some old runs of a job, and forget old versions; return whether more old runs may be left."""
        self._archive.forget_versions(key, KEPT_VERSIONS)
        options = decode_options(self._archive.options(key))
        days = smaller(options.keep_days, self._settings.keep_days)
        runs = smaller(options.keep_runs, self._settings.keep_runs)
        before = now.timestamp() - days * DAY_LENGTH if days else 0.0
        old = self._archive.old_runs(key, before, runs or UNLIMITED)
        self._fold(key, old)
        return bool(old)

    def _fold(self, key: str, rows: Sequence[OldRow]) -> None:
        """Fold runs of a job, and delete their output."""
        if rows:
            self._archive.fold(key, rows)
        for row in rows:
            if row.bytes:
                self._kept.remove(row.id, key.partition("/")[0], row.bytes)

    def retry_in(self, elapsed: float) -> float | None:
        """Return the seconds until `step` has something to do; None if it waits for the next minute."""
        return self._limit.retry_in(elapsed)
