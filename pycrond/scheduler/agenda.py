"""The fires that are due: cron's loop over wall-clock minutes, for each time zone. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from pycrond.jobs.job import Job
from pycrond.jobs.options import Options
from pycrond.jobs.run import Fire
from pycrond.schedule.dst import step
from pycrond.schedule.fire_times import processed_through
from pycrond.schedule.schedule import Schedule
from pycrond.schedule.timezone import MINUTE, Zone

MAX_STEP_BACK = 180 * MINUTE  # a clock set back by this or more also repeats fixed-time jobs, as in cron
MAX_LATENESS = 5 * MINUTE  # a loop that is late by at most this processes each minute by itself


class PassedJob(NamedTuple):
    """A job with fires that were passed over."""

    key: str
    schedule: Schedule
    zone: Zone
    era: int
    options: Options


class DueMinute(NamedTuple):
    """The fires of a minute, and the state of the agenda after them; `Agenda.advance` sets that state."""

    at: datetime
    fires: tuple[Fire, ...]
    through: Mapping[str, int]
    """By zone, the last wall minute for which fixed-time jobs have run."""
    eras: tuple[int, int]
    """How often the clock was set back so far that jobs run again: fixed-time jobs, wildcard jobs."""
    left_out: tuple[PassedJob, ...] = ()
    """After a jump of the clock: the jobs whose fires before `at` are not due."""


def minute(at: datetime) -> datetime:
    """Return the beginning of the minute that contains `at`."""
    return at.replace(second=0, microsecond=0)


def _by_schedule(jobs: Iterable[Job]) -> dict[tuple[str, bool], dict[Schedule, list[Job]]]:
    """Return the jobs with a schedule: by zone (empty: the daemon's) and `wildcard`, then by schedule."""
    groups: dict[tuple[str, bool], dict[Schedule, list[Job]]] = {}
    for job in jobs:
        schedule = job.entry.schedule
        if schedule is not None:
            group = groups.setdefault((job.entry.zone or "", schedule.wildcard), {})
            group.setdefault(schedule, []).append(job)
    return groups


@dataclass(slots=True)
class _ScheduleIndex:
    """The schedules of a zone's fixed-time or wildcard jobs, indexed by their next wall minute.

    A turn reads only the schedules whose minute has come. Jobs with equal schedules share an entry of the
    index: 100,000 jobs often have only 1,000 schedules.
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

    def due(self, first: int, last: int) -> list[tuple[int, Schedule]]:
        """Return the wall minutes from `first` to `last` with the schedules that name them, in order."""
        if first <= self.through:  # the clock was set back to minutes before the index
            candidates = list(self.jobs)
        else:
            groups = [schedules for wall, schedules in self.next_at.items() if wall <= last]
            candidates = [schedule for schedules in groups for schedule in schedules]
        minutes = [(wall, schedule) for schedule in candidates for wall in schedule.walls(first - 1, last)]
        return sorted(minutes, key=lambda pair: pair[0])


class Agenda:
    """The jobs, the positions of the zones' wall clocks, and the due fires that result from them."""

    def __init__(
        self,
        jobs: Iterable[Job],
        zone: Zone,
        now: datetime,
        eras: tuple[int, int] = (0, 0),
        known: Mapping[str, tuple[Zone, int]] | None = None,
    ) -> None:
        """`zone` is the daemon's. The minute of `now` counts as run, as in cron.

        `known` has the zones of the agenda before, with or without jobs, each with the last wall minute for
        which fixed-time jobs have run. A new zone gets the wall minute of a zone that was always known.
        """
        self.jobs = tuple(jobs)
        self.zone = zone
        known = known or {}
        self.last = minute(now)
        self.eras = eras
        self._zones = {name: known_zone for name, (known_zone, _) in known.items()} | {"": zone}
        """The zones by name; the daemon's zone has an empty name. Jobs may also name the same zone."""
        self._through = {name: through for name, (_, through) in known.items()}
        groups = _by_schedule(self.jobs)
        self._indexes = {zone_and_kind: _ScheduleIndex(group) for zone_and_kind, group in groups.items()}
        for name, _ in groups:
            if name not in self._through:
                self._zones[name] = Zone.of(name) if name else zone
                self._through[name] = processed_through(self._zones[name], self.last)
        self._coming: DueMinute | None = None
        self._seek()

    def _seek(self) -> None:
        """Move the indexes to the minute that was run last."""
        for (name, wildcard), index in self._indexes.items():
            index.seek(self._zones[name].wall(self.last) if wildcard else self._through[name])

    def replaced_by(self, jobs: Iterable[Job]) -> "Agenda":
        """Return an agenda with other jobs at the same position; they are due from the next minute on."""
        return Agenda(jobs, self.zone, self.last, self.eras, self._known)

    def in_zone(self, zone: Zone) -> "Agenda":
        """Return an agenda with another zone of the daemon from the next minute on. For the jobs, this is a
        change of the clock: the next minute is due by cron's rule.
        """
        back = MINUTE * (self.zone.wall(self.last) - zone.wall(self.last))
        known = self._known
        known.setdefault("", (zone, processed_through(self.zone, self.last)))  # also for a zone without jobs
        return Agenda(self.jobs, zone, self.last, self._eras_after(back), known)

    @property
    def _known(self) -> dict[str, tuple[Zone, int]]:
        return {name: (self._zones[name], through) for name, through in self._through.items()}

    def _eras_after(self, back: timedelta) -> tuple[int, int]:
        """Return the eras after the clock was set back."""
        return self.eras[0] + (back >= MAX_STEP_BACK), self.eras[1] + (back > timedelta(0))

    def due(self, now: datetime) -> DueMinute | None:
        """Return the next minute: the minute after the last, or that of `now` if the clock has jumped.

        Return None if the minute of `now` was the last. A late caller gets several minutes, one by one. A
        minute is computed once until `advance` is called.
        """
        at = minute(now)
        if at == self.last:
            return None
        if timedelta(0) < at - self.last <= MAX_LATENESS:
            at = self.last + MINUTE
        if self._coming is None or self._coming.at != at:
            self._coming = self._due_at(at)
        return self._coming

    def _due_at(self, at: datetime) -> DueMinute:
        eras = self._eras_after(self.last - at)
        has_jumped = at - self.last > MINUTE
        walls = {name: self._zones[name].wall(at) for name in self._through}
        steps = {name: step(through, walls[name]) for name, through in self._through.items()}
        fires: list[Fire] = []
        left_out: list[PassedJob] = []
        for (name, wildcard), index in self._indexes.items():
            first = steps[name].wild_from if wildcard else steps[name].fixed_from
            fires += self._fires(index, first, walls[name], at, eras[wildcard])
            if has_jumped:
                is_caught_up = not wildcard and first != walls[name]
                left_out += self._left_out(index, eras[wildcard], is_caught_up=is_caught_up)
        if has_jumped:
            fires = [fire for fire in fires if fire.at == at or fire.job.entry.options.missed is None]
        through = {name: moved.through for name, moved in steps.items()}
        return DueMinute(at, tuple(fires), through, eras, tuple(left_out))

    def _left_out(self, index: _ScheduleIndex, era: int, *, is_caught_up: bool) -> Iterator[PassedJob]:
        """Yield the jobs whose fires are passed over after a jump. If cron's rule catches the fires up
        (`is_caught_up`), these are only the jobs with the option `missed`, which replaces the rule.
        """
        for schedule, jobs in index.jobs.items():
            for job in jobs:
                options = job.entry.options
                if options.missed or not is_caught_up:
                    yield PassedJob(job.key, schedule, self._zone_of(job), era, options)

    def _fires(self, index: _ScheduleIndex, first: int, last: int, at: datetime, era: int) -> Iterator[Fire]:
        for wall, schedule in index.due(first, last):
            due_at = self._instant(at, last - wall)
            for job in index.jobs[schedule]:
                yield Fire(job, due_at, wall, self._zone_of(job).fold(due_at), era)

    def _zone_of(self, job: Job) -> Zone:
        return self._zones[job.entry.zone or ""]

    def _instant(self, at: datetime, behind: int) -> datetime:
        """Return the instant of the wall minute `behind` minutes before `at`, or `at` if it was skipped."""
        instant = at - behind * MINUTE
        return instant if instant > self.last else at

    def advance(self, due: DueMinute) -> None:
        """Count a minute as run: `due` does not return it again."""
        self.last, self.eras = due.at, due.eras
        self._through.update(due.through)
        self._coming = None
        self._seek()


def initial_minute(last: datetime | None, now: datetime) -> datetime:
    """Return the minute that counts as run when a daemon starts; `last` is the latest minute that was run.

    A gap of at most a minute is lateness: the jobs that became due in it run at once. After a longer gap, and
    at the very first start, the current minute is not run, as in cron. A clock that was set back meanwhile
    counts as set back now.
    """
    current = minute(now.astimezone(UTC))
    if last is not None and current - last <= MINUTE:
        return last
    return current
