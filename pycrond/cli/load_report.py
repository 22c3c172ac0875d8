"""The report about loaded jobs and problems after a start, a restart or a reload."""

from collections.abc import Iterable

from pycrond import clock
from pycrond.cli.next_fire import next_fire
from pycrond.cli.printing import print_line, print_problems
from pycrond.cli.render import formatting, terminal
from pycrond.ledger.reader import Reader
from pycrond.ledger.rows import JobRow
from pycrond.settings import Settings
from pycrond.text import counted


def print_load_report(
    settings: Settings, event: str, *, files: int | None = None, crontabs: str = ""
) -> None:
    """Print the event, the number of jobs and the next fire time, then the problems on standard error.

    `files` is the number of loaded files; None: the number of files with jobs. `crontabs` describes the
    crontab directories and their origins.
    """
    reader = Reader(settings.state_dir)
    jobs = reader.jobs()
    if files is None:
        files = len({job.file for job in jobs})
    print_line(f"{event}: {jobs_from_files(len(jobs), files)}; {_next_fire(jobs)}")
    if crontabs:
        print_line(f"crontabs: {crontabs}")
    print_problems(reader.problems())


def _next_fire(jobs: Iterable[JobRow]) -> str:
    """Return the next due job and its fire time, as `next: backup at 02:30, in 5 m`."""
    now = clock.now()
    due = ((at, job) for job in jobs if (at := next_fire(job, now)))
    at, job = min(due, key=lambda pair: pair[0], default=(None, None))
    if at is None or job is None:
        return "no job has a next fire time"
    wait = formatting.distance((at - now).total_seconds())
    return f"next: {job.title} at {formatting.moment(at, terminal.here(now))}, in {wait}"


def jobs_from_files(jobs: int, files: int) -> str:
    """Return `3 jobs from 2 files`."""
    return f"{counted(jobs, 'job')} from {counted(files, 'file')}"
