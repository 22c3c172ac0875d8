"""All queries of a ledger that can be opened, with the daemon up or down."""

from bisect import bisect_left
from collections.abc import Iterator

from pycrond.jobs.display_name import display_name
from pycrond.ledger.rows import RunRow, SpanRow, StepRow, VerdictRow, VersionRow
from pycrond.ledger.shared_reader import RUNS, SharedReader

RECORDED = "SELECT id, coalesce(started_at, ended_at, fire) FROM runs WHERE id >= ? ORDER BY id LIMIT 1"
SPANS = """
    SELECT start, CASE WHEN state = 'running' THEN NULL ELSE max(start, coalesce(until, over, start)) END,
    state, id, coalesce(folded, 1), trigger = 'schedule', key
    FROM (SELECT *, min(max(coalesce(started_at, start_at, fire), 0.0), 1e12) AS start,
    CASE WHEN state = 'running' THEN :now WHEN started_at NOT NULL THEN min(ended_at, 1e12) END AS over
    FROM runs WHERE id BETWEEN :first AND :last OR id IN (SELECT id FROM runs
    WHERE state IN ('claimed', 'waiting', 'running') AND state = 'running'))
    WHERE start < :until AND fire <= :now AND coalesce(until, over, start) >= :start
"""
SPANS_MARGIN = 86_400  # seconds; `spans` leaves out ended runs that began longer before its start
RECORDING_TIME = 3600  # seconds after its start in which a daemon records all fires that it missed


class Reader(SharedReader):
    """All queries, of a ledger that can be opened."""

    def at(self, key: str, fire: float) -> list[RunRow]:
        """Return the runs of a job's fire time, or the record of the missed fires that it is among."""
        return self._rows(
            RunRow,
            f"{RUNS} AND runs.key = :key"
            " AND (fire = :fire OR until IS NOT NULL AND :fire BETWEEN fire AND until) ORDER BY runs.id",
            key=key,
            fire=fire,
        )

    def durations(self) -> dict[str, list[float]]:
        """Return the durations of the latest runs of each loaded job in seconds, by key."""
        return self._durations("duration_s")

    def spans(self, start: float, until: float, now: float) -> list[SpanRow]:
        """Return the runs and missed fires from `start` up to but not including `until` that were due by
        `now`; runs of the next minute are claimed already. Only a part of the table is searched.

        Ids follow the clock: a row is written when a run starts, or when a missed fire is noticed. The search
        begins a day before `start`, for runs that ended later; running ones are always found. It ends an hour
        after the first row after `until`: a daemon that was down first records the fires that it missed.
        """
        back = self._first_since(until)
        row = self._db.execute(RECORDED, (back,)).fetchone()
        last = self._first_since(max(until, row[1]) + RECORDING_TIME) if row else back
        first = self._first_since(start - SPANS_MARGIN)
        return self._rows(SpanRow, SPANS, first=first, last=last, start=start, until=until, now=now)

    def _first_since(self, moment: float) -> int:
        """Return the lowest id of the runs recorded at that time or later, by bisection."""
        ids = range(1, 1 + (self._db.execute("SELECT max(id) FROM runs").fetchone()[0] or 0))
        return 1 + bisect_left(ids, moment, key=lambda run: self._db.execute(RECORDED, (run,)).fetchone()[1])

    def labels(self) -> dict[str, str]:
        """Return the labels (user and display name) of all jobs by key, also of jobs that are gone."""
        rows = self._db.execute("SELECT key, user, name, command FROM jobs")
        return {key: f"{user}/{display_name(key, name, command)}" for key, user, name, command in rows}

    def versions(self) -> list[VersionRow]:
        """Return the versions of all jobs, in the order in which they were loaded."""
        return self._rows(
            VersionRow, "SELECT key, canonical, zone, since, until, options FROM job_versions ORDER BY id"
        )

    def verdicts(self) -> Iterator[VerdictRow]:
        """Return the rows of all runs, and of all fires that were skipped or missed."""
        rows = self._db.execute(
            "SELECT id, key, fire, wall, trigger, attempt, state, until, folded FROM runs ORDER BY id"
        )
        return map(VerdictRow._make, rows)

    def steps(self) -> list[StepRow]:
        """Return the times at which the clock was set, or the daemon's time zone changed."""
        return self._rows(
            StepRow, "SELECT at, moved, kind FROM clock_events WHERE kind IN ('step', 'zone') ORDER BY id"
        )
