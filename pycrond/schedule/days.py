"""The days on which a schedule runs, computed from the day-of-month, month and day-of-week fields.

A day is an int: days since 1970-01-01. A set of numbers is a bit mask: bit n stands for n. croniter
computes the days of each single term (the 1st, the 2nd, ..., Sundays, ..., the last days of the months), and
this module combines them. All schedules share the days of a term, so that a thousand schedules cost no more
than the few terms they use.
"""

import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from croniter import croniter

EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
FIRST_DAY = date(4, 1, 1).toordinal() - EPOCH_ORDINAL
LAST_DAY = date(9999, 12, 29).toordinal() - EPOCH_ORDINAL
"""The range of days is so far from the limits of `datetime` that no time zone and no block crosses them."""

ALL_DAYS = 0xFFFFFFFE  # 1-31
ALL_MONTHS = 0x1FFE  # 1-12
ALL_WEEKDAYS = 0x7F  # 0-6
MONTH_LENGTHS = (0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)

BLOCK_BITS = 6
BLOCK_DAYS = 1 << BLOCK_BITS
"""The number of days in a block. Days are computed and cached in blocks, each as a bit mask."""

FULL_BLOCK = (1 << BLOCK_DAYS) - 1

BLOCKS_AHEAD = 50 * 366 // BLOCK_DAYS
"""The limit of a search for the next day, in blocks: 29 February falls on each weekday every 40 years."""


def bit_mask(numbers: Iterable[int]) -> int:
    bits = 0
    for number in numbers:
        bits |= 1 << number
    return bits


def numbers_in(bits: int) -> Iterator[int]:
    return (n for n in range(bits.bit_length()) if bits >> n & 1)


def lowest_bit(bits: int) -> int:
    return (bits & -bits).bit_length() - 1


class DayPart(NamedTuple):
    """The canonical form of the day-of-month, month and day-of-week fields, without days that no month has.

    With `day_or` a day must match one of the two day fields, else both. A field that restricts nothing is
    full. `specials` are terms of the day-of-month field (`L`, `LW`, `L-3`, `15W`), `special_weekdays` are
    terms of the day-of-week field (`5L`, `1#2`, numbers only); both are sorted.
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
    """Return the canonical day part: equal for day parts with equal days, as far as simple rules can tell."""
    every_day, every_weekday, nothing = (ALL_DAYS, ()), (ALL_WEEKDAYS, ()), (0, ())
    month = _existing_days(part)
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


def _existing_days(part: DayPart) -> tuple[int, tuple[str, ...]]:
    """Return the day-of-month field without the days that do not exist in any of the months."""
    longest = max((MONTH_LENGTHS[month] for month in numbers_in(part.months)), default=0)
    existing = ALL_DAYS & ((2 << longest) - 1)
    days = part.days_of_month & existing
    if days == existing:
        return ALL_DAYS, ()
    return days, tuple(term for term in part.specials if _days_before_end(term) < longest)


def _days_before_end(term: str) -> int:
    """Return 3 for ``L-3`` and 0 for every other special term."""
    return int(term[2:]) if term.startswith("L-") else 0


class Days:
    """The days of a canonical day part."""

    __slots__ = ("__weakref__", "_blocks", "_part")

    def __init__(self, part: DayPart) -> None:
        self._part = part
        self._blocks: dict[int, int] = {}

    def first_from(self, day: int) -> int | None:
        """Return the first day of the set on or after `day`; None if there is none."""
        block = day >> BLOCK_BITS
        bits = self._block(block) >> (day & BLOCK_DAYS - 1) << (day & BLOCK_DAYS - 1)
        for next_block in range(block + 1, min(block + BLOCKS_AHEAD, LAST_DAY >> BLOCK_BITS) + 1):
            if bits:
                break
            block, bits = next_block, self._block(next_block)
        return (block << BLOCK_BITS) + lowest_bit(bits) if bits else None

    def _block(self, block: int) -> int:
        bits = self._blocks.get(block)
        if bits is None:
            bits = self._blocks[block] = _days_in_block(self._part, block)
        return bits


_SHARED: WeakValueDictionary[DayPart, Days] = WeakValueDictionary()


def days_of(part: DayPart) -> Days | None:
    """Return the shared `Days` of a canonical part other than `NO_DAY`; None stands for every day."""
    if part == EVERY_DAY:
        return None
    days = _SHARED.get(part)
    if days is None:
        days = _SHARED[part] = Days(part)
    return days


def _days_in_block(part: DayPart, block: int) -> int:
    """Return the days of a part in one block. croniter computes only the terms that are needed."""
    allowed = FULL_BLOCK if part.months == ALL_MONTHS else _days_of_months(part.months, block)
    if not allowed:
        return 0
    by_month = _by_month(part, block)
    if not part.day_or:
        allowed &= by_month
        return allowed & _by_week(part, block) if allowed else 0
    return allowed & (by_month | _by_week(part, block))


def _by_month(part: DayPart, block: int) -> int:
    if part.days_of_month == ALL_DAYS:
        return FULL_BLOCK
    bits = 0
    for term in (*map(str, numbers_in(part.days_of_month)), *part.specials):
        bits |= (
            _before_month_end(term, block)
            if term.startswith("L")
            else _croniter_days(f"0 0 {term} * *", block)
        )
    return bits


def _by_week(part: DayPart, block: int) -> int:
    if part.days_of_week == ALL_WEEKDAYS:
        return FULL_BLOCK
    bits = 0
    for term in (*map(str, numbers_in(part.days_of_week)), *part.special_weekdays):
        croniter_term = f"L{term[:-1]}" if term.endswith("L") else term
        bits |= _croniter_days(f"0 0 * * {croniter_term}", block)
    return bits


def _days_of_months(months: int, block: int) -> int:
    bits, by_month = 0, _block_by_month(block)
    for month in numbers_in(months):
        bits |= by_month[month]
    return bits


@lru_cache(maxsize=4096)
def _block_by_month(block: int) -> tuple[int, ...]:
    """Return the days of a block that lie in each month; January is at index 1."""
    by_month = [0] * 13
    for offset in range(min(BLOCK_DAYS, LAST_DAY + 1 - (block << BLOCK_BITS))):
        by_month[date.fromordinal((block << BLOCK_BITS) + offset + EPOCH_ORDINAL).month] |= 1 << offset
    return tuple(by_month)


def _before_month_end(term: str, block: int) -> int:
    """Return the days of `L`, `LW` or `L-3`, counted back from the last days of the months."""
    start, bits = block << BLOCK_BITS, 0
    for number in (block, block + 1):
        for offset in numbers_in(_croniter_days("0 0 L * *", number)):
            end = (number << BLOCK_BITS) + offset
            last = date.fromordinal(end + EPOCH_ORDINAL)
            before = max(0, last.isoweekday() - 5) if term == "LW" else _days_before_end(term)
            if before < last.day and 0 <= end - before - start < BLOCK_DAYS:
                bits |= 1 << end - before - start
    return bits


@lru_cache(maxsize=65_536)
def _croniter_days(expression: str, block: int) -> int:
    """Return the days of a block by croniter, for an expression that has days in every year."""
    croniter = _import_croniter()
    start, bits = block << BLOCK_BITS, 0
    with suppress(croniter.CroniterBadDateError, OverflowError, ValueError):  # the calendar ends in 9999
        dates = _croniter(expression)
        dates.set_current(datetime.fromordinal(start + EPOCH_ORDINAL) - timedelta(minutes=1))
        while (offset := dates.get_next(datetime).toordinal() - EPOCH_ORDINAL - start) < BLOCK_DAYS:
            bits |= 1 << offset
    return bits


@lru_cache(maxsize=256)
def _croniter(expression: str) -> "croniter":
    return _import_croniter().croniter(expression, datetime(1970, 1, 1))  # noqa: DTZ001  (days have no zone)


@lru_cache(maxsize=1)
def _import_croniter() -> Any:
    """Import croniter at its first use: it takes 45 ms, and few schedules need it.

    During its import, croniter calls platform.architecture(), which runs file(1) from PATH. A daemon, above
    all root's, must not run that program, so the import gets a function that returns the answer.
    """
    import platform  # noqa: PLC0415

    original = platform.architecture
    platform.architecture = lambda *_: (f"{sys.maxsize.bit_length() + 1}bit", "")
    try:
        import croniter  # noqa: PLC0415
    finally:
        platform.architecture = original
    return croniter
