"""The folding of old runs in the ledger: a row stands for all runs of a job, kind and day."""

from collections.abc import Iterable

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
DAY_LENGTH = 86_400  # seconds
MAX_ROWS = 200  # folded at once


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
