"""audit --cluster: the fires of shared jobs against the cluster's database and copies of ledgers."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from pycrond import clock
from pycrond.cli.cluster.access import cluster_view
from pycrond.cluster import audit
from pycrond.cluster.audit import ClusterAudit, Database, LedgerStarts
from pycrond.host import machine
from pycrond.ledger.audit import expected_fires
from pycrond.ledger.codec import decode_options
from pycrond.ledger.copies import ledger_uuid, started_runs
from pycrond.ledger.reader import Reader
from pycrond.settings import Settings

READING_TIME = 600.0  # seconds
WITHOUT_ROWS = timedelta(hours=1)  # that are audited where the database has no row at all


def read_and_compare(
    settings: Settings, reader: Reader, since: datetime, until: datetime, copies: Sequence[str]
) -> tuple[ClusterAudit, datetime]:
    """Return the result, and the time after which fires were compared: older rows may be deleted."""
    versions = [row for row in reader.versions() if decode_options(row.options).is_shared]
    with cluster_view(settings, READING_TIME) as view:
        now, first = view.now(), view.first_fire()
        kept = clock.at(now - view.cluster().keep)
        begin = until - WITHOUT_ROWS if first is None else clock.at(first - 60)
        since = max(since, kept, begin)
        span = (since.timestamp(), until.timestamp())
        claims = [row for row in view.between(span[0], span[1] + 60) if span[0] < row.fire <= span[1]]
        database = Database(claims, view.nodes(), now)
    expected = expected_fires(versions, reader.steps(), since=since, until=until, zone=machine.load_zone)
    names = {settings.ledger_path: settings.node_name, **{path: path for path in copies}}
    ledgers = [
        LedgerStarts(name, ledger_uuid(path), started_runs(path, *span)) for path, name in names.items()
    ]
    return audit.audit(versions, expected, database, ledgers, span), since
