"""run: run a job now, as its schedule would."""

import argparse
import sys

from pycrond.cli.arguments import JOB
from pycrond.cli.daemon_requests import ask_daemon
from pycrond.cli.data.access import records
from pycrond.cli.data.output_lines import Stream
from pycrond.cli.follow import follow_run
from pycrond.cli.printing import print_error, print_line
from pycrond.cli.settings_layers import load_settings
from pycrond.cli.standard_streams import OutputError
from pycrond.errors import PycrondError
from pycrond.jobs.run import State
from pycrond.ledger.rows import RunRow
from pycrond.text import duration


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("job", metavar="JOB", help=JOB)
    about = "wait until it has ended, and exit with its status"
    parser.add_argument("--wait", action="store_true", help=about)
    parser.add_argument("--follow", action="store_true", help="print its output; waits too")


def run(options: argparse.Namespace) -> int:
    """Have the job started; with --wait or --follow, return its exit status."""
    settings = load_settings(options)
    answer = ask_daemon(settings, "run", job=options.job)
    name = f"run {answer['run']} of {answer['job']}"
    waits = options.wait or options.follow
    if answer["verdict"] == "skip":
        raise PycrondError(f"{name} is skipped: {answer['reason']}")
    verdict = f"waits: {answer['reason']}" if answer["verdict"] == "wait" else "started"
    try:
        print_line(f"{name} {verdict}", sys.stderr if waits else sys.stdout)
        sys.stdout.flush()
    except OutputError as error:
        error.add_note(f"{name} {verdict}")  # a caller that does not know starts it again
        raise
    if not waits:
        return 0
    read = records(settings)
    row = follow_run(read, answer["run"], Stream(read, answer["run"]) if options.follow else None)
    print_error(f"{name} {_describe_end(row)}")
    return _exit_status(row)


def _describe_end(row: RunRow) -> str:
    """Return `succeeded in 1.2 s`, `failed, exit status 3, in 0.1 s`, `skipped: overlap: …`."""
    text = row.state
    if row.exit_status:
        text += f", exit status {row.exit_status}"
    if row.signal is not None:
        text += f", signal {row.signal}"
    if row.duration_s is not None:
        text += f"{' in' if text == row.state else ', in'} {duration(row.duration_s)}"
    return f"{text}: {row.reason}".removesuffix(": ")


def _exit_status(row: RunRow) -> int:
    """Return the run's status as a shell does; 1 without one, or if the run failed with status 0."""
    if row.signal is not None:
        return 128 + row.signal
    if row.exit_status is None:
        return 1
    return row.exit_status or int(row.state != State.SUCCEEDED)
