"""pause: suspend the starts of jobs for a while."""

import argparse

from pycrond import clock
from pycrond.cli.arguments import JOB, duration
from pycrond.cli.daemon_requests import ask_daemon
from pycrond.cli.printing import print_line
from pycrond.cli.render import formatting
from pycrond.cli.settings_layers import load_settings

DURATION = 3600  # seconds, by default


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("jobs", nargs="+", metavar="JOB", help=JOB)
    length = parser.add_mutually_exclusive_group()
    about = "how long, such as 90s, 5m, 2h, 1d; 30d at most (1h)"
    length.add_argument(
        "--for", dest="duration", type=duration, default=DURATION, metavar="DURATION", help=about
    )
    length.add_argument("--forever", action="store_true", help="until they are resumed")
    about = "shown by list and history"
    parser.add_argument("--reason", type=str, default="", metavar="TEXT", help=about)


def run(options: argparse.Namespace) -> int:
    settings = load_settings(options)
    seconds = None if options.forever else options.duration
    answer = ask_daemon(settings, "pause", jobs=options.jobs, seconds=seconds, reason=options.reason)
    end = "it is resumed"
    if answer["until"] is not None:
        end = formatting.moment(clock.at(answer["until"]), clock.now().astimezone())
    for job in answer["jobs"]:
        print_line(f"{job} is paused until {end}")
    return 0
