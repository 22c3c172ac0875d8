"""The ledger's part of a cluster: this node's identity, and the fires that it shares with other nodes.

A fire has a row from before anything is asked about it until the database has acknowledged its verdict. The
row's UUID is the fire's run in the cluster, in this daemon and in the next.
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
TOLD = "UPDATE cluster_fires SET told = ?, is_open = ? WHERE run = ?"
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
"""Those with something to tell, or nearly so: nothing is told of a run that is claimed. Of several runs for a
fire, one that was started says more than one that was not.
"""
STARTED = """
    SELECT 1 FROM runs WHERE key = ? AND wall = ? AND fold = ? AND id <> ?
    AND state NOT IN ('skipped', 'missed') AND (state <> 'waiting' OR id < ?)
"""
UNTOLD_SINCE = """
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
    told: str
    """The state that the database has acknowledged; empty: none."""
    number: int
    """The number of the run; 0: it was withdrawn."""
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
        """Return whether what was written is on the disk: nothing is queued."""
        return not self._file.has_pending

    # The node

    def node_id(self) -> str:
        """Return the UUID of this ledger, made when it is first asked for."""
        self._file.write_durably(
            ("INSERT INTO cluster_node (one, ledger) VALUES (1, ?) ON CONFLICT DO NOTHING", [(new_uuid(),)])
        )
        row = self._file.db.execute("SELECT ledger FROM cluster_node").fetchone()
        return str(row[0]) if row else new_uuid()  # on a full disk: it is the name of no stored row

    def identity(self) -> SharedIdentity:
        """Return the cluster's name and zone, empty before it was first reached."""
        return _identity(self._file.db)

    def timeline(self) -> str:
        """Return the timeline of the database at the last connection; empty: there was none."""
        row = self._file.db.execute("SELECT timeline FROM cluster_node").fetchone()
        return str(row[0]) if row else ""

    def remember(self, ledger: str, identity: SharedIdentity, timeline: str) -> None:
        """Write what a connection of the node with this UUID has found, also into a file that has taken the
        place of a damaged one.
        """
        self._file.write((REMEMBER, [(ledger, *identity, timeline)]))

    # Fires

    def begin(
        self,
        fires: Iterable[tuple[Fire, str]],
        *,
        taken: Mapping[FireName, str | None] | None = None,
        is_durable: bool = False,
    ) -> list[str]:
        """Write down fires that are to be asked for, each with its job's name in the cluster; return their
        UUIDs. A fire that has a row keeps its UUID, unless it is taken over: `taken` has the UUIDs of this
        node's own earlier runs, and None for those of others. They are on the disk with the next durable
        write, or with `is_durable` now.
        """
        if self.can_be_durable:
            self._promised.clear()
        rows = []
        with self._file.reading():
            for fire, name in fires:
                at = (fire.job.key, fire.wall or 0, fire.fold)
                known = taken is None and (self._promised.get(at) or self.runs_of(*at)[0])
                self._promised[at] = run = known or new_uuid()
                rows.append((*at, fire.at.timestamp(), run, name))
        work: Work = (BEGIN, rows)
        if taken is not None:
            work = TAKE_OVER, [(*row, taken.get(row[:3])) for row in rows]
        write = self._file.write_durably if is_durable else self._file.write
        write(work)
        return [row[4] for row in rows]

    def runs_of(self, *fire: object) -> tuple[str | None, str | None]:
        """Return the UUIDs of a fire (a job's key, a minute, a fold): of its run, and of this node's earlier
        run that it is taken over from.
        """
        row = self._file.db.execute(RUNS_OF, fire).fetchone()
        return tuple(row) if row else (None, None)

    def taker_of(self, run: str) -> str | None:
        """Return the UUID under which this node takes a fire over from its own earlier run."""
        row = self._file.db.execute("SELECT run FROM cluster_fires WHERE old = ?", (run,)).fetchone()
        return str(row[0]) if row else None

    def was_started(self, fire: Fire, but: int) -> bool:
        """Return whether this node has started a fire, or may have, in another run than the one given, or has
        an earlier run of it that waits.
        """
        at = (fire.job.key, fire.wall or 0, fire.fold, but, but)
        return bool(self._file.db.execute(STARTED, at).fetchone())

    def close(self, runs: Iterable[str]) -> None:
        """Write that nothing is to be told about these: they belong to other nodes."""
        self._file.write((CLOSE, [(run,) for run in runs]))

    def give_back(self, runs: Iterable[str]) -> None:
        """Write that these fires belong to this node's earlier runs, of which the database is to be told."""
        give = "UPDATE cluster_fires SET run = old, old = NULL, told = 'running', is_open = 1"
        self._file.write((f"{give} WHERE run = ? AND old NOT NULL", [(run,) for run in runs]))

    def told(self, rows: Iterable[tuple[str, str, bool]]) -> None:
        """Write what the database has acknowledged: UUID, state, whether that is final."""
        self._file.write((TOLD, [(state, not is_final, run) for run, state, is_final in rows]))

    def open_fires(self, withdrawn_before: float) -> Iterator[OpenFire]:
        """Yield the fires of which there is something to tell, in their order. A fire before that time that
        has no run was withdrawn. After an outage there are many: read only as many as can be told.
        """
        return (OpenFire(*row) for row in self._file.db.execute(OPEN_FIRES, (withdrawn_before,)))

    def reopen(self, rows: Iterable[tuple[str, str]]) -> None:
        """Write which states the database has of runs, whatever it has acknowledged: UUID, state."""
        statement = "UPDATE cluster_fires SET told = ?, is_open = 1 WHERE run = ?"
        self._file.write((statement, [(state, run) for run, state in rows]))

    def count_open(self) -> int:
        """Return the number of fires whose verdicts are not acknowledged."""
        row = self._file.db.execute("SELECT count(*) FROM cluster_fires WHERE is_open = 1").fetchone()
        return int(row[0])

    def untold_since(self) -> float | None:
        """Return the time of the first verdict that is not acknowledged; None: all are."""
        row = self._file.db.execute(UNTOLD_SINCE).fetchone()
        return float(row[0]) if row else None

    def is_known(self, run: str) -> bool:
        """Return whether this ledger has a fire with this UUID."""
        return bool(self._file.db.execute("SELECT 1 FROM cluster_fires WHERE run = ?", (run,)).fetchone())

    def adopt(self, job: str, wall: int, fold: int, fire: float, run: str, told: str) -> bool:
        """Write down a fire that the database has and this ledger, being new, does not, if its run goes on.
        Return whether it does. `told` is the state that the database has.
        """
        keys = (job, job.rpartition("@")[0])  # the second, if each node has a run of its own
        running = "SELECT key FROM runs WHERE key IN (?, ?) AND fire = ? AND state = 'running'"
        row = self._file.db.execute(f"{running} ORDER BY length(key) DESC", (*keys, fire)).fetchone()
        if row:
            adopted = [(row[0], wall, fold, fire, run, job, told)]
            self._file.write((ADOPT_RUN, [(wall, fold, row[0], fire)]), (ADOPT, adopted))
        return row is not None

    def next_attempt(self, key: str, wall: int, fold: int) -> tuple[int, int]:
        """Return the number of the next attempt of a fire, and its era. The first was at the fire's time."""
        attempt, era = self._file.db.execute(NEXT_ATTEMPT, (key, wall, fold)).fetchone()
        return int(attempt), int(era or 0)

    def first_fire(self, key: str) -> float | None:
        """Return the time of the first fire of a job of which there is a row, in Unix seconds."""
        row = self._file.db.execute("SELECT min(fire) FROM cluster_fires WHERE key = ?", (key,)).fetchone()
        return None if row[0] is None else float(row[0])

    def delete_old(self, now: float) -> None:
        """Delete some rows of fires that are settled and old."""
        self._file.write((DELETE_OLD, [(now - KEPT_FOR, DELETED_AT_ONCE)]))


def read_identity(path: str) -> SharedIdentity:
    """Return the cluster's name and zone as a ledger file has them; empty where it cannot be read."""
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
