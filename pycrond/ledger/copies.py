"""Copies of other machines' ledgers: the runs that these machines started for shared fires."""

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from os.path import exists
from typing import NamedTuple

from pycrond.errors import PycrondError, os_reason
from pycrond.ledger.audit import STARTED
from pycrond.ledger.database import open_read_only

FIRST_ATTEMPTS = """
    SELECT runs.id, runs.key, runs.fire, runs.wall, runs.state, cluster_fires.run
    FROM runs LEFT JOIN cluster_fires USING (key, wall, fold)
    WHERE runs.key IN (SELECT value FROM json_each(:keys)) AND runs.wall IS NOT NULL
    AND attempt = 1 AND folded IS NULL AND runs.fire > :since AND runs.fire <= :until
    AND trigger IN ('schedule', 'catch-up') ORDER BY runs.id
"""


class StartedRow(NamedTuple):
    """The first attempt of a fire."""

    id: int
    key: str
    fire: float
    wall: int
    state: str
    run: str | None
    """Its UUID in the cluster; None if the ledger no longer has it."""


def started_runs(path: str, keys: Sequence[str], since: float, until: float) -> list[StartedRow]:
    """Return the first attempts that a ledger's machine started for fires after `since` up to `until`.

    Raises PycrondError for a file that is not a ledger.
    """
    with _open(path) as database:
        values = {"keys": json.dumps(keys), "since": since, "until": until}
        rows = map(StartedRow._make, database.execute(FIRST_ATTEMPTS, values))
        return [row for row in rows if row.state in STARTED]


def ledger_uuid(path: str) -> str | None:
    """Return the UUID by which the cluster knows a ledger; None if it has not joined one."""
    with _open(path) as database:
        row = database.execute("SELECT ledger FROM cluster_node").fetchone()
    return str(row[0]) if row else None


@contextlib.contextmanager
def _open(path: str) -> Iterator[sqlite3.Connection]:
    try:
        os.stat(path)
    except FileNotFoundError:
        raise PycrondError(f"there is no ledger at {path}") from None
    except OSError as error:
        raise PycrondError(f"cannot read ledger {path}: {os_reason(error)}") from error
    # Without its log, a copy can be read in a directory where SQLite may write nothing.
    options = "" if exists(f"{path}-wal") else "&immutable=1"
    try:
        with contextlib.closing(open_read_only(path, options)) as database:
            yield database
    except sqlite3.Error as error:
        raise PycrondError(f"cannot read ledger {path}: {error}") from error
