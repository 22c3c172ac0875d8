"""The ledger's part of a cluster: this node's identity, and the fires that it shares with other nodes.

A fire gets a row before this node asks the database for it. The row is open until the database has
acknowledged the verdict. Its UUID identifies the run in the cluster, also after a restart of the daemon.
"""

import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, suppress
from typing import NamedTuple

from pycrond.jobs.run import Fire
from pycrond.jobs.shared_identity import SharedIdentity
from pycrond.ledger.database import Database, Work, open_read_only

KEPT_FOR = 86_400.0  # seconds after which the row of a fire whose verdict is acknowledged is deleted

BEGIN = """
    INSERT INTO cluster_fires (key, wall, fold, fire, run, job) VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET is_open = 1
"""
TAKE_OVER = """
    INSERT INTO cluster_fires (key, wall, fold, fire, run, job, old) VALUES (?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET run = excluded.run, told = '', is_open = 1, old = excluded.old
"""
REMEMBER = """
    INSERT INTO cluster_node (one, ledger, cluster, zone, timeline) VALUES (1, ?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET cluster = excluded.cluster, zone = excluded.zone, timeline = excluded.timeline
"""
DELETE_OLD = """
    DELETE FROM cluster_fires WHERE run IN (
        SELECT run FROM cluster_fires WHERE is_open = 0 AND fire < ? ORDER BY fire LIMIT ?
    )
"""
DELETED_AT_ONCE = 1_000
RUNS_OF = "SELECT run, old FROM cluster_fires WHERE key = ? AND wall = ? AND fold = ?"
CLOSE = "UPDATE cluster_fires SET is_open = 0 WHERE run = ?"
ACKNOWLEDGE = "UPDATE cluster_fires SET told = ?, is_open = ? WHERE run = ?"
OPEN_FIRES = """
    SELECT of.job, of.wall, of.fold, of.run, of.fire, of.told, coalesce(runs.id, 0), runs.state,
    runs.reason_code, runs.started_at, runs.ended_at, coalesce(runs.exit_status, 128 + runs.signal),
    runs.attempt
    FROM cluster_fires AS of LEFT JOIN runs ON runs.id = (
        SELECT id FROM runs WHERE key = of.key AND wall = of.wall AND fold = of.fold
        ORDER BY state IN ('skipped', 'missed'), era DESC, attempt DESC LIMIT 1
    ) WHERE of.is_open = 1 AND (
        runs.id IS NULL AND of.fire < ?
        OR runs.state NOT IN ('claimed', 'waiting', 'running')
        OR of.told <> 'running' AND (runs.state = 'running' OR runs.attempt > 1)
    ) ORDER BY of.fire, of.key
"""
"""The open fires with their latest runs that may have a state to report; a claimed run has none. Of several
runs for a fire, a run that was started goes before a skipped or missed one.
"""
STARTED = """
    SELECT 1 FROM runs WHERE key = ? AND wall = ? AND fold = ? AND id <> ?
    AND state NOT IN ('skipped', 'missed') AND (state <> 'waiting' OR id < ?)
"""
UNACKNOWLEDGED_SINCE = """
    SELECT coalesce(runs.ended_at, of.fire) FROM cluster_fires AS of JOIN runs ON runs.id = (
        SELECT id FROM runs WHERE key = of.key AND wall = of.wall AND fold = of.fold
        ORDER BY state IN ('skipped', 'missed'), era DESC, attempt DESC LIMIT 1
    ) WHERE of.is_open = 1 AND runs.state NOT IN ('claimed', 'waiting', 'running') ORDER BY of.fire LIMIT 1
"""
ADOPT_RUN = """
    UPDATE runs SET wall = ?, fold = ? WHERE key = ? AND fire = ? AND wall IS NULL AND trigger = 'schedule'
"""
ADOPT = """
    INSERT INTO cluster_fires (key, wall, fold, fire, run, job, told) VALUES (?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT DO NOTHING
"""
NEXT_ATTEMPT = (
    "SELECT 1 + coalesce(max(attempt), 1), max(era) FROM runs WHERE key = ? AND wall = ? AND fold = ?"
)

FireName = tuple[str, int | None, int]
"""A job's key, the wall minute and the fold."""


class OpenFire(NamedTuple):
    """A fire whose verdict the database has not acknowledged, with its latest run."""

    job: str
    """Its name in the cluster."""
    wall: int
    fold: int
    run: str
    """Its UUID."""
    fire: float
    acknowledged: str
    """The state that the database has acknowledged; empty if it has acknowledged none."""
    number: int
    """The number of the run; 0 if it was withdrawn."""
    state: str | None
    reason: str | None
    started: float | None
    ended: float | None
    status: int | None
    attempt: int | None


class ClusterTable:
    """Reads and writes the node's identity and its shared fires."""

    def __init__(self, file: Database) -> None:
        self._file = file
        self._promised: dict[tuple[object, ...], str] = {}  # UUIDs of fires whose rows are queued

    @property
    def can_be_durable(self) -> bool:
        """True if no write is queued, so that a durable write can succeed."""
        return not self._file.has_pending

    # The node

    def node_id(self) -> str:
        """Return the UUID of this ledger; the first call creates it."""
        self._file.write_durably(
            ("INSERT INTO cluster_node (one, ledger) VALUES (1, ?) ON CONFLICT DO NOTHING", [(new_uuid(),)])
        )
        row = self._file.db.execute("SELECT ledger FROM cluster_node").fetchone()
        return str(row[0]) if row else new_uuid()  # the disk is full: a UUID that is not stored

    def identity(self) -> SharedIdentity:
        """Return the cluster's name and zone; empty if its database was never reached."""
        return _identity(self._file.db)

    def timeline(self) -> str:
        """Return the timeline of the database at the last connection; empty if there was none."""
        row = self._file.db.execute("SELECT timeline FROM cluster_node").fetchone()
        return str(row[0]) if row else ""

    def remember(self, ledger: str, identity: SharedIdentity, timeline: str) -> None:
        """Write the identity and timeline that a connection read; a new file also gets the node's UUID."""
        self._file.write((REMEMBER, [(ledger, *identity, timeline)]))

    # Fires

    def begin(
        self,
        fires: Iterable[tuple[Fire, str]],
        *,
        earlier_runs: Mapping[FireName, str | None] | None = None,
        is_durable: bool = False,
    ) -> list[str]:
        """Write fires before the database is asked for them, each with its job's name in the cluster; return
        their UUIDs. A fire that has a row keeps its UUID, unless it is taken over: `earlier_runs` then has
        the UUID of this node's earlier run, or None if another node ran it. The rows are durable after the
        next durable write, or with `is_durable` at once.
        """
        if self.can_be_durable:
            self._promised.clear()
        rows = []
        with self._file.reading():
            for fire, name in fires:
                at = (fire.job.key, fire.wall or 0, fire.fold)
                known = earlier_runs is None and (self._promised.get(at) or self.runs_of(*at)[0])
                self._promised[at] = run = known or new_uuid()
                rows.append((*at, fire.at.timestamp(), run, name))
        work: Work = (BEGIN, rows)
        if earlier_runs is not None:
            work = TAKE_OVER, [(*row, earlier_runs.get(row[:3])) for row in rows]
        write = self._file.write_durably if is_durable else self._file.write
        write(work)
        return [row[4] for row in rows]

    def runs_of(self, *fire: object) -> tuple[str | None, str | None]:
        """Return two UUIDs of a fire (a job's key, a minute, a fold): its run, and this node's earlier run
        that this run has taken over.
        """
        row = self._file.db.execute(RUNS_OF, fire).fetchone()
        return tuple(row) if row else (None, None)

    def taker_of(self, run: str) -> str | None:
        """Return the UUID of the run that has taken over this node's earlier run; None if there is none."""
        row = self._file.db.execute("SELECT run FROM cluster_fires WHERE old = ?", (run,)).fetchone()
        return str(row[0]) if row else None

    def was_started(self, fire: Fire, except_run: int) -> bool:
        """Return whether another run of a fire was started on this node, or may have been, or an earlier run
        of it is waiting.
        """
        at = (fire.job.key, fire.wall or 0, fire.fold, except_run, except_run)
        return bool(self._file.db.execute(STARTED, at).fetchone())

    def close(self, runs: Iterable[str]) -> None:
        """Close the rows of fires that belong to other nodes: there is nothing to report."""
        self._file.write((CLOSE, [(run,) for run in runs]))

    def return_fires(self, runs: Iterable[str]) -> None:
        """Return fires to this node's earlier runs, which are then to be reported to the database."""
        give = "UPDATE cluster_fires SET run = old, old = NULL, told = 'running', is_open = 1"
        self._file.write((f"{give} WHERE run = ? AND old NOT NULL", [(run,) for run in runs]))

    def acknowledge(self, rows: Iterable[tuple[str, str, bool]]) -> None:
        """Write the states that the database has acknowledged: UUID, state, whether it is final."""
        self._file.write((ACKNOWLEDGE, [(state, not is_final, run) for run, state, is_final in rows]))

    def open_fires(self, withdrawn_before: float) -> Iterator[OpenFire]:
        """Yield the fires that may have a state to report, in their order. A fire before `withdrawn_before`
        without a run was withdrawn. After an outage there are many: read only as many as can be sent.
        """
        return (OpenFire(*row) for row in self._file.db.execute(OPEN_FIRES, (withdrawn_before,)))

    def reopen(self, rows: Iterable[tuple[str, str]]) -> None:
        """Write the states that the database has now, whatever it acknowledged before: UUID, state."""
        statement = "UPDATE cluster_fires SET told = ?, is_open = 1 WHERE run = ?"
        self._file.write((statement, [(state, run) for run, state in rows]))

    def count_open(self) -> int:
        """Return the number of fires whose verdicts are not acknowledged."""
        row = self._file.db.execute("SELECT count(*) FROM cluster_fires WHERE is_open = 1").fetchone()
        return int(row[0])

    def unacknowledged_since(self) -> float | None:
        """Return the time of the first verdict that is not acknowledged; None if all are."""
        row = self._file.db.execute(UNACKNOWLEDGED_SINCE).fetchone()
        return float(row[0]) if row else None

    def is_known(self, run: str) -> bool:
        """Return whether this ledger has a fire with this UUID."""
        return bool(self._file.db.execute("SELECT 1 FROM cluster_fires WHERE run = ?", (run,)).fetchone())

    def adopt(self, job: str, wall: int, fold: int, fire: float, run: str, acknowledged: str) -> bool:
        """Write a fire that the database has and this new ledger has not, if its run is still running; return
        whether it is. `acknowledged` is the state that the database has.
        """
        keys = (job, job.rpartition("@")[0])  # the second if each node has its own run
        running = "SELECT key FROM runs WHERE key IN (?, ?) AND fire = ? AND state = 'running'"
        row = self._file.db.execute(f"{running} ORDER BY length(key) DESC", (*keys, fire)).fetchone()
        if row:
            adopted = [(row[0], wall, fold, fire, run, job, acknowledged)]
            self._file.write((ADOPT_RUN, [(wall, fold, row[0], fire)]), (ADOPT, adopted))
        return row is not None

    def next_attempt(self, key: str, wall: int, fold: int) -> tuple[int, int]:
        """Return the number of the next attempt of a fire, and its era. The run at its time is attempt 1."""
        attempt, era = self._file.db.execute(NEXT_ATTEMPT, (key, wall, fold)).fetchone()
        return int(attempt), int(era or 0)

    def first_fire(self, key: str) -> float | None:
        """Return the earliest fire time of a job's rows, in Unix seconds; None if it has no row."""
        row = self._file.db.execute("SELECT min(fire) FROM cluster_fires WHERE key = ?", (key,)).fetchone()
        return None if row[0] is None else float(row[0])

    def delete_old(self, now: float) -> None:
        """Delete some old rows that are closed."""
        self._file.write((DELETE_OLD, [(now - KEPT_FOR, DELETED_AT_ONCE)]))


def read_identity(path: str) -> SharedIdentity:
    """Return the cluster's name and zone from a ledger file; empty if it cannot be read."""
    with suppress(sqlite3.Error), closing(open_read_only(path)) as db:
        return _identity(db)
    return SharedIdentity()


def _identity(db: sqlite3.Connection) -> SharedIdentity:
    row = db.execute("SELECT cluster, zone FROM cluster_node WHERE cluster IS NOT NULL").fetchone()
    return SharedIdentity(*row) if row else SharedIdentity()


def new_uuid() -> str:
    """Return a random UUID (RFC 9562, version 4)."""
    digits = bytearray(os.urandom(16))
    digits[6] = digits[6] & 0x0F | 0x40
    digits[8] = digits[8] & 0x3F | 0x80
    text = digits.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
