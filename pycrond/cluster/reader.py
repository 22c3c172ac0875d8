"""The cluster's database for commands: one connection, one read-only transaction, short timeouts.

The daemon does not use this module: it asks through its agent.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from pycrond.cluster.reader_connection import MIGRATE, begin_reading, connect
from pycrond.cluster.reader_rows import (
    BarRow,
    ClaimRow,
    ClusterRow,
    NodeRow,
    OpenRow,
    PassedRow,
    ServerRow,
    TroubleRow,
)
from pycrond.errors import PycrondError

DAY = 1440  # minutes
AT_ONCE = 200_000  # rows that one statement reads at most, if each job has a row for each minute
FETCHED = 5_000  # rows that become objects at once
ZONES = 15 * 60  # minutes; more than the largest difference between a wall clock and UTC

CLUSTER = "SELECT cluster, zone, version, oldest, extract(epoch FROM keep)::float8 FROM pycrond.meta"
NODES = """
    SELECT name, ledger::text, machine, extract(epoch FROM seen)::float8,
    extract(epoch FROM clock_timestamp() - seen)::float8, draining, coalesce(labels, '{}'),
    coalesce(version, ''), offset_ms, coalesce(digest, '') FROM pycrond.nodes ORDER BY name
"""
ACTIVITY = """
    SELECT node, count(*) FROM pycrond.claims
    WHERE wall >= %(first)s AND claimed > now() - interval '1 minute' GROUP BY node
"""
OPEN = """
    SELECT node, ledger::text, count(*), extract(epoch FROM min(fire))::float8 FROM pycrond.claims
    WHERE ended IS NULL GROUP BY node, ledger
"""
TROUBLES = """
    SELECT kind, count(*), count(DISTINCT job), extract(epoch FROM max(fire))::float8 FROM (
        SELECT job, fire,
        CASE WHEN state = ANY(%(kinds)s) THEN state ELSE split_part(reason, ':', 1) END AS kind
        FROM pycrond.claims WHERE wall >= %(first)s AND fire > now() - interval '1 day'
    ) AS recent WHERE kind = ANY(%(kinds)s) GROUP BY kind ORDER BY kind
"""
TROUBLE_KINDS = ("lost", "no-database", "no-node")
SERVER = """
    SELECT current_setting('server_version'), pg_is_in_recovery(), current_setting('synchronous_commit'),
    current_setting('fsync'), current_setting('synchronous_standby_names'),
    (SELECT count(*) FROM pg_stat_replication),
    (SELECT count(*) FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum')),
    (SELECT count(*) FROM pg_stat_replication WHERE sync_state IS NULL), current_user
"""
CLAIM = """
    SELECT job, wall, fold, date_part('epoch', fire), run::text, node, ledger::text, rerun, state, reason,
    date_part('epoch', claimed), date_part('epoch', started), date_part('epoch', ended), status, number
    FROM pycrond.claims
"""
BAR = """
    SELECT job, date_part('epoch', fire), node, state, date_part('epoch', started), date_part('epoch', ended),
    number FROM pycrond.claims
"""
OF_JOBS = """
    SELECT found.* FROM unnest(%(jobs)s::text[]) AS wanted(job) CROSS JOIN LATERAL (
        {columns} WHERE claims.job = wanted.job AND wall BETWEEN %(first)s AND %(last)s
        AND fire >= to_timestamp(%(start)s) AND fire < to_timestamp(%(until)s) AND {condition}
        ORDER BY wall DESC, fold DESC
    ) AS found
"""
REACHING = "(ended IS NULL OR greatest(ended, fire) >= to_timestamp(%(reached)s))"
JOBS = """
    WITH RECURSIVE known(job) AS (
        (SELECT job FROM pycrond.claims ORDER BY job LIMIT 1) UNION ALL
        SELECT (SELECT job FROM pycrond.claims WHERE claims.job > known.job ORDER BY job LIMIT 1)
        FROM known WHERE known.job IS NOT NULL
    ) SELECT job FROM known WHERE EXISTS (
        SELECT FROM pycrond.claims WHERE claims.job = known.job AND wall >= %(first)s
    ) ORDER BY job
"""
"""Each job is found in the index, in one step for each job, not for each row."""
LAST = f"""
    SELECT last.* FROM unnest(%(jobs)s::text[]) AS wanted(job)
    CROSS JOIN LATERAL ({CLAIM} WHERE claims.job = wanted.job AND ended IS NOT NULL
    AND state NOT IN ('skipped', 'missed') ORDER BY wall DESC, fold DESC LIMIT 1) AS last
"""  # noqa: S608 -- constants
PASSED = """
    SELECT wanted.job, passed.state, count(*), extract(epoch FROM max(passed.fire))::float8,
    (array_agg(passed.reason ORDER BY passed.wall DESC))[1]
    FROM unnest(%(jobs)s::text[], %(walls)s::int[]) AS wanted(job, wall)
    CROSS JOIN LATERAL (
        SELECT state, fire, wall, reason FROM pycrond.claims
        WHERE claims.job = wanted.job AND claims.wall > wanted.wall AND state IN ('skipped', 'missed')
        ORDER BY claims.wall DESC LIMIT 1000
    ) AS passed GROUP BY wanted.job, passed.state
"""
"""At most the latest 1000 of each job: a job that has never run may have too many to count in time."""
OUTPUT = """
    SELECT run::text, string_agg(data, ''::bytea ORDER BY piece) FROM pycrond.outputs
    WHERE run = ANY(%(runs)s::uuid[]) GROUP BY run
"""
OUTPUT_END = f"""
    SELECT run, substring(data FROM greatest(1, length(data) - 1023)) FROM ({OUTPUT}) AS whole (run, data)
"""  # noqa: S608 -- constants
CONDITIONS = {
    "jobs": "job = ANY(%(jobs)s)",
    "states": "state = ANY(%(states)s)",
    "since": "coalesce(ended, 'infinity') >= to_timestamp(%(since)s)",
    "begin": "fire >= to_timestamp(%(begin)s)",
    "until": "fire < to_timestamp(%(until)s)",
    "first": "wall >= %(first)s",
    "last": "wall <= %(last)s",
    "run": "run::text LIKE %(run)s",
    "number": "number = %(number)s",
    "node": "node = %(node)s",
}
Row = TypeVar("Row")


@contextlib.contextmanager
def open_reader(conninfo: str, seconds: float | None = None) -> Iterator["ClusterReader"]:
    """Open the database for reading, for at most `seconds`; raises PycrondError."""
    with connect(conninfo, seconds) as connection:
        begin_reading(connection)
        yield ClusterReader(connection)


class ClusterReader:
    """Queries of the cluster's database, all in one snapshot."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def _rows(self, row: Callable[..., Row], statement: str, **values: object) -> list[Row]:
        return [row(*columns) for columns in self._connection.execute(statement, values)]

    def meta(self) -> ClusterRow:
        """Return the cluster's row."""
        rows = self._rows(ClusterRow, CLUSTER)
        if not rows:
            raise PycrondError(f"the database has no cluster yet: run '{MIGRATE}'")
        return rows[0]

    def server(self) -> ServerRow:
        """Return the server's settings and the number of its standbys."""
        return self._rows(ServerRow, SERVER)[0]

    def nodes(self) -> list[NodeRow]:
        """Return all nodes by name."""
        return self._rows(NodeRow, NODES)

    def now(self) -> float:
        """Return the time by the database's clock."""
        return self._rows(float, "SELECT extract(epoch FROM now())")[0]

    def activity(self) -> dict[str, int]:
        """Return the number of claims of each node in the last minute."""
        first = int(self.now() // 60) - DAY - ZONES
        return dict(self._connection.execute(ACTIVITY, {"first": first}).fetchall())

    def open_claims(self) -> list[OpenRow]:
        """Return the number of open claims of each node that has any."""
        return self._rows(OpenRow, OPEN)

    def troubles(self) -> list[TroubleRow]:
        """Return the numbers of fires of the last day that had no run, or were lost, by kind."""
        first = int(self.now() // 60) - DAY - ZONES
        return self._rows(TroubleRow, TROUBLES, first=first, kinds=[*TROUBLE_KINDS])

    def open_runs(self) -> list[ClaimRow]:
        """Return all open claims."""
        return self._rows(ClaimRow, f"{CLAIM} WHERE ended IS NULL ORDER BY wall, fold, job")

    def last_claims(self, jobs: Sequence[str]) -> list[ClaimRow]:
        """Return the newest ended run of each of these jobs, also a lost one."""
        return self._rows(ClaimRow, LAST, jobs=[*jobs])

    def passed_since(self, walls: Mapping[str, int]) -> list[PassedRow]:
        """Return the fires of jobs that were skipped or missed after a wall minute, by job and state."""
        return self._rows(PassedRow, PASSED, jobs=[*walls], walls=[*walls.values()])

    def jobs_since(self, at: float) -> list[str]:
        """Return the keys of all jobs with a fire since a time."""
        return self._rows(str, JOBS, first=int(at // 60) - ZONES)

    def claims(self, limit: int, **conditions: object) -> list[ClaimRow]:
        """Return the newest claims that meet all CONDITIONS whose value is not None; all if `limit` < 0."""
        values = {name: value for name, value in conditions.items() if value is not None}
        where = " AND ".join(CONDITIONS[name] for name in values) or "true"
        order = "ORDER BY wall DESC, fold DESC, job LIMIT %(limit)s"
        row_limit = None if limit < 0 else limit
        return self._rows(ClaimRow, f"{CLAIM} WHERE {where} {order}", limit=row_limit, **values)

    def bars(self, jobs: Sequence[str], start: float, until: float, reached: float) -> Iterator[BarRow]:
        """Yield the claims of jobs with fire times from `start` up to but not including `until`. Claims that
        ended before `reached` are left out.
        """
        return self._of_jobs(BarRow._make, BAR, REACHING, jobs, start, until, reached=reached)

    def claims_of(self, jobs: Sequence[str], start: float, until: float) -> Iterator[ClaimRow]:
        """Yield all claims of jobs with fire times from `start` up to but not including `until`."""
        return self._of_jobs(ClaimRow._make, CLAIM, "true", jobs, start, until)

    def _of_jobs(
        self,
        row: Callable[[Any], Row],
        columns: str,
        condition: str,
        jobs: Sequence[str],
        start: float,
        until: float,
        **values: object,
    ) -> Iterator[Row]:
        first, last = int(start // 60) - ZONES, int(until // 60) + ZONES
        statement = OF_JOBS.format(columns=columns, condition=condition)
        values |= {"first": first, "last": last, "start": start, "until": until}
        size = max(1, AT_ONCE // (last - first))
        for place in range(0, len(jobs), size):
            portion = [*jobs[place : place + size]]
            cursor = self._connection.execute(statement, {**values, "jobs": portion}, binary=True)
            while rows := cursor.fetchmany(FETCHED):
                yield from map(row, rows)

    def first_fire(self) -> float | None:
        """Return the fire time of the oldest row, roughly; None if there is no row."""
        statement = "SELECT extract(epoch FROM fire)::float8 FROM pycrond.claims ORDER BY wall, fold LIMIT 1"
        rows = self._rows(float, statement)
        return rows[0] if rows else None

    def outputs(self, runs: Sequence[str]) -> dict[str, bytes]:
        """Return the end of the output of runs, as far as it was copied, by the run's UUID."""
        return dict(self._connection.execute(OUTPUT, {"runs": [*runs]}).fetchall())

    def last_bytes(self, runs: Sequence[str]) -> dict[str, bytes]:
        """Return the last 1024 bytes of what `outputs` returns."""
        return dict(self._connection.execute(OUTPUT_END, {"runs": [*runs]}).fetchall())
