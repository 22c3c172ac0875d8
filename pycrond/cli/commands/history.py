"""history: list runs, the newest first."""

import argparse
from collections.abc import Callable, Sequence

from pycrond.cli import selectors
from pycrond.cli.arguments import add_cluster, add_json, add_period, positive_count
from pycrond.cli.data.access import records
from pycrond.cli.documents.lists import HistoryDocument
from pycrond.cli.printing import print_json, print_line
from pycrond.cli.render import formatting, run_table, terminal
from pycrond.cli.settings_layers import load_settings
from pycrond.control.records import Records
from pycrond.jobs.run import BAD_ENDS
from pycrond.ledger.rows import RunRow

RUNS = 20  # lines shown by default
RUNS_READ_FIRST, RUNS_READ, RUNS_READ_FACTOR = 500, 20_000, 6
"""The number of runs that are read first, the maximum, and the factor by which it grows."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    about = "a job's name, the beginning of its key, file:line, or a pattern such as 'backup*'"
    parser.add_argument("job", nargs="?", metavar="JOB", help=about)
    about = "runs in these states, separated by commas; failed: any bad end"
    parser.add_argument("--state", type=selectors.states, default=(), metavar="STATE", help=about)
    about = "show each run, not one line for a series of runs that ended equally"
    parser.add_argument("--all", action="store_true", help=about)
    about = "show at most this many lines, with --json runs (20; all with --since)"
    parser.add_argument("--limit", type=positive_count, metavar="N", help=about)
    add_period(parser)
    add_cluster(parser, "fires of shared jobs on all nodes, from the cluster's database")
    add_json(parser, HistoryDocument)


def run(options: argparse.Namespace) -> int:
    settings = load_settings(options)
    most = options.limit or (RUNS if options.since is None else -1)
    if options.of_cluster:
        from pycrond.cli.cluster import claim_history

        return claim_history.run(settings, options, most)
    read = records(settings)
    keys = selectors.find_jobs(read, options.job)
    since, until = selectors.period(options)

    def newest(limit: int) -> Sequence[RunRow]:
        return read.history(keys, limit, options.state, since, until)

    if options.json:
        document: HistoryDocument = {"runs": [run_table.run_document(row) for row in newest(most)]}
        print_json(document)
        return 0
    runs = newest(most) if options.all else _series(newest, most)
    if not runs:
        print_line("no runs")
        return 0
    medians = read.medians([*{row.key for row in runs}])
    columns = run_table.columns(runs, terminal.here(), medians, _last_lines(read, runs))
    terminal.show(run_table.lay_out(columns, terminal.width()))
    return 0


def _series(newest: Callable[[int], Sequence[RunRow]], most: int) -> Sequence[RunRow]:
    """Return at most `most` rows, all if it is negative: one for each series of runs that ended equally."""
    limit = RUNS_READ_FIRST if most >= 0 else -1
    while True:
        runs = newest(limit)
        groups = run_table.grouped(runs)
        if limit < 0 or len(groups) > most or len(runs) < limit or limit >= RUNS_READ:
            return groups if limit < 0 else groups[:most]
        limit = min(RUNS_READ, limit * RUNS_READ_FACTOR)


def _last_lines(read: Records, runs: Sequence[RunRow]) -> dict[int, str]:
    """Return the last lines of output of the runs with a bad end."""
    ends = read.ends([row.id for row in runs if row.state in BAD_ENDS and row.started_at])
    lines = ((run, formatting.last_line(data)) for run, data in ends.items())
    return {run: line for run, line in lines if line}
