"""The DST rule: when a daemon runs a schedule in a time zone whose offset changes (as Debian's cron does).

Pure. A *wall minute* is an int: minutes from 1970-01-01T00:00 of a time zone's wall clock.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from pycrond.schedule.schedule import Schedule
from pycrond.schedule.timezone import DAY, LAST_TICK, OffsetPeriod, Zone, instant, tick_from

WEEK = 7 * DAY


@dataclass(frozen=True, slots=True)
class Step:
    """What is due at one wall minute: the wildcard fires from `wild_from` and the fixed-time ones
    from `fixed_from`, both up to and including that minute (later than it: none).
    """

    wild_from: int
    fixed_from: int
    through: int
    """The wall minute up to which jobs have run after this."""


def step(through: int, wall: int) -> Step:
    """Cron's rule for a clock that now shows `wall` when jobs have run up to `through` (Debian's bounds)."""
    ahead = wall - through
    if -180 < ahead <= 0:  # turned back: fixed times wait until the clock has passed where it was
        return Step(wall, wall + 1, through)
    if 1 < ahead <= 5:  # a late wake-up
        return Step(through + 1, through + 1, wall)
    if 5 < ahead <= 180:  # turned forward
        return Step(wall, through + 1, wall)
    return Step(wall, wall, wall)


@dataclass(frozen=True, slots=True)
class FireTime:
    """One minute of a schedule in a zone."""

    at: datetime
    """When it is due: UTC, a whole minute."""
    wall: int
    """The wall minute it is named after, which a clock turned forward may never have shown."""
    fold: int
    """1 for the second occurrence of its wall minute."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Wall minutes that a daemon goes through: those later than `after`, up to and with `last`."""

    piece: OffsetPeriod
    after: int
    last: int
    tick: int | None = None
    """When they are all due at once: a change of the clock has brought them."""

    def walls(self, schedule: Schedule) -> Iterator[int]:
        """Those that a schedule names."""
        wall = schedule.next_wall(self.after)
        while wall is not None and wall <= self.last:
            yield wall
            wall = schedule.next_wall(wall)

    def fire_time(self, wall: int, zone: Zone) -> FireTime:
        """When the daemon comes to one of them."""
        tick = wall - self.piece.offset if self.tick is None else self.tick
        at = instant(tick)
        moved = wall != tick + self.piece.offset
        return FireTime(at, wall, 0 if moved or tick - self.piece.start > WEEK else zone.fold(at))


def fire_times(
    schedule: Schedule, zone: Zone, start: datetime, until: datetime | None = None
) -> Iterator[FireTime]:
    """What a daemon that has been running since long before `start` runs from `start` (inclusive)
    up to `until` (exclusive), in order: `step` applied at every change of the zone's offset.
    Fixed times moved to one instant are all given.
    """
    zone = Zone.of("UTC") if schedule.period else zone
    for stretch in stretches(schedule, zone, start, until):
        for wall in stretch.walls(schedule):
            yield stretch.fire_time(wall, zone)


def stretches(
    schedule: Schedule, zone: Zone, start: datetime, until: datetime | None = None
) -> Iterator[Stretch]:
    """The same as stretches of wall minutes; they end where the schedule never fires again."""
    first = tick_from(start)
    end = LAST_TICK if until is None else min(tick_from(until), LAST_TICK)
    through: int | None = None
    for piece in zone.offset_periods(first - WEEK, end):  # a change longer ago has no effect any more
        wall = piece.start + piece.offset
        now = Step(wall, wall, wall) if through is None else step(through, wall)
        if piece.end > first:
            if schedule.next_wall(max(piece.start, first) + piece.offset - 1) is None:
                return
            if piece.start >= first:
                since = now.wild_from if schedule.wildcard else now.fixed_from
                yield Stretch(piece, since - 1, wall, piece.start)
            waits_for = wall if schedule.wildcard else max(wall, now.through)
            after = max(waits_for, first + piece.offset - 1)
            yield Stretch(piece, after, min(piece.end, end) - 1 + piece.offset)
        through = max(now.through, piece.end - 1 + piece.offset)


def processed_through(zone: Zone, at: datetime) -> int:
    """The wall minute up to which fixed-time jobs have run by `at`, if the daemon has long been running:
    later than what the clock shows while that repeats an hour.
    """
    tick = tick_from(at)
    through = None
    for piece in zone.offset_periods(tick - WEEK, tick + 1):
        wall = piece.start + piece.offset
        first = wall if through is None else step(through, wall).through
        through = max(first, min(piece.end - 1, tick) + piece.offset)
    return zone.wall(at) if through is None else through
