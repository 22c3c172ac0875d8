"""logs: show the output of jobs, with --follow also the output to come."""

import argparse
from collections.abc import Sequence

from pycrond.cli import selectors
from pycrond.cli.arguments import add_period, positive_count
from pycrond.cli.data.access import records
from pycrond.cli.data.output_lines import Stream, tail
from pycrond.cli.follow import Follower
from pycrond.cli.printing import print_output
from pycrond.cli.render import formatting, terminal
from pycrond.cli.settings_layers import load_settings
from pycrond.control.records import Records
from pycrond.errors import PycrondError
from pycrond.jobs.run import OPEN
from pycrond.ledger.rows import RunRow

RUNS_SEARCHED = 10_000  # newest runs whose output is looked at
LINES = 100  # printed unless options say how many
RUN_NUMBER_DIGITS_MOST = 18


def add_arguments(parser: argparse.ArgumentParser) -> None:
    about = "a job, a pattern of names, or a run's number"
    parser.add_argument("selected", nargs="?", metavar="JOB|RUN", help=about)
    about = "continue with the output to come, until interrupted"
    parser.add_argument("-f", "--follow", action="store_true", help=about)
    about = "print at most this many lines (100; all with --since)"
    parser.add_argument("--lines", type=positive_count, metavar="N", help=about)
    add_period(parser)


def run(options: argparse.Namespace) -> int:
    """Print the newest lines, oldest first, each with the time and name of its run."""
    if options.follow and options.until is not None:
        raise PycrondError("--follow has no end: use it without --until")
    read = records(load_settings(options))
    keys, number = _select(read, options.selected)
    since, until = selectors.period(options)
    # Before the lines are read, so that a run that starts meanwhile is followed from its first byte.
    newest = max((row.id for row in read.history(None, 1)), default=0)
    prefix = LinePrefix()
    if number:
        rows = [row for row in read.runs([number]) if _is_in_period(row, since, until)]
    else:
        rows = read.history(keys, RUNS_SEARCHED, (), since, until)
    runs = sorted(rows, key=lambda row: (row.started_at or row.fire, row.id))
    if options.lines is None and since is not None:
        offsets = {row.id: _print_all(read, prefix, row, follow=options.follow) for row in runs}
    else:
        offsets = _print_last(read, prefix, runs, options.lines or LINES, follow=options.follow)
    if options.follow:
        Follower(read, prefix, keys=keys, run=number).follow(offsets, newest)
    return 0


def _is_in_period(row: RunRow, since: float | None, until: float | None) -> bool:
    """Return whether `history` would show a run of this period (Unix seconds)."""
    end = row.until or row.ended_at or (float("inf") if row.state in OPEN else row.fire)
    return (since is None or end >= since) and (until is None or row.fire < until)


def _select(read: Records, word: str | None) -> tuple[list[str] | None, int | None]:
    """Return the keys of the jobs or the number of the run that a word means."""
    if word and word.isdecimal() and len(word) <= RUN_NUMBER_DIGITS_MOST:
        number = int(word)
        if read.runs([number]):
            return None, number
    return selectors.find_jobs(read, word), None


class LinePrefix:
    """The head of the lines of a run: its time and job."""

    def __init__(self) -> None:
        self._now = terminal.here()

    def __call__(self, run: RunRow) -> str:
        return formatting.log_head(run, self._now).rstrip(" ")


def _print_last(
    read: Records, prefix: LinePrefix, runs: Sequence[RunRow], most: int, *, follow: bool
) -> dict[int, int]:
    """Print the last lines of runs, the oldest first, and return by run the offset where they end."""
    newest_first: list[tuple[str, str]] = []
    offsets = {}
    for row in reversed(runs):
        missing = most - len(newest_first)
        if missing <= 0:
            break
        lines, offsets[row.id] = tail(read, row.id, missing, whole=follow and row.state in OPEN)
        newest_first += [(line, prefix(row)) for line in reversed(lines)]
    paint = terminal.painter()
    for line, head in reversed(newest_first):
        print_output(line, head, paint)
    return offsets


def _print_all(read: Records, prefix: LinePrefix, row: RunRow, *, follow: bool) -> int:
    """Print the output that is kept of a run, and return the offset where it ends."""
    stream = Stream(read, row.id, read.kept(row.id)[0], prefix(row))
    paint = terminal.painter()
    for line in stream.lines(to_the_end=not (follow and row.state in OPEN)):
        print_output(line, stream.head, paint)
    return stream.offset
