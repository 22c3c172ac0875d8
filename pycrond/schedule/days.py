"""Which days a schedule runs on: croniter finds the days of each single word, and they are put together here.

A day is an int: days since 1970-01-01. A set of numbers is a bit mask: bit n stands for n. The 1st, the
2nd ... the 31sts, Sundays ... Saturdays, the last days of the months: each is one iteration of croniter,
shared by all schedules in which the word occurs, so a thousand schedules cost no more than these few.
"""

import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from croniter import croniter

EPOCH = date(1970, 1, 1).toordinal()
FIRST_DAY = date(4, 1, 1).toordinal() - EPOCH
LAST_DAY = date(9999, 12, 29).toordinal() - EPOCH
"""Well within what `datetime` can say, so that no zone and no block leads out of it."""

ALL_DAYS = 0xFFFFFFFE  # 1-31
ALL_MONTHS = 0x1FFE  # 1-12
ALL_WEEKDAYS = 0x7F  # 0-6
LENGTHS = (0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)

BLOCK_BITS = 6
BLOCK = 1 << BLOCK_BITS
"""Days are found and kept in blocks of so many, a block as a bit mask."""

ALL_OF_BLOCK = (1 << BLOCK) - 1

BLOCKS_AHEAD = 50 * 366 // BLOCK
"""How far a set of days is searched. A 29 February comes on each weekday at least every 40 years."""


def mask(numbers: Iterable[int]) -> int:
    bits = 0
    for number in numbers:
        bits |= 1 << number
    return bits


def numbers_in(bits: int) -> Iterator[int]:
    return (n for n in range(bits.bit_length()) if bits >> n & 1)


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


class Days:
    """The days of a canonical day part."""

    __slots__ = ("__weakref__", "_blocks", "_part")

    def __init__(self, part: DayPart) -> None:
        self._part = part
        self._blocks: dict[int, int] = {}

    def first_from(self, day: int) -> int | None:
        """The first of them from `day` on, that day included; None: there is none any more."""
        block = day >> BLOCK_BITS
        bits = self._block(block) >> (day & BLOCK - 1) << (day & BLOCK - 1)
        for coming in range(block + 1, min(block + BLOCKS_AHEAD, LAST_DAY >> BLOCK_BITS) + 1):
            if bits:
                break
            block, bits = coming, self._block(coming)
        return (block << BLOCK_BITS) + lowest_bit(bits) if bits else None

    def _block(self, block: int) -> int:
        bits = self._blocks.get(block)
        if bits is None:
            bits = self._blocks[block] = _put_together(self._part, block)
        return bits


_SHARED: WeakValueDictionary[DayPart, Days] = WeakValueDictionary()


def days_of(part: DayPart) -> Days | None:
    """The days of a canonical part; None stands for every day. `NO_DAY` has none and is not asked for."""
    if part == EVERY_DAY:
        return None
    days = _SHARED.get(part)
    if days is None:
        days = _SHARED[part] = Days(part)
    return days


def _put_together(part: DayPart, block: int) -> int:
    """The days of a part in one block. croniter is asked for no more than is needed."""
    allowed = ALL_OF_BLOCK if part.months == ALL_MONTHS else _any(_months(block), part.months)
    if not allowed:
        return 0
    by_month = _by_month(part, block)
    if not part.day_or:
        allowed &= by_month
        return allowed & _by_week(part, block) if allowed else 0
    return allowed & (by_month | _by_week(part, block))


def _by_month(part: DayPart, block: int) -> int:
    if part.days_of_month == ALL_DAYS:
        return ALL_OF_BLOCK
    bits = 0
    for number in numbers_in(part.days_of_month):
        bits |= _found(f"0 0 {number} * *", block)
    for word in part.specials:
        bits |= _from_end(word, block) if word.startswith("L") else _found(f"0 0 {word} * *", block)
    return bits


def _by_week(part: DayPart, block: int) -> int:
    if part.days_of_week == ALL_WEEKDAYS:
        return ALL_OF_BLOCK
    bits = 0
    for number in numbers_in(part.days_of_week):
        bits |= _found(f"0 0 * * {number}", block)
    for word in part.special_weekdays:
        croniters = f"L{word[:-1]}" if word.endswith("L") else word
        bits |= _found(f"0 0 * * {croniters}", block)
    return bits


def _any(sets: tuple[int, ...], wanted: int) -> int:
    bits = 0
    for number in numbers_in(wanted):
        bits |= sets[number]
    return bits


@lru_cache(maxsize=4096)
def _months(block: int) -> tuple[int, ...]:
    """The days of a block that lie in each month, January at 1."""
    sets = [0] * 13
    for offset in range(min(BLOCK, LAST_DAY + 1 - (block << BLOCK_BITS))):
        sets[date.fromordinal((block << BLOCK_BITS) + offset + EPOCH).month] |= 1 << offset
    return tuple(sets)


def _from_end(word: str, block: int) -> int:
    """`L`, `LW` and `L-3`, told from the last days of the months."""
    start, bits = block << BLOCK_BITS, 0
    for number in (block, block + 1):
        for offset in numbers_in(_found("0 0 L * *", number)):
            end = (number << BLOCK_BITS) + offset
            last = date.fromordinal(end + EPOCH)
            before = max(0, last.isoweekday() - 5) if word == "LW" else _before_end(word)
            if before < last.day and 0 <= end - before - start < BLOCK:
                bits |= 1 << end - before - start
    return bits


@lru_cache(maxsize=65_536)
def _found(expression: str, block: int) -> int:
    """The days of a block that croniter finds. Such an expression has some in any year."""
    croniter = _library()
    start, bits = block << BLOCK_BITS, 0
    with suppress(croniter.CroniterBadDateError, OverflowError, ValueError):  # the calendar ends in 9999
        dates = _iteration(expression)
        dates.set_current(datetime.fromordinal(start + EPOCH) - timedelta(minutes=1))
        while (offset := dates.get_next(datetime).toordinal() - EPOCH - start) < BLOCK:
            bits |= 1 << offset
    return bits


@lru_cache(maxsize=256)
def _iteration(expression: str) -> "croniter":
    return _library().croniter(expression, datetime(1970, 1, 1))  # noqa: DTZ001  (days have no zone)


def lowest_bit(bits: int) -> int:
    return (bits & -bits).bit_length() - 1


@lru_cache(maxsize=1)
def _library() -> Any:
    """croniter: 45 ms, and few schedules need it.

    While it is imported it asks platform.architecture() whether this is a 32-bit Python, which runs file(1)
    from wherever PATH leads to. A daemon, root's above all, is not to start that: the answer is given here.
    """
    import platform  # noqa: PLC0415

    asked = platform.architecture
    platform.architecture = lambda *_: (f"{sys.maxsize.bit_length() + 1}bit", "")
    try:
        import croniter  # noqa: PLC0415
    finally:
        platform.architecture = asked
    return croniter
