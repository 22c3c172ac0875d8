"""calendar: print coming fire times as iCalendar."""

import argparse
import heapq
import sys
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import islice, repeat

from pycrond import __version__, clock
from pycrond.cli import icalendar
from pycrond.cli.arguments import add_fire_times
from pycrond.cli.data.ledger_directory import ledger_directory
from pycrond.cli.next_fire import plan_of
from pycrond.cli.printing import print_error
from pycrond.cli.selectors import find_job
from pycrond.cli.settings_layers import load_settings
from pycrond.cli.time_input import moment, whole_minute
from pycrond.host import machine
from pycrond.ledger.reader import Reader
from pycrond.ledger.rows import JobRow
from pycrond.schedule.fire_times import fire_times
from pycrond.schedule.missed import find_gaps
from pycrond.schedule.schedule import Schedule
from pycrond.schedule.timezone import Zone
from pycrond.text import rfc3339

DEFAULT_LENGTH = timedelta(days=7)
MAX_FIRES = 10_000
MAX_DAILY_FIRES = 50  # a job with more is left out unless it is named
Plan = tuple[JobRow, Schedule, Zone]
NAMES_SHOWN = 3  # of jobs that are left out


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("jobs", nargs="*", metavar="JOB", help="only these jobs")
    add_fire_times(
        parser,
        until="up to but not including this time (7 days after the first)",
        count="at most this many of each job",
    )


def run(options: argparse.Namespace) -> int:
    reader = Reader(ledger_directory(load_settings(options)))
    now, zone = clock.now(), machine.local_zone()
    start = whole_minute(options.since, now, zone)
    until = moment(options.until, now, zone).at if options.until else start + DEFAULT_LENGTH
    keys = {find_job(reader, word) for word in options.jobs}
    selected = [job for job in reader.jobs() if not keys or job.key in keys]
    jobs = [(job, *plan) for job in selected if (plan := plan_of(job))]
    shown = jobs if keys else _without_frequent(jobs, start)
    coming = [
        zip(repeat(job), islice(fire_times(schedule, in_zone, start, until), options.count))
        for job, schedule, in_zone in shown
    ]
    planned = list(islice(heapq.merge(*coming, key=lambda pair: pair[1].at), MAX_FIRES + 1))
    if len(planned) > MAX_FIRES:
        last = rfc3339(planned[MAX_FIRES - 1][1].at.timestamp())
        _warn(f"only the first {MAX_FIRES:,} fire times, up to {last}")
    fires, source = planned[:MAX_FIRES], (__version__, machine.machine_id(), now)
    for line in icalendar.calendar(fires, reader.durations(), *source):
        sys.stdout.buffer.write(line)
    return 0


def _without_frequent(jobs: Sequence[Plan], start: datetime) -> Sequence[Plan]:
    """Return the jobs that a calendar can show, and warn about the others."""
    timed = [(job.key, schedule, zone) for job, schedule, zone in jobs]
    day = find_gaps(timed, start, start + timedelta(days=1))
    frequent = {key for key, fire_times in day if fire_times.count > MAX_DAILY_FIRES}
    names = [job.title for job, *_ in jobs if job.key in frequent]
    if names:
        more = f" and {len(names) - NAMES_SHOWN:,} more" if len(names) > NAMES_SHOWN else ""
        shown = ", ".join(names[:NAMES_SHOWN])
        _warn(f"left out, due more than {MAX_DAILY_FIRES} times a day and not named: {shown}{more}")
    return [plan for plan in jobs if plan[0].key not in frequent]


def _warn(message: str) -> None:
    print_error(f"pycrond: {message}")
