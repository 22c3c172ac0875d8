"""The report of what a daemon has loaded, after a start, a restart or a reload."""

import sys

from pycrond.cli.next_fire import describe_next_fire
from pycrond.cli.printing import print_line, print_problems
from pycrond.ledger.reader import Reader
from pycrond.settings import Settings
from pycrond.text import counted


def print_load_report(
    settings: Settings, event: str, *, files: int | None = None, crontabs: str = ""
) -> None:
    """Print the event, the number of jobs and the next fire time, then the problems on standard error.

    `files`: how many files were loaded, if that is known better than from the jobs. `crontabs`: the
    directories that are read, and why.
    """
    reader = Reader(settings.state_dir)
    jobs = reader.jobs()
    if files is None:
        files = len({job.file for job in jobs})
    print_line(f"{event}: {jobs_from_files(len(jobs), files)}; {describe_next_fire(jobs)}")
    if crontabs:
        print_line(f"crontabs: {crontabs}")
    print_problems(reader.problems(), sys.stderr)


def jobs_from_files(jobs: int, files: int) -> str:
    """Return `3 jobs from 2 files`."""
    return f"{counted(jobs, 'job')} from {counted(files, 'file')}"
