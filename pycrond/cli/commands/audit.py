"""audit: check that every fire time has its verdict in the ledger."""

import argparse
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pycrond import clock
from pycrond.cli.arguments import add_cluster, add_json
from pycrond.cli.documents.reports import AuditDocument
from pycrond.cli.printing import print_json, print_line
from pycrond.cli.settings_layers import load_settings
from pycrond.cli.time_input import moment
from pycrond.errors import PycrondError
from pycrond.host import machine
from pycrond.ledger import audit
from pycrond.ledger.audit import Audit
from pycrond.ledger.reader import Reader
from pycrond.scheduler import checkpoint
from pycrond.text import counted, rfc3339

if TYPE_CHECKING:
    from pycrond.cluster.audit import ClusterAudit

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--since", metavar="TIME", help="only fire times after this time")
    add_cluster(parser, "shared jobs: each fire has one row in the cluster's database")
    about = "with --cluster: a copy of another node's ledger, to find fires that started twice"
    parser.add_argument("--ledger", action="append", default=[], metavar="FILE", help=about)
    add_json(parser, AuditDocument)


def run(options: argparse.Namespace) -> int:
    """Compare fire times with the ledger or, for shared jobs, with the database; return 1 if they differ."""
    settings = load_settings(options)
    if options.ledger and not options.of_cluster:
        raise PycrondError("--ledger belongs to --cluster")
    reader = Reader(settings.state_dir)
    until = checkpoint.read_checkpoint(settings.checkpoint_path).at
    if until is None:
        raise PycrondError(f"no daemon has run with {settings.state_dir} yet: there is nothing to audit")
    since = moment(options.since, clock.now(), machine.local_zone()).at if options.since else EPOCH
    result: Audit | ClusterAudit
    if options.of_cluster:
        from pycrond.cli.cluster.cluster_audit import read_and_compare

        result, since = read_and_compare(settings, reader, since, until, options.ledger)
    else:
        history = (reader.versions(), reader.verdicts(), reader.steps())
        result = audit.audit(*history, since=since, until=until, zone=machine.load_zone)
    labels = reader.labels() if result.findings else {}
    if options.json:
        print_json(_document(result, labels, since, until))
    else:
        for line in _lines(result, labels, since, until):
            print_line(line)
    return 1 if result.findings else 0


def _document(
    result: "Audit | ClusterAudit", labels: Mapping[str, str], since: datetime, until: datetime
) -> AuditDocument:
    document: AuditDocument = {
        "from": None if since == EPOCH else rfc3339(since.timestamp()),
        "until": rfc3339(until.timestamp()),
        "jobs": result.jobs,
        "fires": result.fires,
        "findings": [
            {
                "key": finding.key,
                "display_name": labels.get(finding.key),
                "fire": rfc3339(finding.at),
                "what": finding.what,
            }
            for finding in result.findings
        ],
    }
    if not isinstance(result, Audit):
        document["unproven"] = [{"node": row.node, "since": rfc3339(row.since)} for row in result.unproven]
    return document


def _lines(
    result: "Audit | ClusterAudit", labels: Mapping[str, str], since: datetime, until: datetime
) -> Iterator[str]:
    """Yield the findings, the nodes that could not be audited, and the numbers of fire times and jobs."""
    for finding in result.findings:
        yield f"{rfc3339(finding.at)}  {labels.get(finding.key, finding.key)}  {finding.what}"
    noun, span = "job", ""
    if not isinstance(result, Audit):
        from pycrond.cluster.audit import unproven_sentence

        yield from map(unproven_sentence, result.unproven)
        noun, span = "shared job", f"from {since.astimezone():%F %H:%M} "
    verdict = f"{len(result.findings)} not as it should be" if result.findings else "all accounted for"
    audited = f"{counted(result.fires, 'fire time')} of {counted(result.jobs, noun)}"
    yield f"{audited} {span}until {until.astimezone():%F %H:%M}: {verdict}"
