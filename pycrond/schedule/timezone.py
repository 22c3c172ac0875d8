"""Time zones: the wall clock at an instant, and the periods between changes of the UTC offset.

A *tick* is an int: whole minutes since 1970-01-01T00:00Z. A *wall minute* is a tick plus the zone's offset.
"""

import re
import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from io import BytesIO
from typing import NamedTuple
from zoneinfo import ZoneInfo

from pycrond.errors import PycrondError
from pycrond.schedule.days import FIRST_DAY, LAST_DAY
from pycrond.text import quoted

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)
DAY = 24 * 60  # minutes
FIRST_TICK = FIRST_DAY * DAY
LAST_TICK = LAST_DAY * DAY

BLOCK_MINUTES = 364 * DAY
"""Offset changes are searched for and cached in blocks of this length."""

_ABBREVIATION = r"(?:[A-Za-z]{3,}|<[A-Za-z0-9+-]{3,}>)"
_HOURS = r"[+-]?[0-9]{1,2}(?::[0-9]{2}){0,2}"
_LONG_HOURS = _HOURS.replace("{1,2}", "{1,3}")
_RULE = re.compile(
    rf"{_ABBREVIATION}{_HOURS}(?:{_ABBREVIATION}(?:{_HOURS})?(?:,[MJ][0-9.]+(?:/{_LONG_HOURS})?){{2}})?"
)
"""A time zone rule as POSIX defines it for TZ. Rules with summer time must have its dates: without them, the
dates would be those of the USA, or of a file of the machine. Days counted from 0 are not accepted, because
`zoneinfo` computes them wrong by one day.
"""
FORMS = "a name such as Europe/Berlin, or a rule such as CET-1CEST,M3.5.0,M10.5.0/3"


class OffsetPeriod(NamedTuple):
    """A period with one UTC offset: the ticks from `start` (inclusive) to `end` (exclusive)."""

    start: int
    end: int
    offset: int
    """Wall minute minus tick."""


class Zone:
    """A time zone with its name, such as ``Europe/Berlin``."""

    __slots__ = ("_blocks", "_info", "name")

    def __init__(self, info: ZoneInfo, name: str) -> None:
        self.name = name
        self._info = info
        self._blocks: dict[int, tuple[OffsetPeriod, ...]] = {}

    @classmethod
    def of(cls, name: str) -> "Zone":
        """Return the zone with a name or a rule; raises PycrondError for an unknown one."""
        return _zone_of(name)

    def __repr__(self) -> str:
        return f"Zone({self.name!r})"

    def wall(self, at: datetime) -> int:
        """Return the wall minute at an instant."""
        tick = (at - EPOCH) // SECOND
        offset = self.local(at).utcoffset() or timedelta()
        return (tick + offset // SECOND) // 60

    def local(self, at: datetime) -> datetime:
        """Return the wall clock at an instant, as an aware datetime."""
        return at.astimezone(self._info)

    def fold(self, at: datetime) -> int:
        """Return 1 if the wall clock shows its minute for the second time at this instant, else 0."""
        return self.local(at).fold

    def offset_periods(self, start: int, end: int) -> Iterator[OffsetPeriod]:
        """Yield the periods that contain the ticks from `start` to `end`, in order. The first and the last
        are not cut. Adjacent periods may have the same offset.
        """
        last = (min(end, LAST_TICK) - 1) // BLOCK_MINUTES
        for block in range(max(start, FIRST_TICK) // BLOCK_MINUTES, last + 1):
            periods = self._blocks.get(block)
            if periods is None:
                bounds = block * BLOCK_MINUTES, (block + 1) * BLOCK_MINUTES
                periods = self._blocks[block] = tuple(self._find_periods(*bounds))
            yield from (period for period in periods if period.end > start and period.start < end)

    def _find_periods(self, start: int, end: int) -> Iterator[OffsetPeriod]:
        offset, probe = self._offset(start), start
        while probe < end:
            probe = min(probe + DAY, end)  # no zone has ever changed back within a day
            if probe < end and self._offset(probe) != offset:
                probe = self._find_change(probe - DAY, probe)
                yield OffsetPeriod(start, probe, offset)
                start, offset = probe, self._offset(probe)
        yield OffsetPeriod(start, end, offset)

    def _find_change(self, before: int, after: int) -> int:
        """Return the first tick whose offset differs from that of `before`, by bisection."""
        offset = self._offset(before)
        while after - before > 1:
            middle = (before + after) // 2
            if self._offset(middle) == offset:
                before = middle
            else:
                after = middle
        return after

    def _offset(self, tick: int) -> int:
        tick = min(max(tick, FIRST_TICK), LAST_TICK)
        offset = instant(tick).astimezone(self._info).utcoffset() or timedelta()
        return offset // MINUTE


def instant(tick: int) -> datetime:
    return EPOCH + tick * MINUTE


def tick_from(at: datetime) -> int:
    """Return the first tick at or after an instant."""
    return -((EPOCH - at) // MINUTE)


class ChangedZone(Zone):
    """A clock that follows one zone before a tick, and another zone from that tick on."""

    __slots__ = ("_after", "_before", "_from")

    def __init__(self, before: Zone, from_tick: int, after: Zone) -> None:
        super().__init__(after._info, after.name)  # noqa: SLF001 -- an object of its own class
        self._before = before
        self._from = from_tick
        self._after = after

    def local(self, at: datetime) -> datetime:
        return (self._before if at < instant(self._from) else self._after).local(at)

    def offset_periods(self, start: int, end: int) -> Iterator[OffsetPeriod]:
        if start < self._from:
            for period in self._before.offset_periods(start, min(end, self._from)):
                yield period._replace(end=min(period.end, self._from))
        if end > self._from:
            for period in self._after.offset_periods(max(start, self._from), end):
                yield period._replace(start=max(period.start, self._from))


@lru_cache(maxsize=2048)  # there are 600 names, but any number of rules
def _zone_of(name: str) -> Zone:
    return Zone(_zone_info(name), name)


def forget_zones() -> None:
    """Clear the caches of zones, so that the files of zones are read again: they may have changed."""
    ZoneInfo.clear_cache()
    _zone_of.cache_clear()


def _zone_info(name: str) -> ZoneInfo:
    """Return the zone with a name or, if there is none, by a rule, as glibc does."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:  # unknown, malformed, a directory of zones
        try:
            return _zone_of_rule(name)
        except ValueError:
            raise PycrondError(f"unknown time zone {quoted(name)} ({FORMS})") from error


def _zone_of_rule(text: str) -> ZoneInfo:
    """Return the zone of a rule; raises ValueError. `zoneinfo` reads rules only from the end of a file."""
    if not _RULE.fullmatch(text):
        raise ValueError("no rule of a time zone")
    header = struct.pack(">4sc15x6l", b"TZif", b"2", 0, 0, 0, 0, 1, 4)  # one type, four bytes of names
    data = struct.pack(">lBB4s", 0, 0, 0, b"UTC")
    return ZoneInfo.from_file(BytesIO(2 * (header + data) + f"\n{text}\n".encode()))
