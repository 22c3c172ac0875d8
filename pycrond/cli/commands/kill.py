"""kill: end a run, or all runs of a job."""

import argparse

from pycrond.cli.daemon_requests import ask_daemon
from pycrond.cli.printing import print_line
from pycrond.cli.settings_layers import load_settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("selected", metavar="RUN|JOB", help="a run's number, or a job")
    about = "send only this signal, by name or number (TERM, and after the grace time KILL)"
    parser.add_argument("--signal", metavar="S", help=about)


def run(options: argparse.Namespace) -> int:
    settings = load_settings(options)
    answer = ask_daemon(settings, "kill", what=options.selected, signal=options.signal)
    action = "gets the signal" if options.signal else "is being ended"
    for row in answer["runs"]:
        done = "waited, and is withdrawn" if row["waited"] else action
        print_line(f"run {row['run']} of {row.get('job', row['key'])} {done}")
    return 0
