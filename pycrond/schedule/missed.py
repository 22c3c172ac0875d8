"""Fire times that came while nobody was looking: the daemon was down, the machine asleep, the clock turned.

Pure. A gap is one for a job, however many fires it holds, and is counted without going through them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from pycrond.schedule.dst import FireTime, Stretch, fire_times, stretches
from pycrond.schedule.schedule import Schedule
from pycrond.schedule.timezone import DAY, Zone


@dataclass(frozen=True, slots=True)
class Gap:
    """Fires that were passed over."""

    first: FireTime
    last: FireTime
    count: int


def find_gap(schedule: Schedule, zone: Zone, start: datetime, until: datetime) -> Gap | None:
    """What a daemon would have run from `start` up to but not including `until`; None for nothing."""
    first = next(fire_times(schedule, zone, start, until), None)
    if first is None:
        return None
    zone = Zone.of("UTC") if schedule.period else zone
    passed = list(stretches(schedule, zone, start, until))
    last = next(found for one in reversed(passed) if (found := _last(one, schedule, zone)))
    return Gap(first, last, sum(_count(one, schedule) for one in passed))


def _last(stretch: Stretch, schedule: Schedule, zone: Zone) -> FireTime | None:
    """Looked for from its end, in windows that double."""
    size = DAY
    while True:
        after = max(stretch.after, stretch.last - size)
        walls = list(Stretch(stretch.piece, after, stretch.last).walls(schedule))
        if walls:
            return stretch.fire_time(walls[-1], zone)
        if after == stretch.after:
            return None
        size *= 2


def _count(stretch: Stretch, schedule: Schedule) -> int:
    """How many wall minutes of a stretch a schedule names: a whole day at once."""
    after, last = stretch.after, stretch.last
    if schedule.period:
        return max(0, last // schedule.period - after // schedule.period)
    first_whole, end_whole = -(-(after + 1) // DAY), (last + 1) // DAY
    if first_whole >= end_whole:
        return sum(1 for _ in stretch.walls(schedule))
    edges = (
        Stretch(stretch.piece, after, first_whole * DAY - 1),
        Stretch(stretch.piece, end_whole * DAY - 1, last),
    )
    a_day = schedule.hours.bit_count() * schedule.minutes.bit_count()
    days = _days(schedule, first_whole, end_whole)
    return a_day * days + sum(1 for one in edges for _ in one.walls(schedule))


def _days(schedule: Schedule, first: int, end: int) -> int:
    """How many of these days a schedule names."""
    if schedule.days is None:
        return end - first
    count, day = 0, schedule.days.first_from(first)
    while day is not None and day < end:
        count += 1
        day = schedule.days.first_from(day + 1)
    return count


def find_gaps(
    jobs: Iterable[tuple[str, Schedule, Zone]], start: datetime, until: datetime
) -> Iterator[tuple[str, Gap]]:
    """The gap of each job that has one, by its key; equal schedules in one zone are looked at once."""
    known: dict[tuple[Schedule, str], Gap | None] = {}
    for key, schedule, zone in jobs:
        place = (schedule, zone.name)
        if place not in known:
            known[place] = find_gap(schedule, zone, start, until)
        found = known[place]
        if found:
            yield key, found
