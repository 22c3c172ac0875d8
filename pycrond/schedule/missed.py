"""Missed fire times: no daemon ran, the machine slept, or the clock was set forward.

Pure. All missed fire times of a job form one gap. They are counted without computing each one.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from pycrond.schedule.fire_times import FireTime, Stretch, fire_times, stretches
from pycrond.schedule.schedule import Schedule
from pycrond.schedule.timezone import DAY, Zone

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Gap:
    """The first, the last and the number of a job's missed fire times."""

    first: FireTime
    last: FireTime
    count: int


def find_gap(schedule: Schedule, zone: Zone, start: datetime, until: datetime) -> Gap | None:
    """Return the gap of the fire times from `start` (inclusive) to `until` (exclusive); None without any."""
    missed = [
        stretch
        for stretch in stretches(schedule, zone, start, until)
        if next(stretch.walls(schedule), None) is not None
    ]
    if not missed:
        return None
    first = missed[0].fire_time(next(missed[0].walls(schedule)))
    last = missed[-1].fire_time(_last_wall(missed[-1], schedule))
    return Gap(first, last, sum(_count(stretch, schedule) for stretch in missed))


def _last_wall(stretch: Stretch, schedule: Schedule) -> int:
    """Return the last wall minute of a schedule in a stretch, which must have one. Windows double in size."""
    window = DAY
    while True:
        walls = list(stretch._replace(after=max(stretch.after, stretch.last - window)).walls(schedule))
        if walls:
            return walls[-1]
        window *= 2


def _count(stretch: Stretch, schedule: Schedule) -> int:
    """Return the number of wall minutes of a schedule in a stretch; those of whole days are calculated."""
    after, last = stretch.after, stretch.last
    if schedule.period:
        return max(0, last // schedule.period - after // schedule.period)
    first_day, end_day = -(-(after + 1) // DAY), (last + 1) // DAY
    if first_day >= end_day:
        return sum(1 for _ in stretch.walls(schedule))
    edges = (stretch._replace(last=first_day * DAY - 1), stretch._replace(after=end_day * DAY - 1))
    per_day = schedule.hours.bit_count() * schedule.minutes.bit_count()
    days = _count_days(schedule, first_day, end_day)
    return per_day * days + sum(1 for edge in edges for _ in edge.walls(schedule))


def _count_days(schedule: Schedule, first: int, end: int) -> int:
    if schedule.days is None:
        return end - first
    count, day = 0, schedule.days.first_from(first)
    while day is not None and day < end:
        count += 1
        day = schedule.days.first_from(day + 1)
    return count


def latest_fire_times(
    schedule: Schedule, zone: Zone, start: datetime, until: datetime, most: int
) -> list[FireTime]:
    """Return the last `most` fire times from `start` (inclusive) to `until` (exclusive), in order.

    The search goes back from `until` in doubling windows: its cost grows with `most`, not with the span.
    """
    window = timedelta(minutes=most)
    while True:
        since = max(start, until - window)
        times = [*fire_times(schedule, zone, since, until)]
        if len(times) >= most or since == start:
            return times[-most:]
        window *= 2


def find_gaps(
    jobs: Iterable[tuple[T, Schedule, Zone]], start: datetime, until: datetime
) -> Iterator[tuple[T, Gap]]:
    """Yield each job that has a gap, with the gap; equal schedules in one zone are computed once."""
    known: dict[tuple[Schedule, str], Gap | None] = {}
    for job, schedule, zone in jobs:
        in_zone = (schedule, zone.name)
        if in_zone not in known:
            known[in_zone] = find_gap(schedule, zone, start, until)
        gap = known[in_zone]
        if gap:
            yield job, gap
