"""history: what ran."""

import argparse
import json
from collections.abc import Sequence

from pycrond.cli import selectors
from pycrond.cli.data.access import records
from pycrond.cli.render import formatting, run_table, terminal
from pycrond.cli.render.table import lay_out
from pycrond.cli.settings_layers import configured
from pycrond.control.records import Records
from pycrond.ledger import rows
from pycrond.ledger.rows import BAD_ENDS, RunFilter, RunRow

FEW = 20  # shown where nothing says how many


def history(wanted: argparse.Namespace) -> int:
    """Runs, newest first."""
    read = records(configured(wanted))
    keys = selectors.jobs_meant(read, wanted.job)
    which = RunFilter(wanted.state, *selectors.span(wanted))
    runs = read.history(keys, wanted.limit or (FEW if which.since is None else -1), *which)
    if wanted.json:
        print(json.dumps({"runs": [rows.run_json(run) for run in runs]}))
        return 0
    if not runs:
        print("no runs")
        return 0
    commands = {job.key: job.command for job in read.jobs()}
    medians = read.medians([*{run.key for run in runs}])
    columns = run_table.columns(runs, terminal.here(), commands, medians, _last_lines(read, runs))
    terminal.show(lay_out(columns, terminal.width()))
    return 0


def _last_lines(read: Records, runs: Sequence[RunRow]) -> dict[int, str]:
    """What those said last that did not end well."""
    ends = read.ends([run.id for run in runs if run.state in BAD_ENDS and run.started_at])
    lines = ((run, formatting.last_line(data)) for run, data in ends.items())
    return {run: line for run, line in lines if line}
