"""audit --cluster: the fires of shared jobs against the cluster's database and copies of ledgers."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from pycrond import clock
from pycrond.cli.cluster.access import cluster_reader
from pycrond.cluster import audit
from pycrond.cluster.audit import ClusterAudit, Database, LedgerStarts
from pycrond.cluster.reader import ClusterReader
from pycrond.host import machine
from pycrond.ledger.audit import expected_fires
from pycrond.ledger.codec import decode_options
from pycrond.ledger.copies import ledger_uuid, started_runs
from pycrond.ledger.reader import Reader
from pycrond.settings import Settings

READ_TIMEOUT = 600.0  # seconds
DEFAULT_PERIOD = timedelta(hours=1)  # audited if the database has no row
MAX_JOB_MINUTES = 100_000  # in memory: the number of jobs times the audited minutes


def read_and_compare(
    settings: Settings, reader: Reader, since: datetime, until: datetime, copies: Sequence[str]
) -> tuple[ClusterAudit, datetime]:
    """Return the result, and the time after which fires were compared, as older rows may be deleted."""
    names = {settings.ledger_path: settings.node_name, **{path: path for path in copies}}
    ledgers = {path: LedgerStarts(name, ledger_uuid(path), ()) for path, name in names.items()}
    with cluster_reader(settings, READ_TIMEOUT) as cluster:
        now, first = cluster.now(), cluster.first_fire()
        kept = clock.at(now - cluster.meta().keep)
        begin = until - DEFAULT_PERIOD if first is None else clock.at(first - 60)
        since = max(since, kept, begin)
        database = Database((), cluster.nodes(), now)
        parts = _parts(cluster, reader, database, ledgers, (since, until))
        return audit.together(parts, database.nodes), since


def _parts(
    cluster: ClusterReader,
    reader: Reader,
    database: Database,
    ledgers: Mapping[str, LedgerStarts],
    period: tuple[datetime, datetime],
) -> Iterator[ClusterAudit]:
    """Yield audits of a few jobs each, so that only the fires of these jobs are in memory."""
    since, until = period
    span = (since.timestamp(), until.timestamp())
    versions = [row for row in reader.versions() if decode_options(row.options).is_shared]
    keys = sorted({row.key for row in versions})
    size = max(1, int(MAX_JOB_MINUTES / max(1.0, (span[1] - span[0]) / 60)))
    for place in range(0, len(keys), size):
        jobs = keys[place : place + size]
        chosen = {*jobs}
        rows = [row for row in versions if row.key in chosen]
        expected = expected_fires(rows, reader.steps(), since=since, until=until, zone=machine.load_zone)
        claims = [
            row for row in cluster.claims_of(jobs, span[0], span[1] + 60) if span[0] < row.fire <= span[1]
        ]
        starts = [ledger._replace(runs=started_runs(path, jobs, *span)) for path, ledger in ledgers.items()]
        yield audit.audit(rows, expected, database._replace(claims=claims), starts, span)
