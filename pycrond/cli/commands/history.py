"""history: list runs, the newest first."""

import argparse
from collections.abc import Sequence

from pycrond.cli import selectors
from pycrond.cli.arguments import add_json, add_period, positive_count
from pycrond.cli.data.access import records
from pycrond.cli.printing import print_json, print_line
from pycrond.cli.render import formatting, run_table, terminal
from pycrond.cli.render.table import lay_out
from pycrond.cli.settings_layers import load_settings
from pycrond.control.records import Records
from pycrond.ledger import rows
from pycrond.ledger.rows import BAD_ENDS, RunRow

RUNS = 20  # shown unless options say how many


def add_arguments(parser: argparse.ArgumentParser) -> None:
    about = "a job's name, the beginning of its key, file:line, or a pattern such as 'backup*'"
    parser.add_argument("job", nargs="?", metavar="JOB", help=about)
    about = "runs in these states, separated by commas; failed: any bad end"
    parser.add_argument("--state", type=selectors.states, default=(), metavar="STATE", help=about)
    about = "show at most this many runs (20; all with --since)"
    parser.add_argument("--limit", type=positive_count, metavar="N", help=about)
    add_period(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    read = records(load_settings(options))
    keys = selectors.find_jobs(read, options.job)
    since, until = selectors.period(options)
    most = options.limit or (RUNS if since is None else -1)
    runs = read.history(keys, most, options.state, since, until)
    if options.json:
        print_json({"runs": [rows.run_json(row) for row in runs]})
        return 0
    if not runs:
        print_line("no runs")
        return 0
    medians = read.medians([*{row.key for row in runs}])
    columns = run_table.columns(runs, terminal.here(), medians, _last_lines(read, runs))
    terminal.show(lay_out(columns, terminal.width()))
    return 0


def _last_lines(read: Records, runs: Sequence[RunRow]) -> dict[int, str]:
    """Return the last lines of output of the runs with a bad end."""
    ends = read.ends([row.id for row in runs if row.state in BAD_ENDS and row.started_at])
    lines = ((run, formatting.last_line(data)) for run, data in ends.items())
    return {run: line for run, line in lines if line}
