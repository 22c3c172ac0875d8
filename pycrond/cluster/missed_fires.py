"""Fires that no node has decided, because no node was running: they are caught up, or recorded as missed."""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from pycrond import clock
from pycrond.cluster.agent_link import AgentLink
from pycrond.cluster.protocol import Close, LastFires, Report, Row, batches
from pycrond.errors import PycrondError
from pycrond.hashing import draw_below
from pycrond.jobs.jitter import longest_delay
from pycrond.jobs.job import Job
from pycrond.jobs.run import Fire, Reason, State
from pycrond.ledger.cluster import ClusterTable, new_uuid
from pycrond.schedule.fire_times import FireTime, fire_times
from pycrond.schedule.timezone import MINUTE, Zone

DECIDED_AFTER = timedelta(seconds=30)  # after a fire's latest start; living nodes have decided it by then
MAX_TURN_TIME = 0.01  # seconds in a turn of the loop; a week of a minutely job needs as much
UNDECIDED = timedelta(minutes=2)  # before an absence: fires of these minutes may be undecided
MAX_GAP = timedelta(days=400)
MAX_MISSED = 1_000  # rows of missed fires for a job; older fires get none
MAX_CAUGHT_UP = 100  # fires of a job (`missed=all`)
SPREAD = 5_000  # ms over which catch-ups of different jobs start
ZoneOf = Callable[[Job], Zone]


class Gap(NamedTuple):
    """The time in which fires of a job may have no row."""

    key: str
    newest: datetime
    since: datetime
    until: datetime
    decided_at: datetime
    """After this time no other node decides one of these fires."""


class _Absence(NamedTuple):
    """The time in which this node was away."""

    since: datetime
    until: datetime


class MissedFires:
    """Asks for the newest row of each job, and decides the later fires, which have no row.

    Times are median times of the nodes' clocks, except for starts.
    """

    def __init__(self, link: AgentLink, table: ClusterTable, zone_of: ZoneOf) -> None:
        self._link = link
        self._table = table
        self._zone_of = zone_of
        self._gaps: list[Gap] = []
        self._rows: deque[Row] = deque()  # answers that `step` has not read yet
        self.has_more = False
        """True if some jobs are left for the next turn of the loop."""
        self._away: _Absence | None = None  # an absence of this node, perhaps of all nodes
        self._asked = _Absence(clock.at(0), clock.at(0))
        self._unreported: set[str] = set()  # jobs with a gap that was perhaps not reported

    def was_away(self, since: datetime, now: datetime) -> None:
        """Search for fires since that minute without a row."""
        since -= UNDECIDED
        self._away = _Absence(min(since, self._away.since) if self._away else since, now)

    def ask(self, jobs: Iterable[Job]) -> None:
        """Ask for the newest rows, if this node was away."""
        if self._away is None:
            return
        self._asked, self._away = self._away, None
        times = (self._asked.since.timestamp(), self._asked.until.timestamp())
        names = [job.key for job in jobs if job.entry.options.is_shared and job.entry.schedule]
        for some in batches(names):
            self._link.send(LastFires(self._link.number(), some, *times))

    def answered(self, rows: Iterable[Row]) -> None:
        """Queue the newest rows for `step`. A job without a row has no gap: it is new."""
        self._rows += rows

    def _find_gap(self, job: Job, row: Row) -> None:
        gap = self._gap(job, row)
        fires = self._passed(job, gap)
        has_rows = gap.newest >= self._asked.since and row.rows_since >= len(fires)
        if fires and not has_rows:
            decided_at = fires[-1].at + longest_delay(job) + DECIDED_AFTER
            self._gaps.append(gap._replace(decided_at=decided_at))

    def _gap(self, job: Job, row: Row) -> Gap:
        """Return the time in which fires of a job may have no row: after its newest row, while this node was
        away.
        """
        newest = clock.at(row.fire)
        known = self._table.first_fire(job.key)
        since = newest + MINUTE if known is None else max(self._asked.since, clock.at(known))
        until = _minute(self._asked.until) + MINUTE
        since = max(min(newest + MINUTE, since), until - MAX_GAP)
        return Gap(job.key, newest, _minute(since), until, until)

    def step(self, jobs: Mapping[str, Job], median: datetime, now: datetime) -> list[Fire]:
        """Record missed fires, and return fires to catch up, for as many jobs as a turn of the loop has time
        for. `has_more` is true if jobs are left.
        """
        give_up_at = clock.elapsed() + MAX_TURN_TIME
        while self._rows and clock.elapsed() < give_up_at:
            row = self._rows.popleft()
            if job := jobs.get(row.job):
                self._find_gap(job, row)
        due = deque(gap for gap in self._gaps if gap.decided_at <= median)
        caught_up: list[Fire] = []
        while due and clock.elapsed() < give_up_at:
            gap = due.popleft()
            self._gaps.remove(gap)
            if job := jobs.get(gap.key):
                caught_up += self._decide(job, gap, median, now)
        self.has_more = bool(self._rows or due)
        return caught_up

    def _decide(self, job: Job, gap: Gap, median: datetime, now: datetime) -> list[Fire]:
        """Record the missed fires of a gap, and return the fires to catch up."""
        passed = self._passed(job, gap)
        again = _to_catch_up(job, [fire for fire in passed if fire.at > gap.newest], median)
        missed = [_missed(job, fire) for fire in passed if fire not in again]
        for some in batches(missed):
            self._link.send(Close(self._link.number(), some))
        self._unreported.add(job.key)
        return [self._catch_up(job, fire, now, number) for number, fire in enumerate(again)]

    def missed(self, sent: Iterable[Report], runs: Collection[str]) -> list[str]:
        """Return the jobs whose missed fires this node recorded first; each job is returned once. `runs` are
        the UUIDs that the database has for the rows sent.
        """
        keys = {row.job for row in sent if row.state == State.MISSED and row.run in runs} & self._unreported
        self._unreported -= keys
        return sorted(keys)

    def _passed(self, job: Job, gap: Gap) -> list[FireTime]:
        """Return the fires in a gap, the newest if there are many."""
        if job.entry.schedule is None:
            return []
        try:
            zone = self._zone_of(job)
        except PycrondError:
            return []  # its error was reported when the crontab was read
        return [*deque(fire_times(job.entry.schedule, zone, gap.since, gap.until), MAX_MISSED)]

    def _catch_up(self, job: Job, fire: FireTime, now: datetime, number: int) -> Fire:
        """Return a fire that starts now; further fires of the job follow, one each second."""
        attempt, era = self._table.next_attempt(job.key, fire.wall, fire.fold)
        start = now + timedelta(seconds=1 + number, milliseconds=draw_below(SPREAD, job.key))
        return Fire(job, fire.at, fire.wall, fire.fold, era, "catch-up", start_at=start, attempt=attempt)


def _to_catch_up(job: Job, passed: Sequence[FireTime], now: datetime) -> Sequence[FireTime]:
    options = job.entry.options
    if options.missed not in {"once", "all"}:
        return ()
    if options.within is not None:
        earliest = now - timedelta(seconds=options.within)
        passed = [fire for fire in passed if fire.at >= earliest]
    return passed[-1:] if options.missed == "once" else passed[-MAX_CAUGHT_UP:]


def _missed(job: Job, fire: FireTime) -> Report:
    at = fire.at.timestamp()
    return Report(job.key, fire.wall, fire.fold, new_uuid(), at, State.MISSED, Reason.DAEMON_DOWN)


def _minute(at: datetime) -> datetime:
    return at.replace(second=0, microsecond=0)
