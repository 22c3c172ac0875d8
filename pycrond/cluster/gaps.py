"""The fires that no node has decided about, because none was there: caught up, or written down as missed."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from pycrond import clock
from pycrond.cluster.agent_link import AgentLink
from pycrond.cluster.protocol import MAX_FIRES, Close, LastFires, Report, Row
from pycrond.hashing import draw_below
from pycrond.jobs.job import Job
from pycrond.jobs.run import Fire, Reason, State
from pycrond.ledger.cluster import ClusterTable, new_uuid
from pycrond.schedule.dst import FireTime, fire_times
from pycrond.schedule.timezone import Zone

DECIDED_AFTER = timedelta(
    seconds=15
)  # after the start of a fire: nodes that live have decided about it by then
MAX_GAP = timedelta(days=400)
MAX_MISSED = 1_000  # fires of a job of which each has a row; older ones have none
MAX_CAUGHT_UP = 100  # fires of a job, with `missed=all`
SPREAD = 5_000  # ms over which catch-ups of different jobs start
ZoneOf = Callable[[Job], Zone]


class _Gap(NamedTuple):
    """The time after a job's newest row until this node was there again."""

    key: str
    since: datetime
    until: datetime


class Gaps:
    """Asks for the newest row of each job, and decides about the fires after it."""

    def __init__(self, link: AgentLink, table: ClusterTable, zone_of: ZoneOf) -> None:
        self._link = link
        self._table = table
        self._zone_of = zone_of
        self._until: datetime | None = None  # this node was away until then: perhaps all were
        self._asked_until = clock.at(0)
        self._gaps: list[_Gap] = []
        self._newest: dict[str, str] = {}  # jobs, by the UUID of their newest row that is sent as missed

    def was_away(self, now: datetime) -> None:
        """Look for fires until now that have no row."""
        self._until = now

    def ask(self, jobs: Iterable[Job]) -> None:
        """Ask for the newest rows, if this node was away."""
        if self._until is None:
            return
        self._asked_until, self._until = self._until, None
        names = [job.key for job in jobs if job.entry.options.is_shared and job.entry.schedule]
        for first in range(0, len(names), MAX_FIRES):
            some = tuple(names[first : first + MAX_FIRES])
            self._link.send(LastFires(self._link.number(), some, self._asked_until.timestamp()))

    def answered(self, rows: Sequence[Row]) -> None:
        """Take the newest rows. A job without one has no gap: it is new."""
        self._gaps += [_Gap(row.job, clock.at(row.fire), self._asked_until) for row in rows]

    def step(self, jobs: Mapping[str, Job], now: datetime) -> list[Fire]:
        """Write down what was missed, and return what is to be caught up; living nodes have decided first."""
        caught_up: list[Fire] = []
        missed: list[Report] = []
        later = []
        for gap in self._gaps:
            job = jobs.get(gap.key)
            if job is None:
                continue
            if now < gap.until + DECIDED_AFTER + timedelta(seconds=job.entry.options.jitter):
                later.append(gap)
                continue
            passed = [*self._passed(job, gap)]
            again = _to_catch_up(job, passed, now)
            caught_up += [self._catch_up(job, fire, now) for fire in again]
            rows = [_missed(job, fire) for fire in passed if fire not in again]
            missed += rows
            self._newest |= {row.run: job.key for row in rows[-1:]}
        self._gaps = later
        for first in range(0, len(missed), MAX_FIRES):
            self._link.send(Close(self._link.number(), tuple(missed[first : first + MAX_FIRES])))
        return caught_up

    def missed(self, sent: Iterable[Report], runs: Collection[str]) -> list[str]:
        """Return the jobs of a gap that this node was the first to write down: it reports them. `runs` are
        the UUIDs that the database has for the rows that were sent.
        """
        keys = [(row.run, self._newest.pop(row.run, None)) for row in sent]
        return [key for run, key in keys if key and run in runs]

    def _passed(self, job: Job, gap: _Gap) -> Iterator[FireTime]:
        """Return the newest fires of a gap."""
        if job.entry.schedule is None:
            return
        minute = timedelta(minutes=1)
        first = max(gap.since, gap.until - MAX_GAP).replace(second=0, microsecond=0) + minute
        last = gap.until.replace(second=0, microsecond=0) + minute
        newest: list[FireTime] = []
        for fire in fire_times(job.entry.schedule, self._zone_of(job), first, last):
            newest.append(fire)
            if len(newest) >= 2 * MAX_MISSED:
                del newest[:MAX_MISSED]
        yield from newest[-MAX_MISSED:]

    def _catch_up(self, job: Job, fire: FireTime, now: datetime) -> Fire:
        attempt, era = self._table.next_attempt(job.key, fire.wall, fire.fold)
        start = now + timedelta(milliseconds=1_000 + draw_below(SPREAD, job.key))
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
