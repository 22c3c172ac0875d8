"""kill: end a run, or all runs of a job."""

import argparse

from pycrond.cli.daemon_requests import ask_daemon
from pycrond.cli.data.access import records
from pycrond.cli.printing import print_line
from pycrond.cli.selectors import find_job
from pycrond.cli.settings_layers import load_settings
from pycrond.errors import NotRunningError, PycrondError
from pycrond.jobs.run import State
from pycrond.settings import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("selected", metavar="RUN|JOB", help="a run's number, or a job")
    about = "send only this signal, by name or number (TERM, and after the grace time KILL)"
    parser.add_argument("--signal", metavar="S", help=about)


def run(options: argparse.Namespace) -> int:
    settings = load_settings(options)
    try:
        answer = ask_daemon(settings, "kill", what=options.selected, signal=options.signal)
    except NotRunningError as error:
        raise NotRunningError(_kill_command(settings, options.selected) or str(error)) from error
    action = "gets the signal" if options.signal else "is being ended"
    for row in answer["runs"]:
        done = "waited, and is withdrawn" if row["waited"] else action
        print_line(f"run {row['run']} of {row['job']} {done}")
    return 0


def _kill_command(settings: Settings, word: str) -> str:
    """Return a message with the kill(1) command for the selected runs; empty if none of them still runs."""
    try:
        read = records(settings)
        keys = [] if word.isdecimal() else [find_job(read, word)]
        running = [run for run in read.unfinished() if run.state == State.RUNNING]
    except PycrondError:
        return ""
    groups = [f"-{run.pid}" for run in running if run.key in keys or str(run.id) == word]
    return f"pycrond is not running; end the process by: kill -- {' '.join(groups)}" if groups else ""
