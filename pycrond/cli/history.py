"""history: what ran."""

import argparse
import json
from collections.abc import Sequence

from pycrond import past, views
from pycrond.cli import screen, words
from pycrond.cli.configuration import configured
from pycrond.cli.records import Records, records
from pycrond.rows import BAD_ENDS, RunRow, Which
from pycrond.tables import lay_out

FEW = 20  # shown where nothing says how many


def history(wanted: argparse.Namespace) -> int:
    """Runs, newest first."""
    read = records(configured(wanted))
    keys = words.jobs_meant(read, wanted.job)
    which = Which(wanted.state, *words.span(wanted))
    runs = read.history(keys, wanted.limit or (FEW if which.since is None else -1), None, which)
    if wanted.json:
        print(json.dumps({"runs": [views.run_json(run) for run in runs]}))
        return 0
    if not runs:
        print("no runs")
        return 0
    commands = {job.key: job.command for job in read.jobs()}
    medians = read.medians([*{run.key for run in runs}])
    columns = past.columns(runs, screen.here(), commands, medians, _last_lines(read, runs))
    screen.show(lay_out(columns, screen.width()))
    return 0


def _last_lines(read: Records, runs: Sequence[RunRow]) -> dict[int, str]:
    """What those said last that did not end well."""
    ends = read.ends([run.id for run in runs if run.state in BAD_ENDS and run.started_at])
    lines = ((run, views.last_line(data)) for run, data in ends.items())
    return {run: line for run, line in lines if line}
