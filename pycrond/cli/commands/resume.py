"""resume: have paused jobs start again."""

import argparse
import sys

from pycrond.cli.arguments import JOB
from pycrond.cli.settings_layers import load_settings
from pycrond.control.client import ask


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("jobs", nargs="+", metavar="JOB", help=JOB)


def run(options: argparse.Namespace) -> int:
    request = {"command": "resume", "jobs": options.jobs}
    answer = ask(load_settings(options).control_socket, request)
    for key in answer["keys"]:
        print(f"{key} is resumed")
    for key in answer["others"]:
        print(f"{key} was not paused", file=sys.stderr)
    return 0
