"""Schedules in words: the times they name, how their days combine, and why a time matches or not. Pure."""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import NamedTuple

from pycrond.crontab.expression import MACROS
from pycrond.crontab.field import DAY_OF_MONTH, DAY_OF_WEEK, FIELDS, HOUR, MINUTE, MONTH, Field
from pycrond.schedule.days import (
    ALL_DAYS,
    ALL_MONTHS,
    ALL_WEEKDAYS,
    EVERY_DAY,
    NO_DAY,
    DayPart,
    bit_mask,
    canonical,
    days_of,
    numbers_in,
)
from pycrond.schedule.schedule import Schedule
from pycrond.schedule.timezone import DAY

FULL = dict(zip(FIELDS, ((1 << 60) - 1, (1 << 24) - 1, ALL_DAYS, ALL_MONTHS, ALL_WEEKDAYS), strict=True))
"""The set that `*` means in each field."""


def numbers(bits: int, field: Field) -> str:
    """Return a set as a field would write it: ``*``, ``1-5``, ``0,15,30,45``, with names if it has any."""
    if bits == FULL[field]:
        return "*"
    # In a run of consecutive numbers, the difference between a number and its position stays the same.
    groups = groupby(enumerate(numbers_in(bits)), key=lambda pair: pair[1] - pair[0])
    runs = [[_name(number, field) for _, number in group] for _, group in groups]
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 2 else ",".join(run) for run in runs)


def _name(number: int, field: Field) -> str:
    return field.names[number - field.first] if field.names else str(number)


# The whole schedule, by cron-descriptor


def words(schedule: Schedule) -> str:
    """Return the times that a schedule names.

    cron-descriptor gets only expressions that it describes exactly: sets, steps that divide their field, the
    days of one field. This function adds how the fields combine.
    """
    if schedule.period:
        return f"every {schedule.period} minutes, counted from 1970-01-01 00:00 UTC"
    if schedule.is_empty:
        return "never"
    part = schedule.part
    time = _described(f"{_stepped(schedule.minutes, MINUTE)} {_hours(schedule.hours)} * * *", "TIMEOFDAY")
    month = _described(f"0 0 * {numbers(part.months, MONTH)} *", "MONTH")
    of_month = _days(part.days_of_month, DAY_OF_MONTH, part.specials, "0 0 {} * *", "DAYOFMONTH")
    of_week = _days(part.days_of_week, DAY_OF_WEEK, part.special_weekdays, "0 0 * * {}", "DAYOFWEEK")
    both = [text for text in (of_month, of_week) if text]
    if len(both) == 2 and not part.day_or:
        both = [f"({text})" if " or " in text else text for text in both]
    days = (" or " if part.day_or else " and ").join(both) or "every day"
    if part.day_or and month:
        return f"{time}, {month}, {days}"
    return ", ".join(text for text in (time, days, month) if text)


def _stepped(bits: int, field: Field) -> str:
    """Return a set as `numbers` does, or as a step if the step divides the field."""
    size = field.last + 1
    for step in range(2, size):
        if size % step == 0 and bits == bit_mask(range(0, size, step)):
            return f"*/{step}"
    return numbers(bits, field)


def _hours(bits: int) -> str:
    """Return hours as `_stepped` does, but a mix of hours and ranges hour by hour: cron-descriptor describes
    the hours of a mix as whole hours.
    """
    text = _stepped(bits, HOUR)
    return ",".join(map(str, numbers_in(bits))) if "," in text and "-" in text else text


def _days(bits: int, field: Field, specials: Sequence[str], expression: str, section: str) -> str:
    """Return the days that a field names; empty if it names none or all."""
    plain = [] if bits in {0, FULL[field]} else [numbers(bits, field)]
    return " or ".join(_described(expression.format(days), section) for days in (*plain, *specials))


def _described(expression: str, section: str) -> str:
    """Return a section of an expression in cron-descriptor's words, without the comma before it."""
    from cron_descriptor import DescriptionTypeEnum, ExpressionDescriptor, Options  # type: ignore[import-untyped]

    options = Options(locale_code="en_US", use_24hour_time_format=True)
    text = str(ExpressionDescriptor(expression, options).get_description(DescriptionTypeEnum[section]))
    return re.sub("^(?:only )?", "", text.removeprefix(", ")).replace("At ", "at ", 1)


# The days


def day_rule(text: str) -> str:
    """Return the rule by which the two day fields combine: it depends on which of them begins with ``*``."""
    fields = MACROS.get(text, text).split()
    if len(fields) != len(FIELDS):
        return ""
    days = {DAY_OF_MONTH.name: fields[2], DAY_OF_WEEK.name: fields[4]}
    stars = [name for name, field in days.items() if field == "*"]
    starred = [name for name, field in days.items() if field[0] == "*"]
    both = [f"{name} {field}" for name, field in days.items()]
    if len(stars) == 2:
        return f"every day: {' and '.join(stars)} are *"
    if stars:
        (decisive,) = days.keys() - stars
        return f"{decisive} alone decides: {stars[0]} is *"
    if starred:
        begin = "begins" if len(starred) == 1 else "begin"
        return f"AND: {' and '.join(starred)} {begin} with *, so {' and '.join(both)} must both match"
    return f"OR: neither begins with *, so {' or '.join(both)} is enough"


class FieldCheck(NamedTuple):
    """A field of a schedule compared with a minute of the wall clock."""

    field: str
    value: str
    required: str
    matches: bool


def checks(schedule: Schedule, wall: int) -> list[FieldCheck]:
    """Compare each field of a schedule with a wall minute; for ``@every``, compare its interval."""
    if schedule.period:
        required = f"a multiple of {schedule.period} minutes since 1970"
        return [FieldCheck("minute", f"{wall} of UTC", required, schedule.matches(wall))]
    day = wall // DAY
    at = datetime(1970, 1, 1) + timedelta(minutes=wall)  # noqa: DTZ001 -- of a wall clock
    part = schedule.part
    month_day = EVERY_DAY._replace(days_of_month=part.days_of_month, specials=part.specials)
    week_day = EVERY_DAY._replace(days_of_week=part.days_of_week, special_weekdays=part.special_weekdays)
    weekday = at.isoweekday() % 7
    return [
        _check(MINUTE, at.minute, schedule.minutes),
        _check(HOUR, at.hour, schedule.hours),
        _check(DAY_OF_MONTH, at.day, part.days_of_month, _is_in(month_day, day), part.specials),
        _check(MONTH, at.month, part.months),
        _check(DAY_OF_WEEK, weekday, part.days_of_week, _is_in(week_day, day), part.special_weekdays),
    ]


def _check(
    field: Field, value: int, bits: int, matches: bool | None = None, specials: tuple[str, ...] = ()
) -> FieldCheck:
    required = ",".join(text for text in (numbers(bits, field), *specials) if text) or "nothing"
    matches = bool(bits >> value & 1) if matches is None else matches
    return FieldCheck(field.name, _name(value, field), required, matches)


def _is_in(part: DayPart, day: int) -> bool:
    canonical_part = canonical(part)
    if canonical_part == NO_DAY:
        return False
    days = days_of(canonical_part)
    return days is None or days.first_from(day) == day
