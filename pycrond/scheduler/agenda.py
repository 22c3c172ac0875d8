"""What is due: cron's loop over wall-clock minutes, in every zone of its own. Pure; `now` is an argument."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from pycrond.jobs.job import Job
from pycrond.jobs.run import Fire
from pycrond.schedule.dst import processed_through, step
from pycrond.schedule.schedule import Schedule
from pycrond.schedule.timezone import Zone

MINUTE = timedelta(minutes=1)
LARGEST_STEP = 180 * MINUTE  # turned back by more, fixed-time jobs run again as well, as in cron
LATE = 5 * MINUTE  # behind by no more than this, every minute gets a turn of its own


@dataclass(frozen=True, slots=True)
class Position:
    """How far a zone's jobs have run, in wall minutes: the fixed-time ones and the wildcard ones."""

    fixed: int
    wild: int


@dataclass(frozen=True, slots=True)
class DueMinute:
    """What one look at the clock leads to; nothing is changed until `Agenda.done` is told so."""

    at: datetime
    fires: tuple[Fire, ...]
    positions: Mapping[str, Position]
    eras: tuple[int, int]  # fixed, wildcard
    passed: tuple[tuple[Job, Zone, int], ...] = ()
    """After a jump of the clock: jobs whose fires before `at` are left out, each with its zone and era."""


def minute(at: datetime) -> datetime:
    """The minute an instant lies in."""
    return at.replace(second=0, microsecond=0)


def _by_schedule(jobs: Iterable[Job], zone: str) -> dict[str, dict[Schedule, list[Job]]]:
    """The jobs that have one, by the zone (`zone` where they name none) and then by the schedule."""
    zones: dict[str, dict[Schedule, list[Job]]] = {}
    for job in jobs:
        entry = job.entry
        if entry.schedule is not None:
            zones.setdefault(entry.zone or zone, {}).setdefault(entry.schedule, []).append(job)
    return zones


@dataclass(slots=True)
class _Lane:
    """The schedules of one kind in one zone, each under its next wall minute.

    Equal schedules are one: a hundred thousand entries with a thousand schedules are a thousand things to
    look at, and at a turn only those whose minute has come.
    """

    jobs: dict[Schedule, list[Job]]
    coming: dict[int, list[Schedule]] = field(default_factory=dict)
    through: int = 0

    def seek(self, through: int) -> None:
        """Go on after this wall minute, forwards or backwards."""
        if through >= self.through and self.coming:
            moved = [
                one for wall in [w for w in self.coming if w <= through] for one in self.coming.pop(wall)
            ]
        else:
            self.coming.clear()
            moved = list(self.jobs)
        self.through = through
        for schedule in moved:
            wall = schedule.next_wall(through)
            if wall is not None:
                self.coming.setdefault(wall, []).append(schedule)

    def due(self, first: int, last: int) -> Iterator[tuple[int, Schedule]]:
        """Each schedule's wall minutes from `first` to `last`, in order of the minutes."""
        found = []
        if first <= self.through:  # the clock was turned back: the index does not reach there
            candidates = list(self.jobs)
        else:
            candidates = [one for wall, several in self.coming.items() if wall <= last for one in several]
        for schedule in candidates:
            wall = schedule.next_wall(first - 1)
            while wall is not None and wall <= last:
                found.append((wall, schedule))
                wall = schedule.next_wall(wall)
        found.sort(key=lambda pair: pair[0])
        return iter(found)


class Agenda:
    """The jobs, where each zone's wall clock stands, and the fires that come of it."""

    def __init__(
        self,
        jobs: Iterable[Job],
        zone: Zone,
        now: datetime,
        eras: tuple[int, int] = (0, 0),
        positions: Mapping[str, Position] | None = None,
    ) -> None:
        """`zone` is the daemon's. The minute of `now` counts as run: it is not due, as in cron.

        `positions` are those of zones that were there before, with or without jobs; a new one stands where
        it would if it had always been there.
        """
        self.jobs = tuple(jobs)
        self.zone = zone
        self.last = minute(now)
        self.eras = eras
        self._positions = dict(positions or {})
        self._lanes: dict[str, tuple[_Lane, _Lane]] = {}
        for name, groups in _by_schedule(self.jobs, zone.name).items():
            self._add_zone(name, groups)

    def _add_zone(self, name: str, groups: Mapping[Schedule, list[Job]]) -> None:
        if name not in self._positions:
            zone = self._zone(name)
            self._positions[name] = Position(processed_through(zone, self.last), zone.wall(self.last))
        position = self._positions[name]
        wild = _Lane({schedule: jobs for schedule, jobs in groups.items() if schedule.wildcard})
        fixed = _Lane({schedule: jobs for schedule, jobs in groups.items() if not schedule.wildcard})
        fixed.seek(position.fixed)
        wild.seek(position.wild)
        self._lanes[name] = (fixed, wild)

    def _zone(self, name: str) -> Zone:
        return self.zone if name == self.zone.name else Zone.of(name)

    def replaced_by(self, jobs: Iterable[Job]) -> "Agenda":
        """The same moment with other jobs: what is due next minute is the new jobs' business."""
        return Agenda(jobs, self.zone, self.last, self.eras, self._positions)

    def due(self, now: datetime) -> DueMinute | None:
        """The next turn to take: the minute after the last one, or this one where the clock has jumped.

        None within a minute that had its turn. A caller that is late takes several, one after another.
        """
        at = minute(now)
        if at == self.last:
            return None
        if timedelta(0) < at - self.last <= LATE:
            at = self.last + MINUTE
        back = self.last - at
        eras = (self.eras[0] + (back > LARGEST_STEP), self.eras[1] + (back > timedelta(0)))
        fires: list[Fire] = []
        passed: list[tuple[Job, Zone, int]] = []
        positions = {}
        for name, position in self._positions.items():
            wall = self._zone(name).wall(at)
            taken = step(position.fixed, wall)
            positions[name] = Position(taken.through, wall)
            if name not in self._lanes:
                continue
            fixed, wild = self._lanes[name]
            fires += self._fires(wild, taken.wild_from, wall, at, eras[1])
            fires += self._fires(fixed, taken.fixed_from, wall, at, eras[0])
            if at - self.last > MINUTE:
                zone = self._zone(name)
                passed += [(job, zone, eras[1]) for jobs in wild.jobs.values() for job in jobs]
                if taken.fixed_from == wall:
                    passed += [(job, zone, eras[0]) for jobs in fixed.jobs.values() for job in jobs]
        if (
            at - self.last > LATE
        ):  # jobs that say what to do about missed fires are not caught up by cron's rule
            left = {job.key for job, _, _ in passed}
            own = [(job, self._zone(job.entry.zone or self.zone.name)) for job in self.jobs if _decides(job)]
            passed += [(job, zone, eras[0]) for job, zone in own if job.key not in left]
            fires = [fire for fire in fires if fire.at == at or not _decides(fire.job)]
        return DueMinute(at, tuple(fires), positions, eras, tuple(passed))

    def _fires(self, lane: _Lane, first: int, last: int, at: datetime, era: int) -> Iterator[Fire]:
        for wall, schedule in lane.due(first, last):
            due_at = self._instant(at, last - wall)
            for job in lane.jobs[schedule]:
                fold = self._zone(job.entry.zone or self.zone.name).fold(due_at)
                yield Fire(job, due_at, wall, fold, era)

    def _instant(self, at: datetime, behind: int) -> datetime:
        """When a wall minute `behind` this turn's was due: at once, if a gap in the clock swallowed it."""
        instant = at - behind * MINUTE
        return instant if instant > self.last else at

    def done(self, turn: DueMinute) -> None:
        """The turn was carried out."""
        self.last, self.eras = turn.at, turn.eras
        self._positions.update(turn.positions)
        for name, (fixed, wild) in self._lanes.items():
            fixed.seek(turn.positions[name].fixed)
            wild.seek(turn.positions[name].wild)


def _decides(job: Job) -> bool:
    """Whether the option `missed` decides alone."""
    return job.entry.options.missed is not None and job.entry.schedule is not None


def first_turn(last: datetime | None, now: datetime) -> datetime:
    """The minute that counts as run when a daemon starts.

    A gap of up to a minute since the last turn is lateness: what came due in it is run at once. After a
    longer one, and at the very first start, the running minute is not run, as in cron.
    """
    this = minute(now.astimezone(UTC))
    if last is not None and timedelta(0) <= this - last <= MINUTE:
        return last
    return this
