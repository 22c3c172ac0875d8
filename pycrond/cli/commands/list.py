"""list: list jobs, with their next fire times and last runs."""

import argparse
from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from pycrond import clock
from pycrond.cli.arguments import add_cluster, add_json, seconds
from pycrond.cli.data.access import Access, records
from pycrond.cli.data.job_status import JobStatus, gone_and_overdue, overdue_json, read_jobs
from pycrond.cli.documents.lists import ListDocument
from pycrond.cli.not_loaded import FileChange, unloaded_changes
from pycrond.cli.printing import first_problems, print_json, print_line
from pycrond.cli.render import formatting, job_table, table, terminal
from pycrond.cli.render.disk import disk_lines, read_disk
from pycrond.cli.render.formatting import Cell
from pycrond.cli.render.table import StyledLine
from pycrond.cli.settings_layers import load_settings
from pycrond.jobs.display_name import display_names
from pycrond.jobs.run import BAD_ENDS
from pycrond.ledger.rows import JobRow
from pycrond.settings import Settings
from pycrond.text import counted

NO_ANSWER = "the daemon does not answer: it hangs or is stopped (see 'pycrond doctor')"
MAX_MEDIANS = 1000  # jobs; for more, the medians are read only if the terminal is wide
WATCH_INTERVAL = 2.0  # seconds
MIN_WATCH_INTERVAL, MAX_WATCH_INTERVAL = 0.1, 86_400.0  # seconds


def add_arguments(parser: argparse.ArgumentParser) -> None:
    about = "only these: names, beginnings of keys, file:line, patterns such as 'backup*'"
    parser.add_argument("jobs", nargs="*", metavar="JOB", help=about)
    parser.add_argument("--failed", action="store_true", help="jobs that fail, are overdue or were missed")
    parser.add_argument("--running", action="store_true", help="jobs that run; with --failed, either")
    parser.add_argument("--user", metavar="NAME", help="jobs of this user")
    about = "sort by the next fire time, by the last start, the newest first, or by name (by file and line)"
    parser.add_argument("--sort", choices=("next", "last", "name"), help=about)
    about = "draw the list again at this interval (2), on a terminal, until interrupted"
    parser.add_argument(
        "--watch",
        dest="interval",  # `watch` is a setting
        type=seconds(MIN_WATCH_INTERVAL, MAX_WATCH_INTERVAL),
        nargs="?",
        const=WATCH_INTERVAL,
        metavar="SECONDS",
        help=about,
    )
    parser.add_argument("--names", action="store_true", help="print only the names, one a line")
    add_cluster(parser, "shared jobs, with the node of the last run, from the cluster's database")
    add_json(parser, ListDocument)


def run(options: argparse.Namespace) -> int:
    settings = load_settings(options)
    if options.names:
        _print_names(records(settings).jobs())
    elif options.json:
        print_json(_document(settings, options))
    elif options.interval is None or not terminal.is_terminal():
        terminal.show(_lines(settings, options, terminal.width()))
    else:
        terminal.watch(lambda size: _lines(settings, options, *size), options.interval)
    return 0


def _print_names(jobs: Sequence[JobRow]) -> None:
    """Print the name of each job; with the user, where several users have it."""
    names = display_names((job.key, job.name, job.command) for job in jobs)
    counts = Counter(names.values())
    for job in jobs:
        name = names[job.key]
        print_line(name if counts[name] == 1 else f"{job.user}/{name}")


def _document(settings: Settings, options: argparse.Namespace) -> ListDocument:
    if options.of_cluster:
        from pycrond.cli.cluster import job_list

        return job_list.document(settings, options, _select)
    read, now = records(settings), clock.now()
    presence = read.presence()
    disk = read_disk(settings) if presence.runs else None
    jobs = _with_details(read, _select(read_jobs(read, now), options), medians=True)
    return {
        "daemon": formatting.daemon_json(read.daemon(), presence),
        "jobs": [job_table.job_json(job) for job in jobs],
        "gone_overdue": [{"key": row.key, **overdue_json(row)} for row in gone_and_overdue(read, now)],
        "problems": [formatting.problem_json(problem) for problem in read.problems()],
        "disk": disk,
        "not_loaded": [change.document() for change in unloaded_changes(settings)] if disk else [],
    }


def _lines(
    settings: Settings, options: argparse.Namespace, width: int, height: int | None = None
) -> Sequence[StyledLine]:
    """Return all lines; the table is at most `width` columns wide. With `height`, each line is at most that
    wide, and there are at most `height` lines: failed and running jobs come first, and the last line counts
    the rest.
    """
    if options.of_cluster:
        from pycrond.cli.cluster import job_list

        return job_list.lines(settings, options, _select, width, height)
    read, here = records(settings), terminal.here()
    presence = read.presence()
    all_jobs = read_jobs(read, here)
    jobs = _select(all_jobs, options)
    jobs = _with_details(read, jobs, medians=len(jobs) <= MAX_MEDIANS or width >= job_table.WIDE)
    disk = read_disk(settings) if presence.runs else None
    troubles = [*disk_lines(disk, here)] if disk or not presence.runs else [NO_ANSWER]
    head = [
        *job_table.heading(read.daemon(), presence, all_jobs, here, width),
        *([Cell(line, "bad")] for line in troubles),
    ]
    notes = _notes(read, unloaded_changes(settings) if disk else (), here)
    if not jobs:
        body: Sequence[StyledLine] = [[Cell("no job matches")]] if all_jobs else ()
        return [*head, *body, *notes]
    below = job_table.below(jobs, here)
    if height is not None and len(head) + 1 + len(jobs) + len(below) + len(notes) > height:
        urgent = sorted(jobs, key=job_table.urgency)
        below = job_table.below(urgent, here)
        jobs = urgent[: max(1, job_table.fitting(len(urgent), below, height - len(head) - 2))]
        left_out = [counted(len(urgent) - len(jobs), "more job"), counted(len(notes), "problem")]
        notes = [[Cell(f"… {', '.join(text for text in left_out if text[0] != '0')}", "dim")]]
    lines = [*head, *table.lay_out(job_table.columns(jobs, here, width), width, below), *notes]
    return lines if height is None else [table.clipped(line, width) for line in lines]


def _notes(read: Access, unloaded: Sequence[FileChange], here: datetime) -> Sequence[StyledLine]:
    """Return the lines below the table: overdue jobs that are gone, problems and changes of crontabs."""
    gone = [
        Cell(f"{row.key} is gone, and {job_table.overdue(row, here)}", "bad")
        for row in gone_and_overdue(read, here)
    ]
    first, more = first_problems(read.problems())
    problems = [Cell(str(problem), "bad" if problem.severity == "error" else "busy") for problem in first]
    rest = [Cell(more, "bad")] if more else []
    changes = [Cell(str(change), "busy") for change in unloaded]
    return [[cell] for cell in (*gone, *problems, *rest, *changes)]


def _select(jobs: Sequence[JobStatus], options: argparse.Namespace) -> Sequence[JobStatus]:
    """Return the selected jobs, in the order of --sort."""
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
            if (options.failed and job_status.is_troubled) or (options.running and job_status.running)
        ]
    return sorted(jobs, key=job_table.ORDERS[options.sort]) if options.sort else jobs


def _with_details(read: Access, jobs: Sequence[JobStatus], *, medians: bool) -> Sequence[JobStatus]:
    """Add last lines of failed jobs, reasons of skipped fires, and median durations. Without `medians`, only
    running jobs get their median durations.
    """
    keys = [job_status.job.key for job_status in jobs if medians or job_status.running]
    median_s = read.medians(None if len(keys) > MAX_MEDIANS else keys)
    failed = {
        job_status.job.key: job_status.last.id
        for job_status in jobs
        if job_status.last and job_status.last.state in BAD_ENDS and job_status.last.started_at
    }
    ends = read.ends([*failed.values()])
    last_lines = {key: formatting.last_line(ends.get(run, b"")) for key, run in failed.items()}
    numbers = [job_status.standing.passed for job_status in jobs if job_status.standing.passed]
    passed = {row.key: row for row in read.runs(numbers)}
    detailed = median_s.keys() | last_lines.keys() | passed.keys()
    return [
        job_status._replace(
            median_s=median_s.get(job_status.job.key),
            last_line=last_lines.get(job_status.job.key),
            passed=passed.get(job_status.job.key),
        )
        if job_status.job.key in detailed
        else job_status
        for job_status in jobs
    ]
