"""The set of minutes an entry names, and when a daemon runs them: cron's loop as pure functions.

A *wall minute* is an int: minutes from 1970-01-01T00:00 of some zone's wall clock.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

from pycrond.schedule.days import (
    EVERY_DAY,
    LAST_DAY,
    NO_DAY,
    DayPart,
    Days,
    canonical,
    days_of,
    lowest_bit,
    mask,
)
from pycrond.schedule.timezone import DAY

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
    def is_empty(self) -> bool:
        """It names no minute at all, and that is plain from the sets."""
        return not self.hours

    def matches(self, wall: int) -> bool:
        if self.period:
            return wall % self.period == 0
        day, minute = divmod(wall, DAY)
        if not (self.hours >> minute // 60 & 1 and self.minutes >> minute % 60 & 1):
            return False
        return self.days is None or self.days.first_from(day) == day

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
        return first * DAY + lowest_bit(self.hours) * 60 + lowest_bit(self.minutes)

    def _first_day(self, day: int) -> int | None:
        if day > LAST_DAY:
            return None
        return day if self.days is None else self.days.first_from(day)

    def _in_day(self, minute: int) -> int | None:
        """The first matching minute of a day at or after `minute`."""
        hour = minute // 60
        if self.hours >> hour & 1:
            rest = self.minutes >> minute % 60
            if rest:
                return minute + lowest_bit(rest)
        later = self.hours >> hour + 1
        return (hour + 1 + lowest_bit(later)) * 60 + lowest_bit(self.minutes) if later else None


_INTERNED: WeakValueDictionary[tuple[int, int, DayPart, bool, int], Schedule] = WeakValueDictionary()


def make_schedule(
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
        return intern_schedule(0, 0, NO_DAY, wildcard=wildcard, period=0)
    return intern_schedule(mask(minutes), mask(hours), part, wildcard=wildcard, period=0)


def every_minutes(minutes: int) -> Schedule:
    """Every so many minutes, counted from the Unix epoch in UTC."""
    return intern_schedule(1, 1, EVERY_DAY, wildcard=True, period=minutes)


def intern_schedule(minutes: int, hours: int, part: DayPart, *, wildcard: bool, period: int) -> Schedule:
    """Return the only `Schedule` object with these attributes."""
    key = (minutes, hours, part, wildcard, period)
    schedule = _INTERNED.get(key)
    if schedule is None:
        days = None if part == NO_DAY else days_of(part)
        schedule = _INTERNED[key] = Schedule(minutes, hours, part, wildcard, period, days)
    return schedule
