"""What the nights when clocks change do to a schedule, in one year."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from pycrond.schedule.schedule import Schedule
from pycrond.schedule.timezone import EPOCH, Zone, tick_from

HOURS = (1 << 24) - 1
MINUTES = (1 << 60) - 1
LONGEST = 179
"""Minutes. A longer jump is none of summer time, and cron has another rule for it."""


@dataclass(frozen=True, slots=True)
class ClockChange:
    """The wall minutes from `first` up to but not including `end` that a clock skips or shows twice."""

    first: int
    end: int
    skipped: bool


class DstEffects:
    """The changes of the year in which `now` lies. Whatever was asked once is known."""

    def __init__(self, now: datetime, zone: Zone) -> None:
        self._start = tick_from(datetime(now.year, 1, 1, tzinfo=UTC))
        self._end = tick_from(datetime(now.year + 1, 1, 1, tzinfo=UTC))
        self._zone = zone
        self._changes: dict[Zone, tuple[ClockChange, ...]] = {}
        self._told: dict[tuple[Schedule, str | None], str] = {}

    def effect(self, schedule: Schedule, zone: str | None) -> str:
        """In words, for a schedule in a zone, None being the daemon's; empty where there is none."""
        key = (schedule, zone)
        if key not in self._told:
            self._told[key] = self._tell(schedule, self._zone if zone is None else Zone.of(zone))
        return self._told[key]

    def _tell(self, schedule: Schedule, zone: Zone) -> str:
        if schedule.period:
            return ""
        changes = self._changes.get(zone)
        if changes is None:
            changes = self._changes[zone] = tuple(self._find(zone))
        told = [text for change in changes if (text := _consequence(schedule, change))]
        return f"in {zone.name} {'; '.join(told)}" if told else ""

    def _find(self, zone: Zone) -> Iterator[ClockChange]:
        pieces = list(zone.offset_periods(self._start, self._end))
        for before, after in pairwise(pieces):
            old, new = before.end + before.offset, after.start + after.offset
            if 0 < abs(new - old) <= LONGEST:
                yield ClockChange(min(old, new), max(old, new), skipped=new > old)


def _consequence(schedule: Schedule, change: ClockChange) -> str:
    """What pycrond does about the times of a schedule that are skipped or come twice."""
    if schedule.wildcard and _keeps_its_distances(schedule, change):
        return ""
    walls = list(_within(schedule, change))
    if not walls:
        return ""
    day, first, several = f"{_wall(walls[0]):%F}", f"{_wall(walls[0]):%H:%M}", len(walls) > 1
    times = f"{first} and {len(walls) - 1} more times" if several else first
    if change.skipped:
        fate = "run" if several else "runs"
        fate = (
            f"do{'' if several else 'es'} not run"
            if schedule.wildcard
            else f"{fate} at {_wall(change.end):%H:%M}"
        )
        return f"{times} {'are' if several else 'is'} skipped on {day} and {fate}"
    fate = "both times" if schedule.wildcard else "the first time only"
    return f"{times} come{'' if several else 's'} twice on {day} and run{'' if several else 's'} {fate}"


def _keeps_its_distances(schedule: Schedule, change: ClockChange) -> bool:
    """One of every hour does not notice a clock turned by hours, nor `*/10` one turned by 30 minutes."""
    turned = (change.end - change.first) % 60
    minutes = schedule.minutes
    rotated = (minutes << turned | minutes >> (60 - turned)) & MINUTES
    return schedule.hours == HOURS and rotated == minutes


def _within(schedule: Schedule, change: ClockChange) -> Iterator[int]:
    wall = schedule.next_wall(change.first - 1)
    while wall is not None and wall < change.end:
        yield wall
        wall = schedule.next_wall(wall)


def _wall(minute: int) -> datetime:
    return EPOCH + timedelta(minutes=minute)
