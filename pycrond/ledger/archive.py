"""The folding of old runs in the ledger: a row stands for all runs of a job, kind and day."""

from collections.abc import Iterable

from pycrond.ledger import totals
from pycrond.ledger.database import Database
from pycrond.ledger.rows import FoldedRow, OldRow

SELECT_OLD = """
    SELECT id, fire, wall, fold, era, attempt, state, bytes FROM runs
    WHERE key = :key AND folded IS NULL AND told = 3 AND state NOT IN ('claimed', 'waiting', 'running')
    AND (fire < :before OR id <= :through) ORDER BY id LIMIT :most
"""
STORE_FOLDED = """
    INSERT INTO runs (id, key, fire, wall, fold, era, trigger, attempt, state, told, until, folded)
    VALUES (?, ?, ?, ?, ?, ?, 'schedule', ?, ?, 3, ?, ?)
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
MAX_ROWS = 200  # folded at once
MAX_GONE = 1_000  # gone jobs that are looked at in a minute


class Archive:
    """Reads old runs and folds them."""

    def __init__(self, file: Database) -> None:
        self._file = file

    @property
    def is_blocked(self) -> bool:
        """True while the disk is full, so that nothing can be folded."""
        return self._file.has_pending

    def next_job(self, key: str) -> str | None:
        """Return the key of the next job after `key`, loaded or gone; None after the last."""
        row = self._file.db.execute("SELECT min(key) FROM jobs WHERE key > ?", (key,)).fetchone()
        return str(row[0]) if row[0] is not None else None

    def last_version(self) -> int:
        """Return how many versions of jobs there have been, roughly."""
        return int(self._file.db.execute("SELECT max(id) FROM job_versions").fetchone()[0] or 0)

    def forget_gone_jobs(self, after: str, before: float) -> tuple[str, list[str]]:
        """Delete some jobs that are gone since `before` or earlier and have no run, with all that is about
        them. Return the last key that was looked at, empty at the end, and the deleted keys.
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

    def old_runs(self, key: str, before: float, max_runs: int) -> list[OldRow]:
        """Return some runs of a job that were due before `before`, or are not among its latest `max_runs`."""
        row = self._file.db.execute(
            "SELECT id FROM runs WHERE key = ? ORDER BY id DESC LIMIT 1 OFFSET ?", (key, max_runs)
        ).fetchone()
        values = {"key": key, "before": before, "through": row[0] if row else 0, "most": MAX_ROWS}
        return [OldRow(*old_row) for old_row in self._file.db.execute(SELECT_OLD, values)]

    def fold(self, key: str, rows: Iterable[FoldedRow], gone: Iterable[int]) -> None:
        """Delete the runs `gone`; store rows that stand for them, added to a row of the same kind and day."""
        new, extended = [], []
        for row in rows:
            day = row.fire // DAY_LENGTH * DAY_LENGTH
            kind = (row.wall is None, row.attempt > 1, day, day + DAY_LENGTH)
            known = self._file.db.execute(SELECT_SAME_DAY, (key, row.state, *kind)).fetchone()
            if known:
                number, fire, until, folded = known
                extended.append((min(fire, row.fire), max(until, row.until), folded + row.folded, number))
            else:
                new.append((row.id, key, *row[1:]))
        self._file.write(
            ("DELETE FROM runs WHERE id = ?", [(run,) for run in gone]),
            (STORE_FOLDED, new),
            (EXTEND_FOLDED, extended),
        )
