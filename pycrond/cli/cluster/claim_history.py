"""history --cluster: the claims of the cluster as a table of runs."""

import argparse
from typing import TYPE_CHECKING

from pycrond.cli import selectors
from pycrond.cli.cluster.access import cluster_reader
from pycrond.cli.cluster.claim_rows import as_run, claim_document
from pycrond.cli.cluster.job_words import find_jobs
from pycrond.cli.printing import print_json, print_line
from pycrond.cli.render import run_table, terminal
from pycrond.cli.render.formatting import Cell
from pycrond.cli.render.table import TableColumn
from pycrond.settings import Settings

if TYPE_CHECKING:
    from pycrond.cli.documents.lists import HistoryDocument


def run(settings: Settings, options: argparse.Namespace, limit: int) -> int:
    """Print the newest claims, or all with a negative limit: one row for each, because each has its node."""
    since, until = selectors.period(options)
    with cluster_reader(settings) as cluster:
        claims = cluster.claims(
            limit,
            jobs=find_jobs(settings, cluster, options.job),
            states=[*options.state] or None,
            since=since,
            until=until,
        )
    if options.json:
        document: HistoryDocument = {"runs": [claim_document(claim) for claim in claims]}
        print_json(document)
        return 0
    if not claims:
        print_line("no runs")
        return 0
    runs = [as_run(claim) for claim in claims]
    _, *columns = run_table.columns(runs, terminal.here(), {}, {})
    numbers = [Cell(str(claim.number) if claim.number else "", "dim") for claim in claims]
    nodes = [Cell(claim.node) for claim in claims]
    columns[:0] = [TableColumn("RUN", numbers, right=True), TableColumn("NODE", nodes, least=16)]
    terminal.show(run_table.lay_out(columns, terminal.width()))
    return 0
