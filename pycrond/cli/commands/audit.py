"""audit: check that every fire time has its verdict in the ledger."""

import argparse
from datetime import UTC, datetime

from pycrond import clock
from pycrond.cli.arguments import add_json
from pycrond.cli.documents.reports import AuditDocument
from pycrond.cli.printing import print_json, print_line
from pycrond.cli.settings_layers import load_settings
from pycrond.cli.time_input import moment
from pycrond.errors import PycrondError
from pycrond.host import machine
from pycrond.ledger import audit
from pycrond.ledger.reader import Reader
from pycrond.scheduler import checkpoint
from pycrond.text import counted, rfc3339

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--since", metavar="TIME", help="only fire times after this time")
    add_json(parser, AuditDocument)


def run(options: argparse.Namespace) -> int:
    """Compare the fire times of all schedules loaded since then with the ledger; 1 if they differ."""
    settings = load_settings(options)
    reader = Reader(settings.state_dir)
    until = checkpoint.read_checkpoint(settings.checkpoint_path).at
    if until is None:
        raise PycrondError(f"no daemon has run with {settings.state_dir} yet: there is nothing to audit")
    since = moment(options.since, clock.now(), machine.local_zone()).at if options.since else EPOCH
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
        print_json(document)
    else:
        for finding in result.findings:
            print_line(f"{rfc3339(finding.at)}  {labels.get(finding.key, finding.key)}  {finding.what}")
        audited = f"{counted(result.fires, 'fire time')} of {counted(result.jobs, 'job')}"
        verdict = f"{len(result.findings)} not as it should be" if result.findings else "all accounted for"
        print_line(f"{audited} until {until.astimezone():%F %H:%M}: {verdict}")
    return 1 if result.findings else 0
