"""metrics: print figures for Prometheus, or write them for the text-file collector of its node_exporter."""

import argparse

from pycrond.cli.arguments import positive_count
from pycrond.cli.printing import write_document
from pycrond.cli.settings_layers import load_settings

MAX_JOBS = 1000  # with series of their own
MODE = 0o644  # of the file: node_exporter runs as another user


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", metavar="FILE", default="-", help="write to this file, which is replaced")
    about = f"at most N named jobs have series of their own ({MAX_JOBS}); the other jobs share one"
    parser.add_argument("--max-jobs", type=positive_count, default=MAX_JOBS, metavar="N", help=about)


def run(options: argparse.Namespace) -> int:
    """Print or write the metrics, also where no daemon runs."""
    from prometheus_client import generate_latest

    from pycrond.cli.metric_facts import read_facts
    from pycrond.cli.metric_families import Collector

    facts = read_facts(load_settings(options))
    metrics = generate_latest(Collector(facts, options.max_jobs))
    write_document(options.output, metrics.decode(), MODE)
    return 0
