"""An independent implementation of schedules, which tests each minute of the wall clock and shares no code
with pycrond.
"""

import calendar
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

LIMITS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
NAMES = {
    name: number
    for names, first in (
        ("jan feb mar apr may jun jul aug sep oct nov dec", 1),
        ("sun mon tue wed thu fri sat", 0),
    )
    for number, name in enumerate(names.split(), first)
}


class Judge:
    """A schedule of five fields without extensions, interpreted as by cronie and Debian's cron."""

    def __init__(self, text: str) -> None:
        words = text.split()
        self.text = text
        self.minutes, self.hours, self.days, self.months, self.weekdays = (
            self._bits(word, *limits) for word, limits in zip(words, LIMITS, strict=True)
        )
        self.weekdays |= self.weekdays >> 7
        self.both = words[2][0] == "*" or words[4][0] == "*"
        self.wildcard = words[0][0] == "*" or words[1][0] == "*"
        self.day = lru_cache(maxsize=None)(self._day)

    @staticmethod
    def _bits(word: str, low: int, high: int) -> int:
        bits = 0
        for term in word.split(","):
            span, _, step = term.partition("/")
            first, dash, last = span.partition("-")
            a, b = (low, high) if span == "*" else (_number(first), _number(last if dash else first))
            if high == 7 and dash and b == 0 < a and not step:
                b = 7  # fri-sun, as in cronie
            for number in range(a, b + 1):
                if (number - a) % int(step or 1) == 0:
                    bits |= 1 << number
        return bits

    def _day(self, day: int) -> bool:
        at = time.gmtime(day * 86_400)
        by_date = self.days >> at.tm_mday & 1
        by_week = self.weekdays >> (at.tm_wday + 1) % 7 & 1
        return bool(self.months >> at.tm_mon & 1 and (by_date & by_week if self.both else by_date | by_week))

    def __call__(self, wall: int) -> bool:
        minute = wall % 1440
        return bool(
            self.minutes >> minute % 60 & 1 and self.hours >> minute // 60 & 1 and self.day(wall // 1440)
        )


def _number(text: str) -> int:
    return NAMES[text.lower()] if text.isalpha() else int(text)


def ticks(zone: ZoneInfo, start: datetime, until: datetime) -> list[tuple[int, int]]:
    """Return each minute since the epoch with the minute that the wall clock shows then."""
    minutes = []
    for minute in range(int(start.timestamp()) // 60, int(until.timestamp()) // 60):
        shown = datetime.fromtimestamp(minute * 60, zone).replace(tzinfo=UTC)
        minutes.append((minute, int(shown.timestamp()) // 60))
    return minutes


def runs(judge: Judge, minutes: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield a job's starts in these minutes by a cron that was already running, each with its wall minute."""
    through = minutes[0][1] - 1
    for minute, wall in minutes:
        ahead = wall - through
        if ahead == 1:
            due = [wall]
        elif ahead in range(2, 6) or (ahead in range(6, 181) and not judge.wildcard):
            due = list(range(through + 1, wall + 1))
        elif ahead in range(-179, 1) and not judge.wildcard:
            due = []
        else:
            due = [wall]
        if ahead not in range(-179, 1):
            through = wall
        yield from ((minute, wall_minute) for wall_minute in due if judge(wall_minute))


def special_days(word: str, year: int, month: int) -> set[int]:
    """Return the days of a month that an extension names, by the calendar: L LW L-3 15W 5L 1#2."""
    weeks = calendar.Calendar(6).monthdayscalendar(year, month)  # begins with Sunday, as 0-6 does
    last = calendar.monthrange(year, month)[1]
    working = [d for d in range(1, last + 1) if date(year, month, d).isoweekday() < 6]
    if word == "LW":
        return {working[-1]}
    if word[0] == "L":
        return {last - int(word[2:] or 0)} & set(range(1, last + 1))
    if word[-1] == "W":
        day = min(int(word[:-1]), last)
        return {min(working, key=lambda d: (abs(d - day), d))}
    column = [week[int(word[0])] for week in weeks if week[int(word[0])]]
    return {column[-1]} if word[-1] == "L" else set(column[int(word[2]) - 1 : int(word[2])])


def changes(zone: ZoneInfo, start: datetime, until: datetime) -> Iterator[datetime]:
    """Yield the days, by their first minute in UTC, during which the offset changes, by comparing each day's ends."""
    at = start
    while at < until:
        after = at + timedelta(days=1)
        if at.astimezone(zone).utcoffset() != after.astimezone(zone).utcoffset():
            yield at
        at = after
