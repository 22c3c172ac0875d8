"""The effects of a year's clock changes on a schedule, in words."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from typing import NamedTuple

from pycrond.schedule.schedule import Schedule
from pycrond.schedule.timezone import EPOCH, Zone, tick_from

ALL_HOURS = (1 << 24) - 1
ALL_MINUTES = (1 << 60) - 1
MAX_DST_JUMP = 179  # minutes; a longer jump is not a DST change, and cron treats it in another way


class ClockChange(NamedTuple):
    """The wall minutes from `first` up to but not including `end` that a clock skips or shows twice."""

    first: int
    end: int
    skipped: bool


@cache  # thousands of jobs have no more than a few hundred schedules
def dst_effect(schedule: Schedule, zone: Zone, year: int) -> str:
    """Describe the effect of a year's clock changes on a schedule; empty if there is none."""
    if schedule.period:
        return ""
    changes = _clock_changes(zone, year)
    effects = [text for change in changes if (text := _effect_of_change(schedule, change))]
    return f"in {zone.name} {'; '.join(effects)}" if effects else ""


@cache
def _clock_changes(zone: Zone, year: int) -> Sequence[ClockChange]:
    start, end = (tick_from(datetime(first, 1, 1, tzinfo=UTC)) for first in (year, year + 1))
    changes = []
    for before, after in pairwise(zone.offset_periods(start, end)):
        old, new = before.end + before.offset, after.start + after.offset
        if 0 < abs(new - old) <= MAX_DST_JUMP:
            changes.append(ClockChange(min(old, new), max(old, new), skipped=new > old))
    return changes


def _effect_of_change(schedule: Schedule, change: ClockChange) -> str:
    """Describe the fate of the fire times that one clock change skips or repeats."""
    if schedule.wildcard and _keeps_its_intervals(schedule, change):
        return ""
    walls = list(schedule.walls(change.first - 1, change.end - 1))
    if not walls:
        return ""
    first, more = _wall_time(walls[0]), len(walls) - 1
    times = f"{first:%H:%M} and {more} more times" if more else f"{first:%H:%M}"
    be, do, s = ("are", "do", "") if more else ("is", "does", "s")
    if not change.skipped:
        which = "both times" if schedule.wildcard else "the first time only"
        return f"{times} come{s} twice on {first:%F} and run{s} {which}"
    fate = f"{do} not run" if schedule.wildcard else f"run{s} at {_wall_time(change.end):%H:%M}"
    return f"{times} {be} skipped on {first:%F} and {fate}"


def _keeps_its_intervals(schedule: Schedule, change: ClockChange) -> bool:
    """Return True if the intervals are the same across the change: an hourly schedule does not notice a
    clock turned by whole hours, nor does `*/10` notice a turn by 30 minutes.
    """
    turned = (change.end - change.first) % 60
    minutes = schedule.minutes
    rotated = (minutes << turned | minutes >> (60 - turned)) & ALL_MINUTES
    return schedule.hours == ALL_HOURS and rotated == minutes


def _wall_time(minute: int) -> datetime:
    return EPOCH + timedelta(minutes=minute)
