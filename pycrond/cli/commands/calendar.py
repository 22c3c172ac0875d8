"""calendar: the coming fire times, for a calendar to show."""

import argparse
import heapq
import os
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import islice

from pycrond import __version__, clock
from pycrond.cli import icalendar
from pycrond.cli.commands.next import whole_minute
from pycrond.cli.commands.show import find_job
from pycrond.cli.icalendar import CalendarJob
from pycrond.cli.render import formatting
from pycrond.cli.settings_layers import configured
from pycrond.cli.time_input import moment
from pycrond.host import machine
from pycrond.ledger import codec
from pycrond.ledger.reader import Reader
from pycrond.ledger.rows import JobRow
from pycrond.schedule.dst import FireTime, fire_times
from pycrond.schedule.missed import find_gaps
from pycrond.text import rfc3339, visible

DAYS = timedelta(days=7)
MOST = 10_000  # fire times
OFTEN = 50  # fire times a day: who has more is left out unless named


def calendar(wanted: argparse.Namespace) -> int:
    """All or some jobs' fire times, in the order of time."""
    reader = Reader(configured(wanted).state_dir)
    now = clock.now()
    zone = machine.load_zone(machine.local_zone_name(os.environ))
    start = whole_minute(wanted.since, now, zone)
    until = moment(wanted.until, now, zone).at if wanted.until else start + DAYS
    keys = {find_job(reader, word) for word in wanted.jobs}
    jobs = [job for job in reader.jobs() if job.canonical and (not keys or job.key in keys)]
    shown = jobs if keys else _seldom(jobs, start)
    took = reader.durations()
    coming = [_fires(job, tuple(took.get(job.key, ())), start, until, wanted.count) for job in shown]
    found = list(islice(heapq.merge(*coming, key=lambda pair: pair[1].at), MOST + 1))
    if len(found) > MOST:
        last = rfc3339(found[MOST - 1][1].at.timestamp())
        _say(f"only the first {MOST:,} fire times, up to {last}")
    for line in icalendar.calendar(found[:MOST], __version__, machine.machine_id(), now):
        sys.stdout.buffer.write(line)
    return 0


def _seldom(jobs: Sequence[JobRow], start: datetime) -> Sequence[JobRow]:
    """Those that a calendar can show; the others are told of."""
    timed = [(job.key, codec.from_text(job.canonical or ""), machine.load_zone(job.zone)) for job in jobs]
    often = {key for key, found in find_gaps(timed, start, start + timedelta(days=1)) if found.count > OFTEN}
    names = [formatting.title(job.key, job.name, job.command) for job in jobs if job.key in often]
    if names:
        more = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
        _say(f"left out, as due more than {OFTEN} times a day unless named: {', '.join(names[:3])}{more}")
    return [job for job in jobs if job.key not in often]


def _fires(
    job: JobRow, took: tuple[float, ...], start: datetime, until: datetime, most: int | None
) -> Iterator[tuple[CalendarJob, FireTime]]:
    title = formatting.title(job.key, job.name, job.command)
    one = CalendarJob(job.key, title, job.command, job.schedule, job.zone, took)
    times = fire_times(codec.from_text(job.canonical or ""), machine.load_zone(job.zone), start, until)
    return ((one, fire) for fire in islice(times, most))


def _say(what: str) -> None:
    print(f"pycrond: {visible(what.encode('utf-8', 'surrogateescape'))}", file=sys.stderr)
