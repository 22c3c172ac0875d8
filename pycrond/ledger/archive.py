"""The ledger's old runs, and the rows that stand for them."""

from collections.abc import Iterable

from pycrond.ledger.database import Database
from pycrond.ledger.rows import FoldedRow, OldRow

OLD = """
    SELECT id, fire, wall, fold, era, attempt, state, bytes FROM runs
    WHERE key = :key AND folded IS NULL AND told = 3 AND state NOT IN ('claimed', 'waiting', 'running')
    AND (fire < :before OR id <= :through) ORDER BY id LIMIT :most
"""
FOLDED = """
    INSERT INTO runs (id, key, fire, wall, fold, era, trigger, attempt, state, told, until, folded)
    VALUES (?, ?, ?, ?, ?, ?, 'schedule', ?, ?, 3, ?, ?)
"""
SAME_DAY = """
    SELECT id, fire, until, folded FROM runs WHERE key = ? AND folded NOT NULL AND reason_code = '' AND state
    = ? AND (wall IS NULL) = ? AND (attempt > 1) = ? AND fire >= ? AND fire < ? ORDER BY id LIMIT 1
"""
GROWN = "UPDATE runs SET fire = ?, until = ?, folded = ? WHERE id = ?"
DAY = 86_400
FOLDED_AT_ONCE = 200


class Archive:
    """Reads and folds them, in the ledger's file."""

    def __init__(self, file: Database) -> None:
        self._file = file

    @property
    def is_blocked(self) -> bool:
        """Whether the disk is full, so that nothing can be folded."""
        return self._file.has_pending

    def job_after(self, key: str) -> str | None:
        """The next job there ever was, by key."""
        row = self._file.db.execute("SELECT min(key) FROM jobs WHERE key > ?", (key,)).fetchone()
        return str(row[0]) if row[0] is not None else None

    def old_runs(self, key: str, before: float, most: int) -> list[OldRow]:
        """Some runs of a job that were due before then, or that are not among the latest `most`."""
        row = self._file.db.execute(
            "SELECT id FROM runs WHERE key = ? ORDER BY id DESC LIMIT 1 OFFSET ?", (key, most)
        ).fetchone()
        wanted = {"key": key, "before": before, "through": row[0] if row else 0, "most": FOLDED_AT_ONCE}
        return [OldRow(*found) for found in self._file.db.execute(OLD, wanted)]

    def fold(self, key: str, rows: Iterable[FoldedRow], gone: Iterable[int]) -> None:
        """Rows that stand for runs, which go; a row that stands for others of the same kind and day grows."""
        new, grown = [], []
        for row in rows:
            day = row.fire // DAY * DAY
            kind = (row.wall is None, row.attempt > 1, day, day + DAY)
            known = self._file.db.execute(SAME_DAY, (key, row.state, *kind)).fetchone()
            if known:
                number, fire, until, folded = known
                grown.append((min(fire, row.fire), max(until, row.until), folded + row.folded, number))
            else:
                new.append((row.id, key, *row[1:]))
        self._file.write(
            ("DELETE FROM runs WHERE id = ?", [(run,) for run in gone]), (FOLDED, new), (GROWN, grown)
        )
