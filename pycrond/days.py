"""Which days a schedule runs on: croniter finds them, each iteration shared by all that name the same days.

A day is an int: days since 1970-01-01. A set of numbers is a bit mask: bit n stands for n.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import MINYEAR, date, datetime, timedelta
from typing import Protocol
from weakref import WeakValueDictionary

EPOCH = date(1970, 1, 1).toordinal()
FIRST_DAY = date(MINYEAR, 1, 3).toordinal() - EPOCH
LAST_DAY = date(9999, 12, 29).toordinal() - EPOCH
"""Within a day or two of what `datetime` can say, so that no zone leads out of it."""

ALL_DAYS = 0xFFFFFFFE  # 1-31
ALL_MONTHS = 0x1FFE  # 1-12
ALL_WEEKDAYS = 0x7F  # 0-6
LENGTHS = (0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)

FAR = 400
"""Days ahead of the last one found from which starting anew is cheaper than walking there."""

YEARS_AHEAD = 50
"""How far two sets of days are searched for a common day: a 29 February comes on each weekday
at least every 40 years, and croniter itself looks no further ahead."""


def mask(numbers: Iterable[int]) -> int:
    bits = 0
    for number in numbers:
        bits |= 1 << number
    return bits


def numbers_in(bits: int) -> Iterator[int]:
    return (n for n in range(bits.bit_length()) if bits >> n & 1)


class Days(Protocol):
    """A set of days."""

    def first(self, day: int) -> int | None:
        """The first of them from `day` on, that day included; None: there is none any more."""


@dataclass(frozen=True, slots=True)
class DayPart:
    """The canonical form of day-of-month, month and day-of-week. Days that no month has are left out.

    With `day_or` a day matches either of the two, else both; a field that restricts nothing is full.
    `specials` are words of the day-of-month (`L`, `LW`, `L-3`, `15W`), `special_weekdays` of the
    day-of-week (`5L`, `1#2`, numbers only), each in order.
    """

    days_of_month: int
    months: int
    days_of_week: int
    day_or: bool
    specials: tuple[str, ...] = ()
    special_weekdays: tuple[str, ...] = ()


EVERY_DAY = DayPart(ALL_DAYS, ALL_MONTHS, ALL_WEEKDAYS, day_or=False)
NO_DAY = DayPart(0, 0, 0, day_or=False)


def canonical(part: DayPart) -> DayPart:
    """The one day part that stands for all with the same days, as far as simple rules tell."""
    every_day, every_weekday, nothing = (ALL_DAYS, ()), (ALL_WEEKDAYS, ()), (0, ())
    month = _existing(part)
    week = (part.days_of_week, part.special_weekdays)
    week = every_weekday if week[0] == ALL_WEEKDAYS else week
    if part.day_or:
        if month == every_day or week == every_weekday:
            month, week = every_day, every_weekday
        elif month == nothing:
            month = every_day
        elif week == nothing:
            week = every_weekday
    if not part.months or nothing in {month, week}:
        return NO_DAY
    day_or = part.day_or and month != every_day and week != every_weekday
    return DayPart(month[0], part.months, week[0], day_or, month[1], week[1])


def _existing(part: DayPart) -> tuple[int, tuple[str, ...]]:
    """Day-of-month without the days that none of the months has."""
    longest = max((LENGTHS[month] for month in numbers_in(part.months)), default=0)
    existing = ALL_DAYS & ((2 << longest) - 1)
    days = part.days_of_month & existing
    if days == existing:
        return ALL_DAYS, ()
    return days, tuple(word for word in part.specials if _before_end(word) < longest)


def _before_end(word: str) -> int:
    """3 for ``L-3``; 0 for every other special."""
    return int(word[2:]) if word.startswith("L-") else 0


class _Found:
    """One croniter iteration, walked only as far as asked, and the days it has found."""

    __slots__ = ("__weakref__", "_base", "_coming", "_day_or", "_expression", "_found")

    def __init__(self, expression: str, *, day_or: bool) -> None:
        self._expression = expression
        self._day_or = day_or
        self._found: list[int] = []
        self._base = LAST_DAY + 1
        self._coming: Iterator[int] = iter(())

    def first(self, day: int) -> int | None:
        last = self._found[-1] if self._found else self._base
        if day < self._base or day > last + FAR:
            self._base, self._found, self._coming = day, [], self._iteration(day)
        while not self._found or self._found[-1] < day:
            coming = next(self._coming, None)
            if coming is None:
                return None
            self._found.append(coming)
        return self._found[bisect_left(self._found, day)]

    def _iteration(self, day: int) -> Iterator[int]:
        from croniter import CroniterBadDateError, croniter  # noqa: PLC0415  45 ms, and few need it

        before = datetime.fromordinal(day + EPOCH) - timedelta(minutes=1)
        dates = croniter(self._expression, before, ret_type=datetime, day_or=self._day_or)
        with suppress(CroniterBadDateError, OverflowError, ValueError):  # the calendar ends in 9999
            while True:
                yield dates.get_next().toordinal() - EPOCH


@dataclass(frozen=True, slots=True)
class _FromEnd:
    """Days told from the last one of each month: so many before it, or its last weekday."""

    ends: Days
    before: int | None
    """None: the last weekday."""

    def first(self, day: int) -> int | None:
        end = self.ends.first(day)
        while end is not None:
            told = self._told(end)
            if told is not None and told >= day:
                return told
            end = self.ends.first(end + 1)
        return None

    def _told(self, end: int) -> int | None:
        last = date.fromordinal(end + EPOCH)
        if self.before is None:
            return end - max(0, last.isoweekday() - 5)
        return end - self.before if self.before < last.day else None


@dataclass(frozen=True, slots=True)
class _Either:
    parts: tuple[Days, ...]

    def first(self, day: int) -> int | None:
        firsts = (part.first(day) for part in self.parts)
        return min((first for first in firsts if first is not None), default=None)


@dataclass(frozen=True, slots=True)
class _Both:
    one: Days
    other: Days

    def first(self, day: int) -> int | None:
        limit = day + 366 * YEARS_AHEAD
        ours: int | None = day
        while ours is not None and ours < limit:
            theirs = self.other.first(ours)
            ours = None if theirs is None else self.one.first(theirs)
            if ours is None or ours == theirs:
                return ours
        return None


def find(part: DayPart) -> Days | None:
    """The days of a canonical part; None stands for every day. `NO_DAY` has none and is not asked for."""
    if part == EVERY_DAY:
        return None
    if not part.specials and not part.special_weekdays:
        return _shared(part.days_of_month, part.months, part.days_of_week, part.day_or)
    in_month = _with_specials(part, part.days_of_month, ALL_WEEKDAYS, part.specials)
    in_week = _with_specials(part, ALL_DAYS, part.days_of_week, part.special_weekdays)
    if in_month is None or in_week is None:
        return in_month or in_week
    return _Either((in_month, in_week)) if part.day_or else _Both(in_month, in_week)


def _with_specials(part: DayPart, days: int, weekdays: int, specials: tuple[str, ...]) -> Days | None:
    """The days of one field; None: it restricts nothing."""
    if days == ALL_DAYS and weekdays == ALL_WEEKDAYS:
        return None
    parts = [_special(word, part.months) for word in specials]
    if days and weekdays:
        parts.append(_shared(days, part.months, weekdays, day_or=False))
    return _Either(tuple(parts))


def _special(word: str, months: int) -> Days:
    month = _list(months, ALL_MONTHS)
    if word == "LW":
        return _FromEnd(_iterated(f"0 0 L {month} *"), None)
    if word.startswith("L"):
        return _FromEnd(_iterated(f"0 0 L {month} *"), _before_end(word))
    if word.endswith("W"):
        return _iterated(f"0 0 {word} {month} *")
    if word.endswith("L"):
        return _iterated(f"0 0 * {month} L{word[:-1]}")
    return _iterated(f"0 0 * {month} {word}")


def _shared(days: int, months: int, weekdays: int, day_or: bool) -> Days:
    fields = _list(days, ALL_DAYS), _list(months, ALL_MONTHS), _list(weekdays, ALL_WEEKDAYS)
    return _iterated("0 0 {} {} {}".format(*fields), day_or=day_or)


def _list(bits: int, full: int) -> str:
    return "*" if bits == full else ",".join(map(str, numbers_in(bits)))


_ITERATED: WeakValueDictionary[tuple[str, bool], _Found] = WeakValueDictionary()


def _iterated(expression: str, *, day_or: bool = False) -> _Found:
    found = _ITERATED.get((expression, day_or))
    if found is None:
        found = _ITERATED[expression, day_or] = _Found(expression, day_or=day_or)
    return found
