"""resume: let paused jobs start again."""

import argparse

from pycrond.cli.arguments import JOB
from pycrond.cli.daemon_requests import ask_daemon
from pycrond.cli.printing import print_error, print_line
from pycrond.cli.settings_layers import load_settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("jobs", nargs="+", metavar="JOB", help=JOB)


def run(options: argparse.Namespace) -> int:
    answer = ask_daemon(load_settings(options), "resume", jobs=options.jobs)
    for job in answer["jobs"]:
        print_line(f"{job} is resumed")
    for job in answer["other_jobs"]:
        print_error(f"{job} was not paused")
    return 0
