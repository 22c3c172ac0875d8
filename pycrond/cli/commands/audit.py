"""audit: check that every fire time has its verdict in the ledger."""

import argparse
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from pycrond import clock
from pycrond.cli.arguments import add_cluster, add_json
from pycrond.cli.documents.reports import AuditDocument, AuditFindingDocument
from pycrond.cli.printing import print_json, print_line
from pycrond.cli.settings_layers import load_settings
from pycrond.cli.time_input import moment
from pycrond.errors import PycrondError
from pycrond.host import machine
from pycrond.ledger import audit
from pycrond.ledger.audit import Unaccounted
from pycrond.ledger.reader import Reader
from pycrond.scheduler import checkpoint
from pycrond.settings import Settings
from pycrond.text import counted, rfc3339

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--since", metavar="TIME", help="only fire times after this time")
    add_cluster(parser, "shared jobs: each fire has one row in the cluster's database")
    about = "with --cluster: a copy of another node's ledger, to find fires that started twice"
    parser.add_argument("--ledger", action="append", default=[], metavar="FILE", help=about)
    add_json(parser, AuditDocument)


def run(options: argparse.Namespace) -> int:
    """Compare the fire times of all schedules loaded since then with the ledger, or those of shared jobs with
    the cluster's database; 1 if they differ.
    """
    settings = load_settings(options)
    if options.ledger and not options.of_cluster:
        raise PycrondError("--ledger belongs to --cluster")
    reader = Reader(settings.state_dir)
    until = checkpoint.read_checkpoint(settings.checkpoint_path).at
    if until is None:
        raise PycrondError(f"no daemon has run with {settings.state_dir} yet: there is nothing to audit")
    since = moment(options.since, clock.now(), machine.local_zone()).at if options.since else EPOCH
    if options.of_cluster:
        return _audit_cluster(settings, reader, options, since, until)
    result = audit.audit(
        reader.versions(), reader.verdicts(), reader.steps(), since=since, until=until, zone=machine.load_zone
    )
    labels = reader.labels() if result.findings else {}
    if options.json:
        document: AuditDocument = {
            "from": None if since == EPOCH else rfc3339(since.timestamp()),
            "until": rfc3339(until.timestamp()),
            "jobs": result.jobs,
            "fires": result.fires,
            "findings": _findings(result.findings, labels),
        }
        print_json(document)
    else:
        _print_findings(result.findings, labels)
        audited = f"{counted(result.fires, 'fire time')} of {counted(result.jobs, 'job')}"
        print_line(f"{audited} until {until.astimezone():%F %H:%M}: {_verdict(result.findings)}")
    return 1 if result.findings else 0


def _audit_cluster(
    settings: Settings, reader: Reader, options: argparse.Namespace, since: datetime, until: datetime
) -> int:
    from pycrond.cli.cluster.cluster_audit import read_and_compare
    from pycrond.cluster.audit import unproven_sentence

    result, since = read_and_compare(settings, reader, since, until, options.ledger)
    labels = reader.labels() if result.findings else {}
    if options.json:
        document: AuditDocument = {
            "from": rfc3339(since.timestamp()),
            "until": rfc3339(until.timestamp()),
            "jobs": result.jobs,
            "fires": result.fires,
            "findings": _findings(result.findings, labels),
            "unproven": [{"node": row.node, "since": rfc3339(row.since)} for row in result.unproven],
        }
        print_json(document)
    else:
        _print_findings(result.findings, labels)
        for row in result.unproven:
            print_line(unproven_sentence(row))
        audited = f"{counted(result.fires, 'fire time')} of {counted(result.jobs, 'shared job')}"
        span = f"from {since.astimezone():%F %H:%M} until {until.astimezone():%F %H:%M}"
        print_line(f"{audited} {span}: {_verdict(result.findings)}")
    return 1 if result.findings else 0


def _findings(findings: Sequence[Unaccounted], labels: Mapping[str, str]) -> list[AuditFindingDocument]:
    return [
        {
            "key": finding.key,
            "display_name": labels.get(finding.key),
            "fire": rfc3339(finding.at),
            "what": finding.what,
        }
        for finding in findings
    ]


def _print_findings(findings: Sequence[Unaccounted], labels: Mapping[str, str]) -> None:
    for finding in findings:
        print_line(f"{rfc3339(finding.at)}  {labels.get(finding.key, finding.key)}  {finding.what}")


def _verdict(findings: Sequence[Unaccounted]) -> str:
    return f"{len(findings)} not as it should be" if findings else "all accounted for"
