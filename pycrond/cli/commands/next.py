"""next: show coming fire times of jobs, of a file or of an expression."""

import argparse
import os
from collections.abc import Sequence
from datetime import datetime

from pycrond import clock
from pycrond.cli.arguments import add_fire_times, add_json, add_zone
from pycrond.cli.coming_fires import (
    FIRES,
    FIRES_OF_ALL,
    ComingFires,
    clock_cells,
    expanded_star,
    of_row,
    parse_expression,
    soonest,
)
from pycrond.cli.crontab_input import parse_crontab, read_named_crontab
from pycrond.cli.data.ledger_directory import ledger_directory
from pycrond.cli.documents.times import NextDocument
from pycrond.cli.printing import print_json, print_problems, print_table
from pycrond.cli.render.formatting import Cell
from pycrond.cli.selectors import find_job
from pycrond.cli.settings_layers import load_settings
from pycrond.cli.time_input import moment, whole_minute
from pycrond.crontab import expression
from pycrond.errors import PycrondError
from pycrond.host import machine, users
from pycrond.jobs.display_name import display_names
from pycrond.jobs.job import make_jobs
from pycrond.ledger.codec import JobRows
from pycrond.ledger.reader import Reader
from pycrond.schedule.timezone import Zone
from pycrond.settings import Settings
from pycrond.text import rfc3339

Schedules = Sequence[ComingFires]
Times = Sequence[tuple[ComingFires, list[datetime]]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    about = "jobs, or one expression; by default the next fires of all jobs"
    parser.add_argument("selected", nargs="*", metavar="JOB|EXPRESSION", help=about)
    parser.add_argument("--file", help="the lines of this file, loaded or not; - is standard input")
    add_fire_times(
        parser,
        until="up to but not including this time",
        count="at most this many of each job (5; all with --until); without JOB, of all together (10)",
    )
    add_zone(parser)
    add_json(parser, NextDocument)


def run(options: argparse.Namespace) -> int:
    """Print the fire times; 1 if a file given with --file has errors."""
    now = clock.now()
    zone = Zone.of(options.tz) if options.tz else machine.local_zone()
    start = whole_minute(options.since, now, zone)
    until = moment(options.until, now, zone).at if options.until else None
    schedules, status = _select(options, zone)
    is_overview = not options.selected and not options.file
    most = options.count or (None if until else FIRES_OF_ALL if is_overview else FIRES)
    if is_overview:
        fires = soonest(schedules, start, until, most)
    else:
        fires = [schedule.times(start, until, most) for schedule in schedules]
    times = [*zip(schedules, fires, strict=True)]
    if options.json:
        print_json(_document(times, start, until, zone))
    else:
        _print([pair for pair in times if pair[1]] if is_overview and any(fires) else times, now)
    return status


def _select(options: argparse.Namespace, zone: Zone) -> tuple[Schedules, int]:
    if options.file:
        if options.selected:
            raise PycrondError("--file excludes jobs and expressions: give only one of them")
        return _of_file(options.file, zone, load_settings(options))
    if options.selected and _is_expression(options.selected):
        text = " ".join(options.selected)
        return [ComingFires(text, parse_expression(text), zone)], 0
    reader = Reader(ledger_directory(load_settings(options)))
    try:
        keys = {find_job(reader, word) for word in options.selected}
    except PycrondError as error:
        raise PycrondError(f"{error}{expanded_star(options.selected)}") from error
    rows = reader.jobs()
    coming = (of_row(row, zone if options.tz else None) for row in rows if not keys or row.key in keys)
    return [schedule for schedule in coming if schedule], 0


def _is_expression(words: Sequence[str]) -> bool:
    known = expression.parse_cached(" ".join(words))
    return bool(known) and (len(words[0].split()) > 1 or words[0].startswith("@") or known.valid)


def _of_file(file: str, zone: Zone, settings: Settings) -> tuple[Schedules, int]:
    parsed = parse_crontab(read_named_crontab(file), file, settings)
    errors = [problem for problem in parsed.problems if problem.severity == "error"]
    print_problems(errors)
    jobs = make_jobs(parsed.entries, users.by_uid(os.geteuid()).name)
    schedules = [
        ComingFires(row.schedule, entry.schedule, Zone.of(entry.zone) if entry.zone else zone, row)
        for row, (_, _, entry) in zip(JobRows(jobs, zone.name), jobs, strict=True)
    ]
    return schedules, 1 if errors else 0


def _document(times: Times, start: datetime, until: datetime | None, zone: Zone) -> NextDocument:
    return {
        "from": rfc3339(start.timestamp()),
        "until": rfc3339(until.timestamp()) if until else None,
        "zone": zone.name,
        "jobs": [
            {
                "key": schedule.job and schedule.job.key,
                "name": schedule.job and schedule.job.name,
                "display_name": schedule.job and schedule.job.title,
                "file": schedule.job and schedule.job.file,
                "line": schedule.job and schedule.job.line,
                "schedule": schedule.text,
                "fires": [rfc3339(at.timestamp()) for at in fire_times],
            }
            for schedule, fire_times in times
        ],
    }


def _print(times: Times, now: datetime) -> None:
    """Print the fire times of all jobs in order, by the clock of each zone; jobs without any come last."""
    jobs = [schedule.job for schedule, _ in times if schedule.job]
    titles = display_names((job.key, job.name, job.command) for job in jobs)

    def row(first: Sequence[Cell], schedule: ComingFires) -> list[Cell]:
        title = titles[schedule.job.key] if schedule.job else schedule.text
        return [*first, Cell(title), Cell(schedule.text)]

    fires = ((at, schedule) for schedule, fire_times in times for at in fire_times)
    rows = [[Cell("TIME"), Cell("ZONE"), Cell("IN"), Cell("JOB"), Cell("SCHEDULE")]]
    for at, schedule in sorted(fires, key=lambda pair: pair[0]):
        rows.append(row(clock_cells(at, schedule.zone, now), schedule))
    for schedule, fire_times in times:
        if not fire_times:
            rows.append(row([Cell(schedule.absence), Cell(""), Cell("")], schedule))
    print_table(rows)
