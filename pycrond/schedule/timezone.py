"""Time zones: the wall clock at an instant, and the periods between changes of the UTC offset.

A *tick* is an int: whole minutes since 1970-01-01T00:00Z. A *wall minute* is a tick plus the zone's offset.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from pycrond.errors import PycrondError
from pycrond.schedule.days import FIRST_DAY, LAST_DAY

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)
DAY = 24 * 60  # minutes
FIRST_TICK = FIRST_DAY * DAY
LAST_TICK = LAST_DAY * DAY

BLOCK_MINUTES = 364 * DAY
"""Offset changes are searched for and cached in blocks of this length."""


@dataclass(frozen=True, slots=True)
class OffsetPeriod:
    """A period with one UTC offset: the ticks from `start` (inclusive) to `end` (exclusive)."""

    start: int
    end: int
    offset: int
    """Wall minute minus tick."""


class Zone:
    """A time zone with its name, such as ``Europe/Berlin``."""

    __slots__ = ("_blocks", "_info", "name")
    _by_name: dict[str, "Zone"] = {}  # noqa: RUF012  (shared on purpose: zones are few, and each costs a file)

    def __init__(self, info: ZoneInfo, name: str) -> None:
        self.name = name
        self._info = info
        self._blocks: dict[int, tuple[OffsetPeriod, ...]] = {}

    @classmethod
    def of(cls, zone: str | ZoneInfo) -> "Zone":
        """Return the zone with a name, always the same object; raises PycrondError for an unknown name.

        A `ZoneInfo` without a key (read from a file) gets the name ``localtime``.
        """
        if isinstance(zone, ZoneInfo):
            return cls(zone, zone.key or "localtime")
        if zone not in cls._by_name:
            cls._by_name[zone] = cls(_zone_info(zone), zone)
        return cls._by_name[zone]

    def __repr__(self) -> str:
        return f"Zone({self.name!r})"

    def wall(self, at: datetime) -> int:
        """Return the wall minute at an instant."""
        tick = (at - EPOCH) // SECOND
        offset = at.astimezone(self._info).utcoffset() or timedelta()
        return (tick + offset // SECOND) // 60

    def local(self, at: datetime) -> datetime:
        """Return the wall clock at an instant, as an aware datetime."""
        return at.astimezone(self._info)

    def fold(self, at: datetime) -> int:
        """Return 1 if the wall clock shows its minute for the second time at this instant, else 0."""
        return at.astimezone(self._info).fold

    def offset_periods(self, start: int, end: int) -> Iterator[OffsetPeriod]:
        """Yield the periods that contain the ticks from `start` to `end`, in order, the first and last whole.
        Neighbours may have the same offset.
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
        """Return the first tick with another offset than `before`, by bisection."""
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


def _zone_info(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:  # unknown, malformed, a directory of zones
        raise PycrondError(f"unknown time zone {name!r}") from error
