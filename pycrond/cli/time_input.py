"""Times as a person types them: dates, times of the day, distances from now."""

import re
from datetime import datetime, timedelta
from typing import NamedTuple

from pycrond.errors import PycrondError
from pycrond.schedule.timezone import DAY, FIRST_TICK, LAST_TICK, Zone, instant, tick_from

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 -- of a wall clock
MINUTE = timedelta(minutes=1)
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DISTANCE = re.compile(r"([+-])((?:[0-9]{1,9}[smhdw])+)")
_DAYS = {"yesterday": -1, "today": 0, "tomorrow": 1}
_TIME = re.compile(r"[0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?")
FORMS = "2026-03-29, 2026-03-29T02:30, 2026-03-29T00:30Z, 02:30, 'tomorrow 02:30', +2h, now"


class Moment(NamedTuple):
    """A time that was typed."""

    at: datetime
    """Aware UTC. For a wall-clock time that occurs twice, the first; for one that is left out, the moment the
    clock jumps."""
    wall: int
    """The typed wall minute, even if the clock never showed it; else the wall minute at `at`."""


def moment(text: str, now: datetime, zone: Zone) -> Moment:
    """Read a time, in `zone` unless it has an offset; raise PycrondError if it cannot be read."""
    try:
        return _read(" ".join(text.split()), now, zone)
    except (ValueError, OverflowError) as error:
        raise PycrondError(f"bad time '{text}' (as in {FORMS})") from error


def whole_minute(text: str | None, now: datetime, zone: Zone) -> datetime:
    """Read a time (now without a text) and round it up to a whole minute."""
    start = moment(text, now, zone).at if text else now
    minute = start.replace(second=0, microsecond=0)
    return minute if minute == start else minute + MINUTE


def _read(text: str, now: datetime, zone: Zone) -> Moment:
    distance = _DISTANCE.fullmatch(text)
    if distance or text == "now":
        return _exact(now + _length(*distance.groups()) if distance else now, zone)
    today, word, rest = zone.wall(now) // DAY, *text.partition(" ")[::2]
    if word in _DAYS:
        return _of_wall_clock(_day(today + _DAYS[word]) + _time_of_day(rest or "0:00"), zone)
    if _TIME.fullmatch(text):
        return _of_wall_clock(_day(today) + _time_of_day(text), zone)
    typed = datetime.fromisoformat(text)
    return _exact(typed, zone) if typed.tzinfo else _of_wall_clock(typed, zone)


def _length(sign: str, parts: str) -> timedelta:
    seconds = sum(int(number) * _UNITS[unit] for number, unit in re.findall("([0-9]+)(.)", parts))
    return timedelta(seconds=-seconds if sign == "-" else seconds)


def _day(number: int) -> datetime:
    return _EPOCH + timedelta(days=number)


def _time_of_day(text: str) -> timedelta:
    if not _TIME.fullmatch(text):
        raise ValueError("no time of the day")
    hours, minutes, seconds = (int(part) for part in f"{text}:0".split(":")[:3])
    if hours > 23 or minutes > 59 or seconds > 59:
        raise ValueError("no time of the day")
    return timedelta(hours=hours, minutes=minutes, seconds=seconds)


def _exact(at: datetime, zone: Zone) -> Moment:
    at = at.astimezone(instant(0).tzinfo)
    if not FIRST_TICK + DAY <= tick_from(at) <= LAST_TICK - DAY:
        raise ValueError("beyond the calendar")
    return Moment(at, zone.wall(at))


def _of_wall_clock(typed: datetime, zone: Zone) -> Moment:
    wall, seconds = divmod(typed - _EPOCH, MINUTE)
    if not FIRST_TICK + 2 * DAY <= wall <= LAST_TICK - 2 * DAY:
        raise ValueError("beyond the calendar")
    # The first period at whose end the clock has shown the minute, or has skipped it.
    periods = zone.offset_periods(wall - 2 * DAY, wall + 2 * DAY)
    period = next(period for period in periods if wall < period.end + period.offset)
    tick = wall - period.offset
    if tick < period.start:
        return Moment(instant(period.start), wall)
    return Moment(instant(tick) + seconds, wall)
