"""Schedules in words: what they name, how a day is decided, which field says no. Pure."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from pycrond.crontab.expression import MACROS
from pycrond.crontab.field import DAY_OF_MONTH, DAY_OF_WEEK, FIELDS, HOUR, MINUTE, MONTH, Field
from pycrond.schedule.days import (
    ALL_DAYS,
    ALL_MONTHS,
    ALL_WEEKDAYS,
    NO_DAY,
    DayPart,
    canonical,
    find,
    mask,
    numbers_in,
)
from pycrond.schedule.schedule import Schedule
from pycrond.schedule.timezone import DAY

STAR = mask(range(MINUTE.last + 1)), mask(range(HOUR.last + 1)), ALL_DAYS, ALL_MONTHS, ALL_WEEKDAYS
"""The full set of each field."""


def numbers(bits: int, field: Field) -> str:
    """A set as a field would write it: ``*``, ``1-5``, ``0,15,30,45``, and by names where it has some."""
    if bits == STAR[FIELDS.index(field)]:
        return "*"
    runs: list[list[int]] = []
    for number in numbers_in(bits):
        if runs and runs[-1][-1] == number - 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ",".join(
        f"{_called(run[0], field)}-{_called(run[-1], field)}"
        if len(run) > 2
        else ",".join(_called(number, field) for number in run)
        for run in runs
    )


def _called(number: int, field: Field) -> str:
    return field.names[number - field.first] if field.names else str(number)


# The whole of it, by cron-descriptor


def words(schedule: Schedule) -> str:
    """What a schedule names. cron-descriptor is only shown what it describes exactly: sets, without steps
    that do not divide their field, one kind of day at a time. How the days go together is said here.
    """
    if schedule.period:
        return f"every {schedule.period} minutes, counted from 1970-01-01 00:00 UTC"
    if schedule.never:
        return "never"
    part = schedule.part
    time = _described(f"{_spaced(schedule.minutes, MINUTE)} {_hours(schedule.hours)} * * *", "TIMEOFDAY")
    month = _described(f"0 0 * {numbers(part.months, MONTH)} *", "MONTH")
    both = [one for one in (_of_month(part), _of_week(part)) if one]
    if len(both) == 2 and not part.day_or:
        both = [f"({one})" if " or " in one else one for one in both]
    days = (" or " if part.day_or else " and ").join(both) or "every day"
    if part.day_or and month:
        return f"{time}, {month}, {days}"
    return ", ".join(text for text in (time, days, month) if text)


def _spaced(bits: int, field: Field) -> str:
    """As `numbers`, with a step where it comes round evenly."""
    size = field.last + 1
    for every in range(2, size):
        if size % every == 0 and bits == mask(range(0, size, every)):
            return f"*/{every}"
    return numbers(bits, field)


def _hours(bits: int) -> str:
    """As `_spaced`; hours of several kinds one by one, or they are described as if they were whole."""
    text = _spaced(bits, HOUR)
    return ",".join(map(str, numbers_in(bits))) if "," in text and "-" in text else text


def _of_month(part: DayPart) -> str:
    """The days of the month that a day part asks for; empty if it asks for none."""
    plain = [] if part.days_of_month in {0, ALL_DAYS} else [numbers(part.days_of_month, DAY_OF_MONTH)]
    return " or ".join(_described(f"0 0 {one} * *", "DAYOFMONTH") for one in (*plain, *part.specials))


def _of_week(part: DayPart) -> str:
    plain = [] if part.days_of_week in {0, ALL_WEEKDAYS} else [numbers(part.days_of_week, DAY_OF_WEEK)]
    return " or ".join(_described(f"0 0 * * {one}", "DAYOFWEEK") for one in (*plain, *part.special_weekdays))


def _described(expression: str, what: str) -> str:
    """One part of an expression in cron-descriptor's words, without the comma before it."""
    from cron_descriptor import (  # type: ignore[import-untyped]
        DescriptionTypeEnum,
        ExpressionDescriptor,
        Options,
    )

    options = Options(locale_code="en_US", use_24hour_time_format=True)
    text = str(ExpressionDescriptor(expression, options).get_description(DescriptionTypeEnum[what]))
    return re.sub("^(?:only )?", "", text.removeprefix(", ")).replace("At ", "at ", 1)


# How a day is decided


def day_rule(text: str) -> str:
    """Whether one day field is enough or both must match, and why: it depends on how their texts begin."""
    fields = MACROS.get(text, text).split()
    if len(fields) != len(FIELDS):
        return ""
    of_month, of_week = fields[2], fields[4]
    if of_month == of_week == "*":
        return "every day: day-of-month and day-of-week are *"
    stars = [
        name for name, field in (("day-of-month", of_month), ("day-of-week", of_week)) if field[0] == "*"
    ]
    if "*" in {of_month, of_week}:
        decides, other = (
            ("day-of-week", "day-of-month") if of_month == "*" else ("day-of-month", "day-of-week")
        )
        return f"{decides} alone decides: {other} is *"
    if stars:
        begins = " and ".join(stars) + (" begins" if len(stars) == 1 else " begin")
        return f"AND: {begins} with *, so day-of-month {of_month} and day-of-week {of_week} must both match"
    return f"OR: neither begins with *, so day-of-month {of_month} or day-of-week {of_week} is enough"


@dataclass(frozen=True, slots=True)
class Check:
    """One field of a schedule against a wall minute."""

    field: str
    value: str
    wanted: str
    matches: bool


def checks(schedule: Schedule, wall: int) -> list[Check]:
    """Field by field, whether a schedule names a wall minute; for ``@every``, its one rule."""
    if schedule.period:
        wanted = f"a multiple of {schedule.period} minutes since 1970"
        return [Check("minute", f"{wall} of UTC", wanted, schedule.matches(wall))]
    day = wall // DAY
    at = datetime(1970, 1, 1) + timedelta(minutes=wall)  # noqa: DTZ001 -- of a wall clock
    part = schedule.part
    month_day = DayPart(part.days_of_month, ALL_MONTHS, ALL_WEEKDAYS, day_or=False, specials=part.specials)
    week_day = DayPart(
        ALL_DAYS, ALL_MONTHS, part.days_of_week, day_or=False, special_weekdays=part.special_weekdays
    )
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
) -> Check:
    wanted = ",".join(text for text in (numbers(bits, field), *specials) if text) or "nothing"
    return Check(
        field.name, _called(value, field), wanted, bool(bits >> value & 1) if matches is None else matches
    )


def _is_in(part: DayPart, day: int) -> bool:
    whole = canonical(part)
    if whole == NO_DAY:
        return False
    days = find(whole)
    return days is None or days.first(day) == day
