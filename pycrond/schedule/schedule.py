"""The set of minutes that the schedule of an entry names.

A *wall minute* is an int: minutes from 1970-01-01T00:00 of a time zone's wall clock.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

from pycrond.schedule.days import (
    EVERY_DAY,
    LAST_DAY,
    NO_DAY,
    DayPart,
    Days,
    bit_mask,
    canonical,
    days_of,
    lowest_bit,
)
from pycrond.schedule.timezone import DAY

LAST_WALL = (LAST_DAY + 1) * DAY - 1


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Schedule:
    """A set of wall minutes. Only the functions of this module create schedules. They return the same object
    for equal sets, so that equality is identity. `minutes` and `hours` are bit masks, 0 if the set is empty.
    """

    minutes: int
    hours: int
    part: DayPart
    wildcard: bool
    """The text of the minute or hour field begins with ``*``: the schedule follows changes of the clock."""
    period: int = 0
    """If not 0, the schedule fires every `period` minutes, counted from 1970-01-01T00:00Z. It is a wildcard
    schedule on the wall clock of UTC, whatever the zone of its entry."""
    days: Days | None = field(default=None, repr=False)

    @property
    def is_empty(self) -> bool:
        """True if the fields alone show that the set has no minute."""
        return not self.hours

    def matches(self, wall: int) -> bool:
        if self.period:
            return wall % self.period == 0
        day, minute = divmod(wall, DAY)
        if not (self.hours >> minute // 60 & 1 and self.minutes >> minute % 60 & 1):
            return False
        return self.days is None or self.days.first_from(day) == day

    def next_wall(self, after: int) -> int | None:
        """Return the first wall minute of the set later than `after`; None if there is none."""
        if self.period:
            wall = after - after % self.period + self.period
            return wall if wall <= LAST_WALL else None
        if not self.hours:
            return None
        day, minute = divmod(after + 1, DAY)
        first = self._first_day(day)
        if first == day:
            within = self._minute_of_day(minute)
            if within is not None:
                return day * DAY + within
            first = self._first_day(day + 1)
        if first is None:
            return None
        return first * DAY + lowest_bit(self.hours) * 60 + lowest_bit(self.minutes)

    def walls(self, after: int, last: int) -> Iterator[int]:
        """Yield the wall minutes of the set later than `after`, up to `last`."""
        wall = self.next_wall(after)
        while wall is not None and wall <= last:
            yield wall
            wall = self.next_wall(wall)

    def _first_day(self, day: int) -> int | None:
        if day > LAST_DAY:
            return None
        return day if self.days is None else self.days.first_from(day)

    def _minute_of_day(self, minute: int) -> int | None:
        """Return the first matching minute of a day at or after `minute`."""
        hour = minute // 60
        if self.hours >> hour & 1:
            rest = self.minutes >> minute % 60
            if rest:
                return minute + lowest_bit(rest)
        later = self.hours >> hour + 1
        return (hour + 1 + lowest_bit(later)) * 60 + lowest_bit(self.minutes) if later else None


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
    """Return the schedule of five sets; weekdays are 0 (Sunday) to 6. `day_or` is true if the text of neither
    day field begins with ``*``: a day then matches if it is in one of them. For the specials see `DayPart`.
    """
    part = canonical(
        DayPart(
            bit_mask(days_of_month),
            bit_mask(months),
            bit_mask(days_of_week),
            day_or,
            tuple(sorted(specials)),
            tuple(sorted(special_weekdays)),
        )
    )
    if not minutes or not hours or part == NO_DAY:
        return intern_schedule(0, 0, NO_DAY, wildcard=wildcard, period=0)
    return intern_schedule(bit_mask(minutes), bit_mask(hours), part, wildcard=wildcard, period=0)


def every_minutes(minutes: int) -> Schedule:
    """Return the schedule that fires every `minutes` minutes, counted from the Unix epoch in UTC."""
    return intern_schedule(1, 1, EVERY_DAY, wildcard=True, period=minutes)


_INTERNED: WeakValueDictionary[tuple[int, int, DayPart, bool, int], Schedule] = WeakValueDictionary()


def intern_schedule(minutes: int, hours: int, part: DayPart, *, wildcard: bool, period: int) -> Schedule:
    """Return the only `Schedule` object with these attributes."""
    key = (minutes, hours, part, wildcard, period)
    schedule = _INTERNED.get(key)
    if schedule is None:
        days = None if part == NO_DAY else days_of(part)
        schedule = _INTERNED[key] = Schedule(minutes, hours, part, wildcard, period, days)
    return schedule
