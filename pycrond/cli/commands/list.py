"""list: list jobs, with their next fire times and last runs."""

import argparse
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime

from pycrond import clock
from pycrond.cli.arguments import add_json, seconds
from pycrond.cli.data.access import records
from pycrond.cli.next_fire import next_fire
from pycrond.cli.not_loaded import FileChange, unloaded_changes
from pycrond.cli.printing import first_problems, print_json, print_line
from pycrond.cli.render import formatting, job_table, table, terminal
from pycrond.cli.render.disk import disk_lines, read_disk
from pycrond.cli.render.formatting import Cell
from pycrond.cli.render.job_table import JobStatus
from pycrond.cli.render.table import StyledLine
from pycrond.cli.settings_layers import load_settings
from pycrond.control.records import Records
from pycrond.host import machine
from pycrond.jobs.display_name import display_names
from pycrond.jobs.run import State
from pycrond.ledger.rows import JobRow, RunRow
from pycrond.settings import Settings

MEDIANS_MOST = 1000  # jobs whose median duration is read for a terminal that may not have room for it
WATCH_INTERVAL = 2.0  # seconds
WATCH_INTERVAL_LEAST, WATCH_INTERVAL_MOST = 0.1, 86_400.0  # seconds


def add_arguments(parser: argparse.ArgumentParser) -> None:
    about = "only these: names, beginnings of keys, file:line, patterns such as 'backup*'"
    parser.add_argument("jobs", nargs="*", metavar="JOB", help=about)
    parser.add_argument("--failed", action="store_true", help="jobs whose last run did not end well")
    parser.add_argument("--running", action="store_true", help="jobs that run; with --failed, either")
    parser.add_argument("--user", metavar="NAME", help="jobs of this user")
    about = "by the next fire time, by the last start, the newest first, or by name (by file and line)"
    parser.add_argument("--sort", choices=("next", "last", "name"), help=about)
    about = "draw it again at this interval (2), on a terminal, until interrupted"
    parser.add_argument(
        "--watch",
        dest="interval",  # `watch` is a setting
        type=seconds(WATCH_INTERVAL_LEAST, WATCH_INTERVAL_MOST),
        nargs="?",
        const=WATCH_INTERVAL,
        metavar="SECONDS",
        help=about,
    )
    parser.add_argument("--names", action="store_true", help="print only the names, one a line")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    settings = load_settings(options)
    if options.names:
        _print_names(records(settings).jobs())
    elif options.json:
        print_json(_document(settings, options))
    elif options.interval is None or not terminal.is_terminal():
        terminal.show(_lines(settings, options, terminal.width(), cut=False))
    else:
        terminal.watch(lambda width: _lines(settings, options, width, cut=True), options.interval)
    return 0


def _print_names(jobs: Sequence[JobRow]) -> None:
    """Print the name of each job; with the user, where several users have it."""
    names = display_names((job.key, job.name, job.command) for job in jobs)
    counts = Counter(names.values())
    for job in jobs:
        name = names[job.key]
        print_line(name if counts[name] == 1 else f"{job.user}/{name}")


def _document(settings: Settings, options: argparse.Namespace) -> dict[str, object]:
    read, now = records(settings), clock.now()
    running = read.is_running()
    jobs = _with_details(read, _select(_read_jobs(read, now, running), options), medians=True)
    return {
        "not_loaded": [change.document() for change in _changes(settings, running)],
        "daemon": formatting.daemon_json(read.daemon(), running),
        "jobs": [job_table.job_json(job) for job in jobs],
        "problems": [formatting.problem_json(problem) for problem in read.problems()],
        "disk": read_disk(settings) if running else None,
    }


def _lines(settings: Settings, options: argparse.Namespace, width: int, *, cut: bool) -> Sequence[StyledLine]:
    """Return all lines: the table no wider than `width`, with `cut` the other lines neither."""
    read, here = records(settings), terminal.here()
    running = read.is_running()
    all_jobs = _read_jobs(read, here, running)
    jobs = _select(all_jobs, options)
    jobs = _with_details(read, jobs, medians=len(jobs) <= MEDIANS_MOST or width >= job_table.WIDE)
    head = job_table.heading(read.daemon(), running, all_jobs, here, width)
    body: Sequence[StyledLine] = [[Cell("no job matches")]] if all_jobs else ()
    if jobs:
        body = table.lay_out(job_table.columns(jobs, here, width), width, job_table.below(jobs, here))
    changes = [[Cell(str(change), "busy")] for change in _changes(settings, running)]
    disk = [[Cell(line, "bad")] for line in disk_lines(read_disk(settings) if running else None, here)]
    lines = [*head, *disk, *body, *_problem_lines(read), *changes]
    return [table.clipped(line, width) for line in lines] if cut else lines


def _changes(settings: Settings, running: bool) -> Sequence[FileChange]:
    return unloaded_changes(settings) if running else ()


def _problem_lines(read: Records) -> Sequence[StyledLine]:
    first, more = first_problems(read.problems())
    lines = [[Cell(str(problem), "bad" if problem.severity == "error" else "busy")] for problem in first]
    return [*lines, [Cell(more, "bad")]] if more else lines


def _read_jobs(read: Records, now: datetime, running: bool) -> Sequence[JobStatus]:
    last = read.last_runs()
    unfinished = read.unfinished() if running else []
    active = _by_key(run for run in unfinished if run.state == State.RUNNING)
    waiting = _by_key(run for run in unfinished if run.state == State.WAITING)
    paused = {row.key: row for row in read.pauses(now.timestamp())}
    next_times: dict[tuple[str | None, str], datetime | None] = {}
    jobs = []
    for job in read.jobs():
        schedule = (job.canonical, job.zone)
        if schedule not in next_times:
            at = next_fire(job, now)
            next_times[schedule] = machine.load_zone(job.zone).local(at) if at else None
        key = job.key
        runs_of_job = (active.get(key, ()), last.get(key), paused.get(key), waiting.get(key, ()))
        jobs.append(JobStatus(job, next_times[schedule], *runs_of_job))
    return jobs


def _by_key(runs: Iterable[RunRow]) -> dict[str, tuple[RunRow, ...]]:
    groups: dict[str, tuple[RunRow, ...]] = {}
    for run in runs:
        groups[run.key] = (*groups.get(run.key, ()), run)
    return groups


def _select(jobs: Sequence[JobStatus], options: argparse.Namespace) -> Sequence[JobStatus]:
    """Return the jobs that the options select, in the order that they demand."""
    if options.jobs:
        from pycrond.cli import selectors

        rows = [job_status.job for job_status in jobs]
        keys = {key for word in options.jobs for key in selectors.matching_jobs(word, rows)}
        jobs = [job_status for job_status in jobs if job_status.job.key in keys]
    if options.user is not None:
        jobs = [job_status for job_status in jobs if job_status.job.user == options.user]
    if options.failed or options.running:
        jobs = [
            job_status
            for job_status in jobs
            if (options.failed and job_status.has_failed) or (options.running and job_status.running)
        ]
    return sorted(jobs, key=job_table.ORDERS[options.sort]) if options.sort else jobs


def _with_details(read: Records, jobs: Sequence[JobStatus], *, medians: bool) -> Sequence[JobStatus]:
    """Add the last lines of failed jobs and the median durations, without `medians` only of running jobs."""
    keys = [job_status.job.key for job_status in jobs if medians or job_status.running]
    median_s = read.medians(None if len(keys) > MEDIANS_MOST else keys)
    failed = {
        job_status.job.key: job_status.last.id
        for job_status in jobs
        if job_status.has_failed and job_status.last and job_status.last.started_at
    }
    ends = read.ends([*failed.values()])
    last_lines = {key: formatting.last_line(ends.get(run, b"")) for key, run in failed.items()}
    return [
        job_status._replace(
            median_s=median_s.get(job_status.job.key), last_line=last_lines.get(job_status.job.key)
        )
        if job_status.job.key in median_s or job_status.has_failed
        else job_status
        for job_status in jobs
    ]
