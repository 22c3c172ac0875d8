"""Arguments that several commands share, and the types of their values."""

import argparse
import sys
from collections.abc import Callable
from typing import NoReturn

from pycrond.jobs.option_values import positive_duration

MAX_FIRES = 100_000
MAX_SECONDS = 999_999_999
JOB = "a job's name, the beginning of its key, or file:line"


class _PrintSchema(argparse.Action):
    """Prints the JSON Schema of a command's document and exits, as --help does."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from pycrond.cli.json_schema import json_schema
        from pycrond.cli.printing import print_json

        print_json(json_schema(self.const))
        parser.exit()


def add_json(parser: argparse.ArgumentParser, document: type) -> None:
    """Add --json, which prints a document of this type, and --json-schema."""
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    about = "print the JSON Schema of that document"
    parser.add_argument("--json-schema", action=_PrintSchema, nargs=0, const=document, help=about)


def add_fire_times(parser: argparse.ArgumentParser, *, until: str, count: str) -> None:
    """Add --from, --until and --count, which limit coming fire times."""
    parser.add_argument("--from", dest="since", metavar="TIME", help="from this time on (now)")
    parser.add_argument("--until", metavar="TIME", help=until)
    parser.add_argument("--count", type=fire_count, metavar="N", help=count)


def add_period(parser: argparse.ArgumentParser) -> None:
    """Add --since and --until, which limit runs."""
    about = "runs that ended at this time or later, or still run, such as 02:00, 'yesterday 22:00', 2h (ago)"
    parser.add_argument("--since", metavar="TIME", help=about)
    parser.add_argument("--until", metavar="TIME", help="runs that were due before this time")


def add_cluster(parser: argparse.ArgumentParser, about: str) -> None:
    """Add --cluster, stored as `of_cluster`: `cluster` is a setting."""
    parser.add_argument("--cluster", dest="of_cluster", action="store_true", help=about)


def add_zone(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tz", metavar="ZONE", help="as if the daemon ran in this time zone")


def not_empty(text: str) -> str:
    """The type of a text: an empty one, as of a variable that is not set, would select too much."""
    if not text:
        raise argparse.ArgumentTypeError("the value is empty")
    return text


def positive_count(text: str) -> int:
    """Parse a whole number from 1, as the `type` of an argument."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from 1")
    return min(number, sys.maxsize)  # nothing has so many rows


def count_up_to(last: int) -> Callable[[str], int]:
    """Return a parser of whole numbers from 1 to `last`, as the `type` of an argument."""

    def read(text: str) -> int:
        number = positive_count(text)
        if number > last:
            raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from 1 to {last}")
        return number

    return read


fire_count = count_up_to(MAX_FIRES)
"""Parses a number of fire times, which are all computed in memory."""


def seconds(first: float = 0.0, last: float = MAX_SECONDS) -> Callable[[str], float]:
    """Return a parser of numbers of seconds from `first` to `last`, as the `type` of an argument."""

    def read(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = -1.0
        if not first <= number <= last:
            allowed = f"a number of seconds from {first:g} to {last:.0f}"
            raise argparse.ArgumentTypeError(f"'{text}' is not {allowed}")
        return number

    return read


def duration(text: str) -> float:
    """Parse a length of time such as 90s or 2h into seconds, as the `type` of an argument."""
    try:
        return positive_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"'{text}': {error} is expected") from error
