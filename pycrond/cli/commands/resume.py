"""resume: have paused jobs start again."""

import argparse
import sys

from pycrond.cli.arguments import JOB
from pycrond.cli.daemon_requests import ask_daemon
from pycrond.cli.settings_layers import load_settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("jobs", nargs="+", metavar="JOB", help=JOB)


def run(options: argparse.Namespace) -> int:
    answer = ask_daemon(load_settings(options), "resume", jobs=options.jobs)
    for key in answer["keys"]:
        print(f"{key} is resumed")
    for key in answer["others"]:
        print(f"{key} was not paused", file=sys.stderr)
    return 0
