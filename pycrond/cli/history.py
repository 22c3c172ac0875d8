"""history: what ran."""

import argparse
import json

from pycrond import past, views
from pycrond.cli import screen, words
from pycrond.cli.configuration import configured
from pycrond.cli.records import records
from pycrond.rows import Which
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
    screen.show(lay_out(past.columns(runs, screen.here(), commands, medians), screen.width()))
    return 0
