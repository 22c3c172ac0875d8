"""Time zones: what a wall clock shows at an instant, and when its offset changes.

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
DAY = 24 * 60
FIRST_TICK = FIRST_DAY * DAY
LAST_TICK = LAST_DAY * DAY

BLOCK = 364 * DAY
"""Offset changes are looked for in blocks of this many minutes, and kept."""


@dataclass(frozen=True, slots=True)
class OffsetPeriod:
    """A stretch of time without a change of offset: ticks from `start` up to but not including `end`."""

    start: int
    end: int
    offset: int
    """Wall minute minus tick."""


class Zone:
    """A time zone by its name, such as ``Europe/Berlin``. One object for a name."""

    __slots__ = ("_blocks", "_info", "name")
    _known: dict[str, "Zone"] = {}  # noqa: RUF012  (shared on purpose: zones are few and cost a file to read)

    def __init__(self, info: ZoneInfo, name: str) -> None:
        self.name = name
        self._info = info
        self._blocks: dict[int, tuple[OffsetPeriod, ...]] = {}

    @classmethod
    def of(cls, zone: str | ZoneInfo) -> "Zone":
        """A `ZoneInfo` without a key (read from a file) is called ``localtime``."""
        if isinstance(zone, ZoneInfo):
            return cls(zone, zone.key or "localtime")
        known = cls._known.get(zone)
        if known is None:
            known = cls._known[zone] = cls(_read(zone), zone)
        return known

    def __repr__(self) -> str:
        return f"Zone({self.name!r})"

    def wall(self, at: datetime) -> int:
        """The wall minute shown at this instant."""
        tick = (at - EPOCH) // SECOND
        offset = at.astimezone(self._info).utcoffset() or timedelta()
        return (tick + offset // SECOND) // 60

    def local(self, at: datetime) -> datetime:
        """The wall clock at this instant, aware."""
        return at.astimezone(self._info)

    def fold(self, at: datetime) -> int:
        """1 when this instant shows its wall minute for the second time, else 0."""
        return at.astimezone(self._info).fold

    def offset_periods(self, start: int, end: int) -> Iterator[OffsetPeriod]:
        """The pieces that hold the ticks from `start` up to `end`, in order, the first and last whole.
        Neighbours may have the same shift.
        """
        for block in range(max(start, FIRST_TICK) // BLOCK, (min(end, LAST_TICK) - 1) // BLOCK + 1):
            pieces = self._blocks.get(block)
            if pieces is None:
                pieces = self._blocks[block] = tuple(self._split(block * BLOCK, (block + 1) * BLOCK))
            yield from (piece for piece in pieces if piece.end > start and piece.start < end)

    def _split(self, start: int, end: int) -> Iterator[OffsetPeriod]:
        shift, probe = self._shift(start), start
        while probe < end:
            probe = min(probe + DAY, end)  # no zone has changed back within a day
            if probe < end and self._shift(probe) != shift:
                probe = self._change(probe - DAY, probe)
                yield OffsetPeriod(start, probe, shift)
                start, shift = probe, self._shift(probe)
        yield OffsetPeriod(start, end, shift)

    def _change(self, before: int, after: int) -> int:
        """The first tick with another shift than `before`, by bisection."""
        shift = self._shift(before)
        while after - before > 1:
            middle = (before + after) // 2
            if self._shift(middle) == shift:
                before = middle
            else:
                after = middle
        return after

    def _shift(self, tick: int) -> int:
        tick = min(max(tick, FIRST_TICK), LAST_TICK)
        offset = instant(tick).astimezone(self._info).utcoffset() or timedelta()
        return offset // MINUTE


def instant(tick: int) -> datetime:
    return EPOCH + tick * MINUTE


def tick_from(at: datetime) -> int:
    """The first whole minute at or after this instant."""
    return -((EPOCH - at) // MINUTE)


def _read(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:  # unknown, not a name at all, a folder of zones
        raise PycrondError(f"unknown time zone {name!r}") from error
