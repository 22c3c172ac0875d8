"""The fires that are due: cron's loop over wall-clock minutes, for each time zone. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from pycrond.jobs.job import Job
from pycrond.jobs.run import Fire
from pycrond.schedule.dst import processed_through, step
from pycrond.schedule.schedule import Schedule
from pycrond.schedule.timezone import Zone

MINUTE = timedelta(minutes=1)
MAX_STEP_BACK = 180 * MINUTE  # a clock turned back by so much repeats fixed-time jobs too, as in cron
MAX_LATENESS = 5 * MINUTE  # if the loop is late by no more than this, each minute has its own turn


class Position(NamedTuple):
    """The last wall minute that a zone's jobs have run for: fixed-time jobs and wildcard jobs."""

    fixed: int
    wild: int


class DueMinute(NamedTuple):
    """The fires of a minute, and the state of the agenda after them; `Agenda.advance` sets that state."""

    at: datetime
    fires: tuple[Fire, ...]
    positions: Mapping[str, Position]
    eras: tuple[int, int]
    """How often the clock was turned back so far that jobs run again: fixed-time jobs, wildcard jobs."""
    left_out: tuple[tuple[Job, Zone, int], ...] = ()
    """After a jump of the clock, the jobs whose fires before `at` are not due, each with its zone and era."""


def minute(at: datetime) -> datetime:
    """Return the beginning of the minute that `at` is in."""
    return at.replace(second=0, microsecond=0)


def _by_schedule(jobs: Iterable[Job]) -> dict[str, dict[Schedule, list[Job]]]:
    """Return the jobs that have a schedule, by their zone (empty: the daemon's) and schedule."""
    zones: dict[str, dict[Schedule, list[Job]]] = {}
    for job in jobs:
        entry = job.entry
        if entry.schedule is not None:
            zones.setdefault(entry.zone or "", {}).setdefault(entry.schedule, []).append(job)
    return zones


@dataclass(slots=True)
class _ScheduleIndex:
    """The schedules of a zone's fixed-time or wildcard jobs, indexed by their next wall minute.

    A turn looks only at the schedules whose minute has come. Jobs with equal schedules share an entry of the
    index: 100,000 jobs often have 1,000 schedules.
    """

    jobs: dict[Schedule, list[Job]]
    next_at: dict[int, list[Schedule]] = field(default_factory=dict)
    through: int = 0

    def seek(self, through: int) -> None:
        """Index the minutes after `through`, which may be before or after the current position."""
        if through >= self.through and self.next_at:
            reached_walls = [wall for wall in self.next_at if wall <= through]
            moved = [schedule for wall in reached_walls for schedule in self.next_at.pop(wall)]
        else:
            self.next_at.clear()
            moved = list(self.jobs)
        self.through = through
        for schedule in moved:
            wall = schedule.next_wall(through)
            if wall is not None:
                self.next_at.setdefault(wall, []).append(schedule)

    def due(self, first: int, last: int) -> Iterator[tuple[int, Schedule]]:
        """Return the wall minutes from `first` to `last` with the schedules that name them, in order."""
        if first <= self.through:  # the clock was turned back to minutes before the index
            candidates = list(self.jobs)
        else:
            groups = [schedules for wall, schedules in self.next_at.items() if wall <= last]
            candidates = [schedule for schedules in groups for schedule in schedules]
        minutes = [(wall, schedule) for schedule in candidates for wall in schedule.walls(first - 1, last)]
        return iter(sorted(minutes, key=lambda pair: pair[0]))


class Agenda:
    """The jobs, the positions of the zones' wall clocks, and the fires that follow from both."""

    def __init__(
        self,
        jobs: Iterable[Job],
        zone: Zone,
        now: datetime,
        eras: tuple[int, int] = (0, 0),
        known: Mapping[str, tuple[Zone, Position]] | None = None,
    ) -> None:
        """`zone` is the daemon's. The minute of `now` counts as run, as in cron.

        `known` are zones that were known before, with or without jobs; a new zone gets the position that it
        would have if it had always been known.
        """
        self.jobs = tuple(jobs)
        self.zone = zone
        known = known or {}
        self.last = minute(now)
        self.eras = eras
        self._zones = {name: known_zone for name, (known_zone, _) in known.items()} | {"": zone}
        """By name; the daemon's own has none, and apart from it the zone of that name may have jobs."""
        self._positions = {name: position for name, (_, position) in known.items()}
        self._indexes: dict[str, tuple[_ScheduleIndex, _ScheduleIndex]] = {}
        for name, groups in _by_schedule(self.jobs).items():
            self._add_zone(name, groups)

    def _add_zone(self, name: str, groups: Mapping[Schedule, list[Job]]) -> None:
        if name not in self._positions:
            zone = self._zones[name] = self._zones.get(name) or Zone.of(name)
            self._positions[name] = Position(processed_through(zone, self.last), zone.wall(self.last))
        position = self._positions[name]
        wild = _ScheduleIndex({schedule: jobs for schedule, jobs in groups.items() if schedule.wildcard})
        fixed = _ScheduleIndex({schedule: jobs for schedule, jobs in groups.items() if not schedule.wildcard})
        fixed.seek(position.fixed)
        wild.seek(position.wild)
        self._indexes[name] = (fixed, wild)

    def replaced_by(self, jobs: Iterable[Job]) -> "Agenda":
        """Return an agenda with other jobs at the same position; they are due from the next minute on."""
        return Agenda(jobs, self.zone, self.last, self.eras, self._known)

    def in_zone(self, zone: Zone) -> "Agenda":
        """Return an agenda of a daemon whose zone is another from the next minute on. To its jobs this is a
        clock that is turned: the next minute is due by cron's rule.
        """
        back = MINUTE * (self.zone.wall(self.last) - zone.wall(self.last))
        known = self._known
        if "" not in known:  # it has no jobs
            known[""] = (zone, Position(processed_through(self.zone, self.last), self.zone.wall(self.last)))
        return Agenda(self.jobs, zone, self.last, self._eras_after(back), known)

    @property
    def _known(self) -> dict[str, tuple[Zone, Position]]:
        return {name: (self._zones[name], position) for name, position in self._positions.items()}

    def _eras_after(self, back: timedelta) -> tuple[int, int]:
        """Return the eras after the clock was turned back."""
        return self.eras[0] + (back >= MAX_STEP_BACK), self.eras[1] + (back > timedelta(0))

    def due(self, now: datetime) -> DueMinute | None:
        """Return the next minute: the minute after the last, or that of `now` if the clock has jumped.

        None if the minute of `now` was the last. A late caller gets several minutes, one after another.
        """
        at = minute(now)
        if at == self.last:
            return None
        if timedelta(0) < at - self.last <= MAX_LATENESS:
            at = self.last + MINUTE
        eras = self._eras_after(self.last - at)
        has_jumped = at - self.last > MINUTE
        fires: list[Fire] = []
        left_out: list[tuple[Job, Zone, int]] = []
        positions = {}
        for name, position in self._positions.items():
            zone = self._zones[name]
            wall = zone.wall(at)
            moved = step(position.fixed, wall)
            positions[name] = Position(moved.through, wall)
            if name not in self._indexes:
                continue
            fixed, wild = self._indexes[name]
            fires += self._fires(wild, moved.wild_from, wall, at, eras[1])
            fires += self._fires(fixed, moved.fixed_from, wall, at, eras[0])
            if has_jumped:
                left_out += [(job, zone, eras[1]) for jobs in wild.jobs.values() for job in jobs]
            if has_jumped and moved.fixed_from == wall:
                left_out += [(job, zone, eras[0]) for jobs in fixed.jobs.values() for job in jobs]
        if at - self.last > MAX_LATENESS:
            # The option `missed` replaces cron's rule, which catches up fixed-time jobs.
            keys = {job.key for job, _, _ in left_out}
            by_option = [job for job in self.jobs if _has_missed_option(job) and job.key not in keys]
            left_out += [(job, self._zone_of(job), eras[0]) for job in by_option]
            fires = [fire for fire in fires if fire.at == at or not _has_missed_option(fire.job)]
        return DueMinute(at, tuple(fires), positions, eras, tuple(left_out))

    def _fires(self, index: _ScheduleIndex, first: int, last: int, at: datetime, era: int) -> Iterator[Fire]:
        for wall, schedule in index.due(first, last):
            due_at = self._instant(at, last - wall)
            for job in index.jobs[schedule]:
                yield Fire(job, due_at, wall, self._zone_of(job).fold(due_at), era)

    def _zone_of(self, job: Job) -> Zone:
        return self._zones[job.entry.zone or ""]

    def _instant(self, at: datetime, behind: int) -> datetime:
        """Return when the wall minute `behind` minutes before `at` was due; `at` if the clock skipped it."""
        instant = at - behind * MINUTE
        return instant if instant > self.last else at

    def advance(self, due: DueMinute) -> None:
        """Count a minute as run; `due` returns it no more."""
        self.last, self.eras = due.at, due.eras
        self._positions.update(due.positions)
        for name, (fixed, wild) in self._indexes.items():
            fixed.seek(due.positions[name].fixed)
            wild.seek(due.positions[name].wild)


def _has_missed_option(job: Job) -> bool:
    """Return whether the option `missed` alone decides about fires that were not started in time."""
    return job.entry.options.missed is not None and job.entry.schedule is not None


def initial_minute(last: datetime | None, now: datetime) -> datetime:
    """Return the minute that counts as run when a daemon starts; `last` is the latest minute that was run.

    A gap of up to a minute is lateness: what came due in it is run at once. After a longer gap, and at the
    very first start, the current minute is not run, as in cron. A clock that was set back meanwhile counts as
    set back now.
    """
    current = minute(now.astimezone(UTC))
    if last is not None and current - last <= MINUTE:
        return last
    return current
