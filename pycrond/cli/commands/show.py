"""list: every job, when it comes next and how it does; and what other commands show of jobs."""

import argparse
import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache
from typing import TextIO

from pycrond import clock
from pycrond.cli.data.access import records
from pycrond.cli.render import formatting, job_table, terminal
from pycrond.cli.render import table as render_table
from pycrond.cli.render.formatting import Cell
from pycrond.cli.render.job_table import JobStatus
from pycrond.cli.render.table import StyledLine
from pycrond.cli.settings_layers import configured
from pycrond.control.records import Records
from pycrond.errors import Problem
from pycrond.host import machine
from pycrond.ledger import codec
from pycrond.ledger.reader import Reader
from pycrond.ledger.rows import JobRow, RunRow, require_one
from pycrond.schedule.dst import fire_times
from pycrond.settings import Settings
from pycrond.text import rough_duration

MANY = 1000  # jobs: to read what is usual of more takes too long for a narrow terminal


def list(wanted: argparse.Namespace) -> int:  # noqa: A001 -- as the command is called
    """Every job; problems below."""
    settings = configured(wanted)
    if wanted.json:
        print(json.dumps(_document(settings, wanted)))
    elif wanted.every is None or not terminal.is_terminal():
        terminal.show(_picture(settings, wanted, terminal.width(), cut=False))
    else:
        terminal.watch(lambda width: _picture(settings, wanted, width, cut=True), wanted.every)
    return 0


def _document(settings: Settings, wanted: argparse.Namespace) -> dict[str, object]:
    read, now = records(settings), clock.now()
    running = read.is_running()
    jobs = _told(read, _chosen(_listed(read, now, running), wanted), everything=True)
    return {
        "daemon": formatting.daemon_json(read.daemon(), running),
        "jobs": [job_table.job_json(one) for one in jobs],
        "problems": [formatting.problem_json(one) for one in read.problems()],
    }


def _picture(
    settings: Settings, wanted: argparse.Namespace, width: int, *, cut: bool
) -> Sequence[StyledLine]:
    """All lines, the table's no wider than `width`; with `cut` no line is."""
    read, here = records(settings), terminal.here()
    running = read.is_running()
    listed = _listed(read, here, running)
    jobs = _chosen(listed, wanted)
    jobs = _told(read, jobs, everything=len(jobs) <= MANY or width >= job_table.WIDE)
    heads = job_table.heading(read.daemon(), running, listed, here, width)
    table: Sequence[StyledLine] = [[Cell("none of them")]] if listed else ()
    if jobs:
        table = render_table.lay_out(job_table.columns(jobs, here, width), width, job_table.below(jobs, here))
    problems = [[Cell(str(one), "bad" if one.severity == "error" else "busy")] for one in read.problems()]
    lines = [*heads, *table, *problems]
    return [render_table.clipped(line, width) for line in lines] if cut else lines


def _listed(read: Records, now: datetime, running: bool) -> Sequence[JobStatus]:
    last = read.last_runs()
    alive: dict[str, tuple[RunRow, ...]] = {}
    waiting: dict[str, tuple[RunRow, ...]] = {}
    for run in read.unfinished() if running else ():
        if run.state != "claimed":
            found = alive if run.state == "running" else waiting
            found[run.key] = (*found.get(run.key, ()), run)
    paused = {row.key: row for row in read.pauses(now.timestamp())}
    known: dict[tuple[str | None, str], datetime | None] = {}
    jobs = []
    for job in read.jobs():
        meaning = (job.canonical, job.zone)
        if meaning not in known:
            coming = next_fire(job, now)
            known[meaning] = machine.load_zone(job.zone).local(coming) if coming else None
        key = job.key
        about = (alive.get(key, ()), last.get(key), paused.get(key), waiting.get(key, ()))
        jobs.append(JobStatus(job, known[meaning], *about))
    return jobs


def _chosen(jobs: Sequence[JobStatus], wanted: argparse.Namespace) -> Sequence[JobStatus]:
    """Those that were asked for, in the order that was."""
    if wanted.jobs:
        from pycrond.cli import selectors

        rows = [one.job for one in jobs]
        keys = {key for word in wanted.jobs for key in selectors.loaded(word, rows)}
        jobs = [one for one in jobs if one.job.key in keys]
    if wanted.user is not None:
        jobs = [one for one in jobs if one.job.user == wanted.user]
    if wanted.failed or wanted.running:
        jobs = [one for one in jobs if (wanted.failed and one.has_failed) or (wanted.running and one.running)]
    return sorted(jobs, key=job_table.ORDERS[wanted.sort]) if wanted.sort else jobs


def _told(read: Records, jobs: Sequence[JobStatus], *, everything: bool) -> Sequence[JobStatus]:
    """With what is usual, of all or of those that run, and with what those said last that failed."""
    keys = [one.job.key for one in jobs if everything or one.running]
    medians = read.medians(None if len(keys) > MANY else keys)
    failed = [one.last.id for one in jobs if one.has_failed and one.last and one.last.started_at]
    ends = read.ends(failed)
    return [
        one._replace(
            median_s=medians.get(one.job.key),
            last_line=formatting.last_line(ends.get(one.last.id, b""))
            if one.has_failed and one.last
            else None,
        )
        if one.job.key in medians or one.has_failed
        else one
        for one in jobs
    ]


def next_fire(job: JobRow, now: datetime) -> datetime | None:
    """When a job is due next, after this minute; None for @reboot and for never."""
    return None if job.canonical is None else _next_fire(job.canonical, job.zone, now)


@cache
def _next_fire(canonical: str, zone: str, now: datetime) -> datetime | None:
    """Thousands of jobs have no more than a few hundred schedules."""
    coming = fire_times(codec.from_text(canonical), machine.load_zone(zone), now)
    return next((fire.at for fire in coming), None)


def next_due(jobs: Iterable[JobRow]) -> str:
    """The next fire time of all, in words."""
    now = clock.now()
    due = ((at, job) for job in jobs if (at := next_fire(job, now)))
    coming = min(due, key=lambda pair: pair[0], default=None)
    if coming is None:
        return "nothing will ever be due"
    at, job = coming
    name = formatting.title(job.key, job.name, job.command)
    wait = rough_duration((at - now).total_seconds())
    return f"next: {name} at {formatting.moment(at, terminal.here(now))}, in {wait}"


def find_job(reader: Reader, word: str) -> str:
    """The key of the one job a word means; raises PycrondError where it is none, or several."""
    return require_one(word, reader.find_jobs(word))


def print_table(rows: Sequence[Sequence[Cell]]) -> None:
    """A table: plain into a pipe, coloured on a terminal, never wider than that."""
    terminal.show(render_table.lay_out(render_table.columns_of(rows), terminal.width()))


def print_problems(problems: Iterable[Problem], where: TextIO) -> None:
    """Each as file:line:column."""
    for problem in problems:
        print(problem, file=where)
