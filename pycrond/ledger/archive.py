"""The folding of old runs in the ledger: one row stands for all runs of a job, kind and day."""

import sqlite3
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from pycrond.ledger import totals
from pycrond.ledger.database import Database
from pycrond.ledger.rows import OldRow

SELECT_OLD = """
    SELECT id, fire, wall, fold, era, attempt, state, bytes FROM runs
    WHERE key = :key AND folded IS NULL AND told = 3 AND state NOT IN ('claimed', 'waiting', 'running')
    AND (fire < :before OR id <= :through) ORDER BY id LIMIT :most
"""
STORE_FOLDED = """
    INSERT INTO runs (id, key, fire, wall, fold, era, trigger, attempt, state, told, until, folded)
    VALUES (?, ?, ?, ?, ?, ?, 'schedule', ?, ?, 3, ?, ?)
"""
SELECT_OLDEST = """
    SELECT key, id, fire, wall, fold, era, attempt, state, bytes FROM runs
    WHERE id BETWEEN :first AND :last AND folded IS NULL AND told = 3
    AND state NOT IN ('claimed', 'waiting', 'running')
    AND NOT EXISTS (SELECT 1 FROM last_runs WHERE last_runs.key = runs.key AND run = runs.id)
    ORDER BY id LIMIT :most
"""
SELECT_FOLDED = """
    SELECT id, fire, until, folded, state, wall IS NULL, attempt > 1 FROM runs
    WHERE key = ? AND folded NOT NULL AND reason_code = '' ORDER BY id
"""
SELECT_SAME_DAY = """
    SELECT id, fire, until, folded FROM runs WHERE key = ? AND folded NOT NULL AND reason_code = '' AND state
    = ? AND (wall IS NULL) = ? AND (attempt > 1) = ? AND fire >= ? AND fire < ? ORDER BY id LIMIT 1
"""
EXTEND_FOLDED = "UPDATE runs SET fire = ?, until = ?, folded = ? WHERE id = ?"
SELECT_GONE = """
    SELECT key, NOT EXISTS (SELECT 1 FROM runs WHERE runs.key = gone.key) AND NOT EXISTS (
        SELECT 1 FROM job_versions WHERE job_versions.key = gone.key AND coalesce(until, 9e999) > ?
    ) FROM (SELECT key FROM jobs WHERE loaded = 0 AND key > ? ORDER BY key LIMIT ?) AS gone
"""
DAY_LENGTH = 86_400  # seconds
MAX_ROWS = 200  # runs folded at once
MAX_OLDEST = 100  # runs folded at once to make the ledger smaller
SEARCHED_ROWS = 5_000  # run numbers searched at once for the oldest runs
PAGES_GIVEN_BACK = 100  # pages given back to the disk at once
MAX_GONE = 1_000  # gone jobs checked in a minute


class LedgerSize(NamedTuple):
    """The bytes of the ledger on disk."""

    total: int
    """All bytes, including `free` and `log`."""
    free: int
    """Bytes of the pages that new rows will use."""
    log: int
    """Bytes of the write-ahead log: roughly what was written since the last checkpoint."""


class Archive:
    """Reads ended runs, and folds old ones."""

    def __init__(self, file: Database) -> None:
        self._file = file

    @property
    def is_blocked(self) -> bool:
        """True while the disk is full, so that nothing can be folded."""
        return self._file.has_pending

    def size(self) -> LedgerSize:
        db = self._file.db
        page, pages, free = (
            int(db.execute(f"PRAGMA {name}").fetchone()[0])
            for name in ("page_size", "page_count", "freelist_count")
        )
        log = self._file.log_size()
        return LedgerSize(page * pages + log, page * free, log)

    def give_back(self) -> None:
        """Give some free pages back to the disk; a file made by an older version keeps them."""
        with suppress(sqlite3.OperationalError):  # the disk is full
            self._file.db.execute(f"PRAGMA incremental_vacuum({PAGES_GIVEN_BACK})").fetchall()

    def oldest_runs(self, after: int) -> tuple[int, dict[str, list[OldRow]]]:
        """Return some of the oldest unfolded runs with numbers above `after`, by job, and the number after
        which the next call continues, 0 at the end. The last run of each job is left out.
        """
        db = self._file.db
        newest = db.execute("SELECT max(id) FROM runs").fetchone()[0] or 0
        last = after + SEARCHED_ROWS
        values = {"first": after + 1, "last": last, "most": MAX_OLDEST}
        rows = db.execute(SELECT_OLDEST, values).fetchall()
        jobs: dict[str, list[OldRow]] = defaultdict(list)
        for key, *columns in rows:
            jobs[key].append(OldRow(*columns))
        through = int(rows[-1][1]) if len(rows) == MAX_OLDEST else last
        return through if through < newest else 0, jobs

    def merge_days(self, key: str) -> bool:
        """Merge the folded rows of a job into one for each kind; return whether any were merged."""
        kinds: dict[tuple[object, ...], list[tuple[int, float, float, int]]] = defaultdict(list)
        for number, fire, until, folded, *kind in self._file.db.execute(SELECT_FOLDED, (key,)):
            kinds[tuple(kind)].append((number, fire, until, folded))
        merged = [
            (min(r[1] for r in rows), max(r[2] for r in rows), sum(r[3] for r in rows), rows[0][0])
            for rows in kinds.values()
            if len(rows) > 1
        ]
        gone = [(row[0],) for rows in kinds.values() for row in rows[1:]]
        self._file.write(("DELETE FROM runs WHERE id = ?", gone), (EXTEND_FOLDED, merged))
        return bool(gone)

    def options(self, key: str) -> str:
        """Return the options of a job, in JSON."""
        row = self._file.db.execute("SELECT options FROM jobs WHERE key = ?", (key,)).fetchone()
        return str(row[0]) if row else "{}"

    def next_job(self, key: str) -> str | None:
        """Return the key of the next job after `key`, loaded or gone; None after the last."""
        row = self._file.db.execute("SELECT min(key) FROM jobs WHERE key > ?", (key,)).fetchone()
        return str(row[0]) if row[0] is not None else None

    def last_version(self) -> int:
        """Return the number of the latest job version, roughly the count of all versions so far."""
        return int(self._file.db.execute("SELECT max(id) FROM job_versions").fetchone()[0] or 0)

    def forget_gone_jobs(self, after: str, before: float) -> tuple[str, list[str]]:
        """Delete some jobs that have been gone since `before` or earlier and have no run, with their rows in
        other tables. Return the last key that was checked, empty at the end, and the deleted keys.
        """
        rows = self._file.db.execute(SELECT_GONE, (before, after, MAX_GONE)).fetchall()
        keys = [str(key) for key, is_over in rows if is_over]
        values = [(key,) for key in keys]
        self._file.write(
            ("DELETE FROM job_versions WHERE key = ?", values),
            ("DELETE FROM pauses WHERE key = ?", values),
            ("DELETE FROM last_runs WHERE key = ?", values),
            *totals.forgotten(values),
            ("DELETE FROM jobs WHERE key = ? AND loaded = 0", values),
        )
        return str(rows[-1][0]) if len(rows) == MAX_GONE else "", keys

    def forget_versions(self, key: str, most: int) -> None:
        """Delete all but the latest versions of a job."""
        latest = "SELECT id FROM job_versions WHERE key = ? ORDER BY id DESC LIMIT 1 OFFSET ?"
        oldest = self._file.db.execute(latest, (key, most)).fetchone()
        if oldest:
            self._file.write(("DELETE FROM job_versions WHERE key = ? AND id <= ?", [(key, oldest[0])]))

    def users(self, first: int, last: int) -> dict[int, str]:
        """Return the users of the runs from number `first` to `last`."""
        rows = self._file.db.execute("SELECT id, key FROM runs WHERE id BETWEEN ? AND ?", (first, last))
        return {run: key.partition("/")[0] for run, key in rows}

    def printed(self, key: str) -> list[tuple[int, int]]:
        """Return the runs of a job that printed something, each with its bytes of output, newest first."""
        statement = "SELECT id, bytes FROM runs WHERE key = ? AND bytes > 0 ORDER BY id DESC"
        return self._file.db.execute(statement, (key,)).fetchall()

    def old_runs(self, key: str, before: float, max_runs: int) -> list[OldRow]:
        """Return some runs of a job that were due before `before`, or are not among its latest `max_runs`."""
        row = self._file.db.execute(
            "SELECT id FROM runs WHERE key = ? ORDER BY id DESC LIMIT 1 OFFSET ?", (key, max_runs)
        ).fetchone()
        values = {"key": key, "before": before, "through": row[0] if row else 0, "most": MAX_ROWS}
        return [OldRow(*old_row) for old_row in self._file.db.execute(SELECT_OLD, values)]

    def fold(self, key: str, runs: Sequence[OldRow]) -> None:
        """Replace runs of a job by a row for each day (UTC) and state, or add them to an existing row. First
        attempts, retries, and runs without a wall minute have separate rows.
        """
        days: dict[tuple[object, ...], list[OldRow]] = defaultdict(list)
        for run in runs:
            day = run.fire // DAY_LENGTH * DAY_LENGTH
            days[run.state, run.wall is None, run.attempt > 1, day, day + DAY_LENGTH].append(run)
        new, extended = [], []
        for kind, same in days.items():
            first = min(same, key=lambda run: (run.fire, run.id))
            last = max(run.fire for run in same)
            known = self._file.db.execute(SELECT_SAME_DAY, (key, *kind)).fetchone()
            if known:
                number, fire, until, folded = known
                extended.append((min(fire, first.fire), max(until, last), folded + len(same), number))
            else:
                named_after = (first.fire, first.wall, first.fold, first.era, first.attempt, first.state)
                new.append((min(run.id for run in same), key, *named_after, last, len(same)))
        self._file.write(
            ("DELETE FROM runs WHERE id = ?", [(run.id,) for run in runs]),
            (STORE_FOLDED, new),
            (EXTEND_FOLDED, extended),
        )
