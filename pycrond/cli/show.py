"""list, history, logs: what the ledger and the spools have to show."""

import argparse
import json
import os
import shutil
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import TextIO

from pycrond import clock, detach, logtext, machine, spool, stored, views
from pycrond.cli.configuration import configured
from pycrond.errors import Problem
from pycrond.reader import Reader
from pycrond.rows import JobRow, RunRow, the_one
from pycrond.schedule import fires
from pycrond.views import Cell, Listed

RUNS_MOST = 10_000  # looked through for output
KINDS = {"good": "green", "bad": "red", "busy": "yellow"}


def list(wanted: argparse.Namespace) -> int:  # noqa: A001 -- as the command is called
    """Every job; problems below."""
    settings = configured(wanted)
    reader = Reader(settings.state_dir)
    now = clock.now()
    running = detach.is_locked(settings.state_dir)
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


def _listed(reader: Reader, now: datetime, running: bool) -> Sequence[Listed]:
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
    reader = Reader(configured(wanted).state_dir)
    keys = None if wanted.job is None else [find_job(reader, wanted.job)]
    runs = reader.history(keys, wanted.limit)
    if wanted.json:
        print(json.dumps({"runs": [views.run_json(run) for run in runs]}))
        return 0
    print_table(views.past(runs, clock.now().astimezone(), {job.key: job.command for job in reader.jobs()}))
    return 0


def find_job(reader: Reader, word: str) -> str:
    """The key of the one job a word means; raises PycrondError where it is none, or several."""
    return the_one(word, reader.find_jobs(word))


def logs(wanted: argparse.Namespace) -> int:
    """The newest lines that jobs printed, oldest first, each with the time and name of its run."""
    state_dir = configured(wanted).state_dir
    reader = Reader(state_dir)
    commands = {job.key: job.command for job in reader.jobs()}
    newest_first: deque[str] = deque()
    for run in _runs_to_show(reader, wanted.what):
        missing = wanted.lines - len(newest_first)
        if missing <= 0:
            break
        head = views.log_head(run, commands.get(run.key, ""), clock.now().astimezone())
        newest_first.extend(
            head + line for line in _last_lines(os.path.join(state_dir, "spool"), run, missing)
        )
    for line in reversed(newest_first):
        print(line)
    return 0


def _runs_to_show(reader: Reader, what: str | None) -> Sequence[RunRow]:
    """The runs that a word means, newest first: a run's number, or a job."""
    if what is None:
        return reader.history(None, RUNS_MOST)
    if what.isdigit() and (found := reader.history(None, 1, run=int(what))):
        return found
    return reader.history([find_job(reader, what)], RUNS_MOST)


def _last_lines(spools: str, run: RunRow, most: int) -> Iterator[str]:
    """The last lines of what is kept of a run's output, the last one first."""
    kept = spool.segments(spools, run.id)
    data = b"".join(
        spool.read(spools, run.id, segment * spool.SEGMENT, spool.SEGMENT) for segment in kept[-2:]
    )
    lines = data.split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    for line in reversed(lines[-most:]):
        yield logtext.visible(line.removesuffix(b"\r"))


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
