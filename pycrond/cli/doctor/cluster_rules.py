"""Rules for common problems of a cluster: facts in, findings with a remedy out. Pure."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from statistics import median

from pycrond import clock
from pycrond.cli.doctor.cluster_probe import ClusterFacts
from pycrond.cli.doctor.facts import Finding, Level
from pycrond.cluster.membership import MAX_DISAGREEMENT
from pycrond.cluster.probe import STATEMENT_POOLING, Probe
from pycrond.cluster.reader_connection import INSTALL
from pycrond.cluster.reader_rows import differing_digests
from pycrond.errors import PycrondError
from pycrond.schedule.timezone import Zone
from pycrond.text import duration

WARNING_SKEW_MS = 1000
MIGRATE = "pycrond cluster migrate"
Findings = Iterator[Finding]


def diagnose_cluster(facts: ClusterFacts) -> Findings:
    """Yield the findings of all rules; if the database does not answer, one finding."""
    if not facts.has_psycopg:
        yield Finding("problem", "cluster", "psycopg is not installed: no shared job runs here", INSTALL)
    elif facts.probe is None:
        yield _unreachable(facts.error)
    else:
        for rule in RULES:
            yield from rule(facts, facts.probe)


def _unreachable(error: str) -> Finding:
    if STATEMENT_POOLING in error:
        text = "the pooler hands out a connection for each statement, and refuses transactions"
        return Finding(
            "problem", "cluster", text, "set pool_mode = transaction in PgBouncer, or connect without it"
        )
    remedy = "look at 'cluster' (libpq's syntax), pg_hba.conf and the server's log; psql with the same words"
    return Finding("problem", "cluster", error, remedy)


def _connection(_: ClusterFacts, probe: Probe) -> Findings:
    ways = {"TLS": "TLS", "socket": "a socket", "loopback": "this machine's own network"}
    if probe.transport in ways:
        text = f"PostgreSQL {probe.server.version} answers over {ways[probe.transport]}, role {probe.role}"
        yield Finding("ok", "cluster", text)
    else:
        text = "the connection is neither TLS nor a socket: others on the network can read and forge it"
        yield Finding("warning", "cluster", text, "set sslmode=verify-full and sslrootcert in 'cluster'")
    if probe.server.in_recovery:
        text = "the server is a standby: nothing can be claimed there"
        yield Finding("problem", "cluster", text, "name all servers, with target_session_attrs=read-write")


def _tables(facts: ClusterFacts, probe: Probe) -> Findings:
    if probe.lacking:
        rights = ", ".join(probe.lacking)
        remedy = f"as the owner of the tables: GRANT {probe.lacking[0]} TO {probe.role}"
        yield Finding("problem", "cluster-rights", f"role {probe.role} lacks {rights}", remedy)
    cluster = probe.cluster
    if cluster is None:
        if not probe.lacking:
            text = f"database {probe.database} has no tables of pycrond"
            yield Finding("problem", "cluster-tables", text, MIGRATE)
        return
    has, knows = f"the tables have version {cluster.version}", f"this pycrond knows {facts.known_version}"
    if cluster.version < facts.known_version:
        yield Finding("problem", "cluster-tables", f"{has}, {knows}: it joins no cluster", MIGRATE)
    elif cluster.oldest > facts.known_version:
        text = f"{has}, for version {cluster.oldest} or newer; {knows}"
        yield Finding("problem", "cluster-tables", text, "upgrade pycrond on this machine")
    else:
        yield Finding("ok", "cluster-tables", f"{has}, of the cluster {cluster.name}")


def _durability(_: ClusterFacts, probe: Probe) -> Findings:
    server = probe.server
    if server.fsync == "off":
        text = "fsync is off: a crash of the server forgets claims, and their jobs may run twice"
        yield Finding(
            "problem", "cluster-fsync", text, "ALTER SYSTEM SET fsync = on; SELECT pg_reload_conf()"
        )
    if server.synchronous_commit == "off":
        text = "synchronous_commit is off for this role; pycrond turns it on for each claim"
        yield Finding("ok", "cluster-fsync", text)
    missing = f"synchronous_standby_names is '{server.standby_names}', and none is attached"
    standbys: dict[str, tuple[Level, str, str]] = {
        "synchronous": ("ok", "a synchronous standby is attached", ""),
        "missing": (
            "problem",
            f"{missing}: no claim is confirmed, fires of shared jobs are skipped",
            "start the standby; do not cancel waiting transactions by hand",
        ),
        "asynchronous": (
            "warning",
            "the standby is asynchronous: after a failover jobs may run twice",
            "set synchronous_standby_names on the primary",
        ),
        "none": (
            "warning",
            "no standby is attached: if the server's disk is lost, so are its claims",
            "add a standby, and synchronous_standby_names",
        ),
        "not readable": (
            "warning",
            f"role {probe.role} may not see whether a synchronous standby is attached",
            f"GRANT pg_monitor TO {probe.role}",
        ),
    }
    level, text, remedy = standbys[server.standby]
    yield Finding(level, "cluster-standby", text, remedy)


def _clock(_: ClusterFacts, probe: Probe) -> Findings:
    offsets = [node.offset_ms for node in probe.nodes if node.is_alive and node.offset_ms is not None]
    skew = round(probe.offset_ms - (median(offsets) if offsets else 0))
    whose = "the median of the nodes" if offsets else "the database's clock"
    text = f"{duration(abs(skew) / 1000)} {'ahead of' if skew > 0 else 'behind'} {whose}"
    if abs(skew) >= WARNING_SKEW_MS:
        level: Level = "problem" if abs(skew) > MAX_DISAGREEMENT else "warning"
        text += ": this node claims nothing" if level == "problem" else ""
        yield Finding(level, "cluster-clock", text, "install chrony, or timedatectl set-ntp true")
    else:
        yield Finding("ok", "cluster-clock", text)


def _have_same_clock(zone: str, other_zone: str) -> bool:
    """Return whether two time zones have the same clock for two years, as UTC and Etc/UTC do."""
    if zone == other_zone:
        return True
    try:
        zones = Zone.of(zone), Zone.of(other_zone)
    except PycrondError:
        return False
    now = clock.now()
    weeks = [now + timedelta(weeks=number) for number in range(104)]
    return all(zones[0].wall(at) == zones[1].wall(at) for at in weeks)


def _zone(facts: ClusterFacts, probe: Probe) -> Findings:
    if probe.cluster and not _have_same_clock(probe.cluster.zone, facts.zone):
        text = f"shared jobs without CRON_TZ use {probe.cluster.zone}, other jobs here use {facts.zone}"
        remedy = f"write CRON_TZ into the crontab, or {MIGRATE} --zone {facts.zone}"
        yield Finding("warning", "cluster-zone", text, remedy)


def _nodes(facts: ClusterFacts, probe: Probe) -> Findings:
    own = next((node for node in probe.nodes if node.name == facts.node), None)
    if own is None and probe.cluster:
        text = f"{facts.node} has not joined the cluster"
        yield Finding("warning", "cluster-node", text, "pycrond restart; then pycrond cluster status")
    elif own and facts.ledger and own.ledger != facts.ledger:
        text = f"the name {facts.node} belongs to another ledger, on the machine {own.machine}"
        yield Finding("problem", "cluster-node", text, "give one of them another name by the setting 'node'")
    elif own and not own.is_alive:
        text = f"the last heartbeat of {facts.node} is {duration(own.age)} old"
        yield Finding("problem", "cluster-node", text, "look at pycrond status and the log")
    elif own:
        yield Finding("ok", "cluster-node", f"{facts.node} is {own.state}")
    groups = [", ".join(names) for names in differing_digests(probe.nodes).values()]
    if groups:
        text = f"shared jobs are not the same on all nodes: {' / '.join(groups)}"
        remedy = "give all nodes the same crontabs; pycrond list --cluster shows what a node has"
        yield Finding("warning", "cluster-jobs", text, remedy)


RULES: tuple[Callable[[ClusterFacts, Probe], Findings], ...] = (
    *(_connection, _tables, _durability, _clock, _zone, _nodes),
)
