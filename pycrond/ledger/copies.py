"""Copies of the ledgers of other machines: what they started."""

import sqlite3
from os.path import exists

from pycrond.errors import PycrondError
from pycrond.ledger.audit import STARTED
from pycrond.ledger.database import quote_path
from pycrond.ledger.rows import VerdictRow

FIRST_ATTEMPTS = """
    SELECT id, key, fire, wall, trigger, attempt, state, until, folded FROM runs
    WHERE wall IS NOT NULL AND attempt = 1 AND folded IS NULL AND fire > :since AND fire <= :until
    AND trigger IN ('schedule', 'catch-up') ORDER BY id
"""


def started_runs(path: str, since: float, until: float) -> list[VerdictRow]:
    """Return the first attempts that a ledger's machine started for fires after `since` up to `until`.

    Raises PycrondError for a file that is no ledger.
    """
    if not exists(path):
        raise PycrondError(f"there is no ledger at {path}")
    # Without its log, a copy can be read in a directory where SQLite may write nothing.
    how = "mode=ro" if exists(f"{path}-wal") else "mode=ro&immutable=1"
    try:
        database = sqlite3.connect(f"file:{quote_path(path)}?{how}", uri=True)
        try:
            database.execute("PRAGMA trusted_schema = OFF")
            rows = database.execute(FIRST_ATTEMPTS, {"since": since, "until": until}).fetchall()
        finally:
            database.close()
    except sqlite3.Error as error:
        raise PycrondError(f"cannot read ledger {path}: {error}") from error
    return [row for row in map(VerdictRow._make, rows) if row.state in STARTED]
