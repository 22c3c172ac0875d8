"""list, history: what the ledger has to show."""

import argparse
import json
import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TextIO

from pycrond import clock, machine, stored, views
from pycrond.cli.configuration import configured
from pycrond.cli.records import Records, records
from pycrond.errors import Problem
from pycrond.reader import Reader
from pycrond.rows import JobRow, RunRow, the_one
from pycrond.schedule import fires
from pycrond.views import Cell, Listed

KINDS = {"good": "green", "bad": "red", "busy": "yellow"}


def list(wanted: argparse.Namespace) -> int:  # noqa: A001 -- as the command is called
    """Every job; problems below."""
    reader = records(configured(wanted))
    now = clock.now()
    running = reader.is_running()
    jobs = _listed(reader, now, running)
    daemon, problems = reader.daemon(), reader.problems()
    if wanted.json:
        document = {
            "daemon": views.daemon_json(daemon, running),
            "jobs": [views.job_json(one) for one in jobs],
            "problems": [views.problem_json(one) for one in problems],
        }
        print(json.dumps(document))
        return 0
    here = now.astimezone()
    print(views.heading(daemon, running, len(jobs), here))
    if jobs:
        print_table(views.listing(jobs, here))
    print_problems(problems, sys.stdout)
    return 0


def _listed(reader: Records, now: datetime, running: bool) -> Sequence[Listed]:
    last = reader.last_runs()
    alive: dict[str, tuple[RunRow, ...]] = {}
    for run in reader.running() if running else ():
        alive[run.key] = (*alive.get(run.key, ()), run)
    paused = {row.key: row for row in reader.pauses(now.timestamp())}
    return [
        Listed(job, next_fire(job, now), alive.get(job.key, ()), last.get(job.key), paused.get(job.key))
        for job in reader.jobs()
    ]


def next_fire(job: JobRow, now: datetime) -> datetime | None:
    """When a job is due next, after this minute; None for @reboot and for never."""
    if job.canonical is None:
        return None
    coming = fires(stored.from_text(job.canonical), machine.zone(job.zone), now)
    return next((fire.at for fire in coming), None)


def next_due(jobs: Iterable[JobRow]) -> str:
    """The next fire time of all, in words."""
    now = clock.now()
    due = ((at, job) for job in jobs if (at := next_fire(job, now)))
    coming = min(due, key=lambda pair: pair[0], default=None)
    if coming is None:
        return "nothing will ever be due"
    at, job = coming
    name = views.title(job.key, job.name, job.command)
    distance = views.distance((at - now).total_seconds())
    return f"next: {name} at {views.moment(at, now.astimezone())}, in {distance}"


def history(wanted: argparse.Namespace) -> int:
    """Runs, newest first."""
    reader = records(configured(wanted))
    keys = None if wanted.job is None else [the_one(wanted.job, reader.find_jobs(wanted.job))]
    runs = reader.history(keys, wanted.limit)
    if wanted.json:
        print(json.dumps({"runs": [views.run_json(run) for run in runs]}))
        return 0
    print_table(views.past(runs, clock.now().astimezone(), {job.key: job.command for job in reader.jobs()}))
    return 0


def find_job(reader: Reader, word: str) -> str:
    """The key of the one job a word means; raises PycrondError where it is none, or several."""
    return the_one(word, reader.find_jobs(word))


def print_table(rows: Sequence[Sequence[Cell]]) -> None:
    """A table: plain into a pipe, coloured on a terminal, never wider than that."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() or "COLUMNS" in os.environ else 80
    lines = views.plain(rows, width)
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        print("\n".join(lines))
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)
    for row, line in zip(rows, lines, strict=True):
        text = Text(line)
        for cell in row:
            if cell.kind and cell.text in line:
                text.highlight_words([cell.text], KINDS[cell.kind])
        console.print(text)


def print_problems(problems: Iterable[Problem], where: TextIO) -> None:
    """Each as file:line:column."""
    for problem in problems:
        print(problem, file=where)
