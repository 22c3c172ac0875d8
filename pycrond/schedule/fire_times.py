"""The fire times of a schedule in a time zone, for a daemon that runs without a break. Pure."""

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from pycrond.schedule.dst import ClockStep, step
from pycrond.schedule.schedule import Schedule
from pycrond.schedule.timezone import DAY, LAST_TICK, OffsetPeriod, Zone, instant, tick_from

WEEK = 7 * DAY  # minutes; a change of the offset that is older than this no longer has an effect


class FireTime(NamedTuple):
    """A minute of a schedule in a time zone."""

    at: datetime
    """The instant at which it is due: UTC, a whole minute."""
    wall: int
    """The wall minute that the schedule names. If the clock was set forward, it may not have shown it."""
    fold: int
    """1 for the second occurrence of the wall minute."""


class Stretch(NamedTuple):
    """The wall minutes after `after`, up to `last`, that a daemon processes in one period of a zone."""

    zone: Zone
    period: OffsetPeriod
    after: int
    last: int
    due_tick: int | None = None
    """The tick at which all these minutes are due, because a change of the offset has skipped them."""

    def walls(self, schedule: Schedule) -> Iterator[int]:
        """Return the wall minutes of a schedule in the stretch."""
        return schedule.walls(self.after, self.last)

    def fire_time(self, wall: int) -> FireTime:
        """Return the fire time of a wall minute in the stretch."""
        tick = wall - self.period.offset if self.due_tick is None else self.due_tick
        at = instant(tick)
        moved = wall != tick + self.period.offset
        return FireTime(at, wall, 0 if moved or tick - self.period.start > WEEK else self.zone.fold(at))


def fire_times(
    schedule: Schedule, zone: Zone, start: datetime, until: datetime | None = None
) -> Iterator[FireTime]:
    """Yield the fire times of a schedule from `start` (inclusive) to `until` (exclusive), in order.

    These are the fire times of a daemon that has run since long before `start`: `step` is applied at every
    change of the zone's offset. If several fixed times are moved to one instant, all of them are yielded.
    """
    for stretch in stretches(schedule, zone, start, until):
        for wall in stretch.walls(schedule):
            yield stretch.fire_time(wall)


def stretches(
    schedule: Schedule, zone: Zone, start: datetime, until: datetime | None = None
) -> Iterator[Stretch]:
    """Yield the stretches with the fire times of `fire_times`, until the schedule never fires again."""
    zone = Zone.of("UTC") if schedule.period else zone
    first = tick_from(start)
    end = LAST_TICK if until is None else min(tick_from(until), LAST_TICK)
    for period, change in _changes(zone, first, end):
        if period.end > first:
            wall = period.start + period.offset
            if schedule.next_wall(max(period.start, first) + period.offset - 1) is None:
                return
            if period.start >= first:
                due_from = change.wild_from if schedule.wildcard else change.fixed_from
                yield Stretch(zone, period, due_from - 1, wall, period.start)
            through = wall if schedule.wildcard else max(wall, change.through)
            after = max(through, first + period.offset - 1)
            yield Stretch(zone, period, after, min(period.end, end) - 1 + period.offset)


def processed_through(zone: Zone, at: datetime) -> int:
    """Return the wall minute up to which a daemon that has run for a long time has run fixed-time jobs at
    `at`. While the clock repeats an hour, it is later than the minute that the clock shows.
    """
    tick = tick_from(at)
    through = zone.wall(at)
    for period, change in _changes(zone, tick, tick + 1):
        through = max(change.through, min(period.end - 1, tick) + period.offset)
    return through


def _changes(zone: Zone, first: int, end: int) -> Iterator[tuple[OffsetPeriod, ClockStep]]:
    """Yield the periods of a zone with the ticks from `first` to `end`, each with the step at its start."""
    through: int | None = None
    for period in zone.offset_periods(first - WEEK, end):
        wall = period.start + period.offset
        change = ClockStep(wall, wall, wall) if through is None else step(through, wall)
        yield period, change
        through = max(change.through, period.end - 1 + period.offset)
