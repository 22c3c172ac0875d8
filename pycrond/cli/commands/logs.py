"""logs: show the output of jobs, with --follow also the output to come."""

import argparse
from collections import deque
from collections.abc import Sequence
from functools import lru_cache

from pycrond.cli import selectors
from pycrond.cli.arguments import add_cluster, add_period, positive_count
from pycrond.cli.data.access import records
from pycrond.cli.data.output_lines import Line, Stream, interleaved, tail
from pycrond.cli.follow import Follower, ShowLine
from pycrond.cli.printing import print_output
from pycrond.cli.render import formatting, terminal
from pycrond.cli.settings_layers import load_settings
from pycrond.control.records import Records
from pycrond.errors import PycrondError
from pycrond.jobs.run import OPEN
from pycrond.ledger.rows import RunRow
from pycrond.output.line_times import STDERR, STDOUT

RUNS_SEARCHED = 10_000  # newest runs whose output is read
LINES = 100  # printed by default
MAX_RUN_NUMBER_DIGITS = 18
MAX_CACHED_HEADS = 10_000  # heads of lines


def add_arguments(parser: argparse.ArgumentParser) -> None:
    about = "only these: jobs, patterns of names, numbers of runs"
    parser.add_argument("selected", nargs="*", metavar="JOB|RUN", help=about)
    about = "continue with the output to come, until interrupted"
    parser.add_argument("-f", "--follow", action="store_true", help=about)
    about = "print at most this many lines (100; all with --since)"
    parser.add_argument("--lines", type=positive_count, metavar="N", help=about)
    about = "of jobs with log=split only the lines of this stream"
    parser.add_argument("--stream", choices=[STDOUT, STDERR], help=about)
    add_period(parser)
    about = "output that other nodes have copied to the cluster's database; runs such as 12@web1"
    add_cluster(parser, about)


def run(options: argparse.Namespace) -> int:
    """Print the newest lines, the oldest of them first, each with the time of its reading and its job."""
    if options.follow and options.until is not None:
        raise PycrondError("--follow has no end: use it without --until")
    settings = load_settings(options)
    if options.of_cluster:
        from pycrond.cli.cluster import run_output

        return run_output.run(settings, options, options.lines or (LINES if options.since is None else None))
    read = records(settings)
    keys, numbers = _select(read, options.selected)
    since, until = selectors.period(options)
    # Read before the lines: a run that starts meanwhile is followed from its first byte.
    newest = max((row.id for row in read.history(None, 1)), default=0)
    show = _line_printer()
    rows = [row for row in read.runs(numbers) if _is_in_period(row, since, until)]
    if keys or keys is None:
        rows += read.history(keys, RUNS_SEARCHED, (), since, until)
    runs = sorted({row.id: row for row in rows}.values(), key=lambda row: (_start(row), row.id))
    follow, only = options.follow, options.stream or ""
    if options.lines is None and since is not None:
        offsets = _print_all(read, show, runs, only, follow=follow)
    else:
        offsets = _print_last(read, show, runs, options.lines or LINES, only, follow=follow)
    if follow:
        Follower(read, show, keys=keys, runs=numbers, only=only).follow(offsets, newest)
    return 0


def _is_in_period(row: RunRow, since: float | None, until: float | None) -> bool:
    """Return whether `history` would show a run of this period (Unix seconds)."""
    end = row.until or row.ended_at or (float("inf") if row.state in OPEN else row.fire)
    return (since is None or end >= since) and (until is None or row.fire < until)


def _start(row: RunRow) -> float:
    return row.started_at or row.fire


def _select(read: Records, words: Sequence[str]) -> tuple[list[str] | None, list[int]]:
    """Return the keys of the selected jobs, None for all jobs, and the numbers of the selected runs."""
    candidates = {
        word: int(word) for word in words if word.isdecimal() and len(word) <= MAX_RUN_NUMBER_DIGITS
    }
    known = {row.id for row in read.runs([*candidates.values()])} if candidates else set()
    numbers = {word: number for word, number in candidates.items() if number in known}
    keys = [key for word in words if word not in numbers for key in selectors.find_jobs(read, word) or ()]
    return keys if words else None, [*numbers.values()]


def _line_printer() -> ShowLine:
    """Return the function that prints a line after its head: the time at which it was read, and the job."""
    now, paint = terminal.here(), terminal.painter()

    @lru_cache(maxsize=MAX_CACHED_HEADS)
    def head(run: RunRow, second: int) -> str:
        return formatting.log_head(run, second, now).rstrip(" ")

    return lambda run, line: print_output(line.text, head(run, int(line.at)), paint)


def _print_last(
    read: Records, show: ShowLine, runs: Sequence[RunRow], most: int, only: str, *, follow: bool
) -> dict[int, int]:
    """Print the last lines of all runs together, by time; return the offset behind them for each run."""
    sources: list[tuple[RunRow, list[Line]]] = []
    newest: list[float] = []  # the times of the newest lines, at most `most`
    offsets = {}
    for row in sorted(runs, key=_end, reverse=True):
        if len(newest) == most and _end(row) < newest[0]:
            break
        lines, offsets[row.id] = tail(read, row.id, most, complete=follow and row.state in OPEN, only=only)
        sources.append((row, lines))
        newest = sorted([*newest, *(line.at for line in lines)])[-most:]
    sources.sort(key=lambda source: (_start(source[0]), source[0].id))
    merged = interleaved((0.0, row, iter(lines)) for row, lines in sources)
    for row, line in deque(merged, most):
        show(row, line)
    return offsets


def _end(row: RunRow) -> float:
    return float("inf") if row.state in OPEN else row.ended_at or row.fire


def _print_all(
    read: Records, show: ShowLine, runs: Sequence[RunRow], only: str, *, follow: bool
) -> dict[int, int]:
    """Print all kept output of the runs by time; return the offset of its end for each run."""
    streams = {row.id: Stream(read, row.id, read.kept(row.id)[0], only) for row in runs}
    sources = (
        (_start(row), row, streams[row.id].lines(to_the_end=not (follow and row.state in OPEN)))
        for row in runs
    )
    for row, line in interleaved(sources):
        show(row, line)
    return {run: stream.offset for run, stream in streams.items()}
