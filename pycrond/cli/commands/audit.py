"""audit: whether every fire time that should have been has its verdict."""

import argparse
import json
import os
from datetime import UTC, datetime

from pycrond import clock
from pycrond.cli.settings_layers import configured
from pycrond.cli.time_input import moment
from pycrond.errors import PycrondError
from pycrond.host import machine
from pycrond.ledger.audit import audit as compare
from pycrond.ledger.reader import Reader
from pycrond.scheduler.checkpoint import read_checkpoint
from pycrond.text import counted, rfc3339

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def audit(wanted: argparse.Namespace) -> int:
    """Hold the fire times that follow from what was loaded when against the ledger; 1 if they differ."""
    settings = configured(wanted)
    reader = Reader(settings.state_dir)
    last = read_checkpoint(os.path.join(settings.state_dir, "last-turn")).at
    if last is None:
        raise PycrondError(f"no daemon has run with {settings.state_dir} yet")
    since = EPOCH
    if wanted.since:
        now = clock.now()
        since = moment(wanted.since, now, machine.load_zone(machine.local_zone_name(os.environ))).at
    found = compare(
        reader.versions(), reader.verdicts(), reader.steps(), since=since, until=last, zone=machine.load_zone
    )
    if wanted.json:
        document = {
            "from": None if since == EPOCH else rfc3339(since.timestamp()),
            "until": rfc3339(last.timestamp()),
            "jobs": found.jobs,
            "fires": found.fires,
            "findings": [
                {"key": one.key, "fire": rfc3339(one.at), "what": one.what} for one in found.findings
            ],
        }
        print(json.dumps(document))
        return 1 if found.findings else 0
    for one in found.findings:
        print(f"{rfc3339(one.at)}  {one.key}  {one.what}")
    what = f"{counted(found.fires, 'fire time')} of {counted(found.jobs, 'job')}"
    wrong = f"{len(found.findings)} not as it should be" if found.findings else "all accounted for"
    print(f"{what} until {last.astimezone():%F %H:%M}: {wrong}")
    return 1 if found.findings else 0
