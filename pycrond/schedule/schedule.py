"""The set of minutes an entry names, and when a daemon runs them: cron's loop as pure functions.

A *wall minute* is an int: minutes from 1970-01-01T00:00 of some zone's wall clock.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from weakref import WeakValueDictionary

from pycrond.schedule.days import EVERY_DAY, LAST_DAY, NO_DAY, DayPart, Days, canonical, find, lowest, mask
from pycrond.schedule.timezone import DAY, LAST_TICK, OffsetPeriod, Zone, instant, tick_from

__all__ = ["FireTime", "Schedule", "Step", "Stretch", "Zone", "every", "fires", "of", "reached", "restore"]
__all__ += ["step", "stretches"]

WEEK = 7 * DAY
LAST_WALL = (LAST_DAY + 1) * DAY - 1


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Schedule:
    """A set of wall minutes. Made by `of` and `every` only, which give one object for one meaning,
    so that equality is identity. `minutes` and `hours` are bit masks; both are 0 when it never fires.
    """

    minutes: int
    hours: int
    part: DayPart
    wildcard: bool
    """The minute's or the hour's text begins with ``*``: follows the clock when that is turned."""
    period: int = 0
    """Not 0: every so many minutes since 1970-01-01T00:00Z. Such a schedule is a wildcard schedule
    on the wall clock of UTC, whatever the zone of its entry."""
    days: Days | None = field(default=None, repr=False)

    @property
    def never(self) -> bool:
        """It names no minute at all, and that is plain from the sets."""
        return not self.hours

    def matches(self, wall: int) -> bool:
        if self.period:
            return wall % self.period == 0
        day, minute = divmod(wall, DAY)
        if not (self.hours >> minute // 60 & 1 and self.minutes >> minute % 60 & 1):
            return False
        return self.days is None or self.days.first(day) == day

    def next_wall(self, after: int) -> int | None:
        """The first matching wall minute later than `after`; None: never again."""
        if self.period:
            coming = after - after % self.period + self.period
            return coming if coming <= LAST_WALL else None
        if not self.hours:
            return None
        day, minute = divmod(after + 1, DAY)
        first = self._first_day(day)
        if first == day:
            within = self._in_day(minute)
            if within is not None:
                return day * DAY + within
            first = self._first_day(day + 1)
        if first is None:
            return None
        return first * DAY + lowest(self.hours) * 60 + lowest(self.minutes)

    def _first_day(self, day: int) -> int | None:
        if day > LAST_DAY:
            return None
        return day if self.days is None else self.days.first(day)

    def _in_day(self, minute: int) -> int | None:
        """The first matching minute of a day at or after `minute`."""
        hour = minute // 60
        if self.hours >> hour & 1:
            rest = self.minutes >> minute % 60
            if rest:
                return minute + lowest(rest)
        later = self.hours >> hour + 1
        return (hour + 1 + lowest(later)) * 60 + lowest(self.minutes) if later else None


_KNOWN: WeakValueDictionary[tuple[int, int, DayPart, bool, int], Schedule] = WeakValueDictionary()


def of(
    minutes: Collection[int],
    hours: Collection[int],
    days_of_month: Collection[int],
    months: Collection[int],
    days_of_week: Collection[int],
    *,
    day_or: bool,
    wildcard: bool,
    specials: Collection[str] = (),
    special_weekdays: Collection[str] = (),
) -> Schedule:
    """The schedule of five sets; weekdays are 0 (Sunday) to 6. `day_or`: neither day field's text
    begins with ``*``, so a day matches that is in either of them. For the specials see `DayPart`.
    """
    part = canonical(
        DayPart(
            mask(days_of_month),
            mask(months),
            mask(days_of_week),
            day_or,
            tuple(sorted(specials)),
            tuple(sorted(special_weekdays)),
        )
    )
    if not minutes or not hours or part == NO_DAY:
        return _intern(0, 0, NO_DAY, wildcard, 0)
    return _intern(mask(minutes), mask(hours), part, wildcard, 0)


def every(minutes: int) -> Schedule:
    """Every so many minutes, counted from the Unix epoch in UTC."""
    return _intern(1, 1, EVERY_DAY, True, minutes)


def _intern(minutes: int, hours: int, part: DayPart, wildcard: bool, period: int) -> Schedule:
    key = (minutes, hours, part, wildcard, period)
    known = _KNOWN.get(key)
    if known is None:
        days = None if part == NO_DAY else find(part)
        known = _KNOWN[key] = Schedule(minutes, hours, part, wildcard, period, days)
    return known


def restore(minutes: int, hours: int, part: DayPart, *, wildcard: bool, period: int) -> Schedule:
    """The schedule that has these attributes."""
    return _intern(minutes, hours, part, wildcard, period)


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
        tick = wall - self.piece.shift if self.tick is None else self.tick
        at = instant(tick)
        moved = wall != tick + self.piece.shift
        return FireTime(at, wall, 0 if moved or tick - self.piece.start > WEEK else zone.fold(at))


def fires(
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
    for piece in zone.pieces(first - WEEK, end):  # a change longer ago has no effect any more
        wall = piece.start + piece.shift
        now = Step(wall, wall, wall) if through is None else step(through, wall)
        if piece.end > first:
            if schedule.next_wall(max(piece.start, first) + piece.shift - 1) is None:
                return
            if piece.start >= first:
                since = now.wild_from if schedule.wildcard else now.fixed_from
                yield Stretch(piece, since - 1, wall, piece.start)
            waits_for = wall if schedule.wildcard else max(wall, now.through)
            after = max(waits_for, first + piece.shift - 1)
            yield Stretch(piece, after, min(piece.end, end) - 1 + piece.shift)
        through = max(now.through, piece.end - 1 + piece.shift)


def reached(zone: Zone, at: datetime) -> int:
    """The wall minute up to which fixed-time jobs have run by `at`, if the daemon has long been running:
    later than what the clock shows while that repeats an hour.
    """
    tick = tick_from(at)
    through = None
    for piece in zone.pieces(tick - WEEK, tick + 1):
        wall = piece.start + piece.shift
        first = wall if through is None else step(through, wall).through
        through = max(first, min(piece.end - 1, tick) + piece.shift)
    return zone.wall(at) if through is None else through
