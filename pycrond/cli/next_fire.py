"""The next fire time of jobs, from the ledger's rows."""

from collections.abc import Iterable
from datetime import datetime
from functools import cache

from pycrond import clock
from pycrond.cli.render import formatting, terminal
from pycrond.host import machine
from pycrond.ledger import codec
from pycrond.ledger.rows import JobRow
from pycrond.schedule.dst import fire_times


def next_fire(job: JobRow, now: datetime) -> datetime | None:
    """Return when a job is due next, after this minute; None for @reboot and for never."""
    return None if job.canonical is None else _next_fire(job.canonical, job.zone, now)


@cache  # thousands of jobs have no more than a few hundred schedules
def _next_fire(canonical: str, zone: str, now: datetime) -> datetime | None:
    coming = fire_times(codec.decode_schedule(canonical), machine.load_zone(zone), now)
    return next((fire.at for fire in coming), None)


def describe_next_fire(jobs: Iterable[JobRow]) -> str:
    """Return which job is due next, and when, as `next: backup at 02:30, in 5 m`."""
    now = clock.now()
    due = ((at, job) for job in jobs if (at := next_fire(job, now)))
    first = min(due, key=lambda pair: pair[0], default=None)
    if first is None:
        return "no job has a next fire time"
    at, job = first
    wait = formatting.distance((at - now).total_seconds())
    return f"next: {job.title} at {formatting.moment(at, terminal.here(now))}, in {wait}"
