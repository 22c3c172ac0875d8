"""The status of the cluster as lines and as a document. Pure."""

from collections.abc import Iterator, Sequence

from pycrond.cli.cluster.status_report import StatusFacts, problems, remarks, standby_sentence
from pycrond.cli.documents.cluster import ClusterDocument, NodeDocument
from pycrond.cli.render import table
from pycrond.cli.render.formatting import Cell, moment
from pycrond.cli.render.table import StyledLine, TableColumn
from pycrond.cli.render.terminal import here
from pycrond.cluster.reader_rows import NodeRow
from pycrond.text import counted, duration, rfc3339

KINDS = {"alive": "good", "draining": "busy", "silent": "busy", "dead": "bad"}
TROUBLES = {
    "lost": "lost with their nodes",
    "no-database": "skipped without an answer of the database",
    "no-node": "skipped without a node for them",
}


def lines(facts: StatusFacts, width: int) -> Iterator[StyledLine]:
    """Yield the lines: the cluster, the server, the nodes, failed fires, warnings and problems."""
    cluster, server = facts.cluster, facts.server
    yield [Cell(f"cluster {cluster.name}, zone {cluster.zone}, tables of version {cluster.version}")]
    is_safe = server.standby == "synchronous"
    kind = {"missing": "bad", "none": "busy", "asynchronous": "busy"}.get(server.standby, "")
    yield [Cell(f"PostgreSQL {server.version}: {standby_sentence(server)}", "" if is_safe else kind)]
    yield []
    if facts.nodes:
        yield from table.lay_out(_columns(facts), width)
        yield []
    for trouble in facts.troubles:
        fires = f"{counted(trouble.fires, 'fire')} of {counted(trouble.jobs, 'job')}"
        latest = moment(trouble.latest, here())
        text = f"in the last day {fires} {TROUBLES.get(trouble.kind, trouble.kind)}, the latest {latest}"
        yield [Cell(text, "bad")]
    for text in remarks(facts):
        yield [Cell(text, "busy")]
    for text in problems(facts):
        yield [Cell(text, "bad")]


def _columns(facts: StatusFacts) -> Sequence[TableColumn]:
    nodes = facts.nodes
    return [
        TableColumn("NODE", [Cell(node.name) for node in nodes], least=20),
        TableColumn("STATE", [Cell(state_of(node), KINDS[node.state]) for node in nodes]),
        TableColumn("SEEN", [Cell(f"{duration(max(0, round(node.age)))} ago") for node in nodes], right=True),
        TableColumn("CLOCK", [Cell(_signed(node.offset_ms)) for node in nodes], rank=5, right=True),
        TableColumn("SKEW", [Cell(_signed(facts.skew_ms(node))) for node in nodes], rank=2, right=True),
        TableColumn(
            "CLAIMS/MIN", [Cell(str(facts.claims.get(node.name, 0))) for node in nodes], rank=1, right=True
        ),
        TableColumn("OPEN", [Cell(str(facts.open_of(node.name))) for node in nodes], right=True),
        TableColumn("OLDEST", [Cell(_time(facts.oldest_open(node.name))) for node in nodes], rank=2),
        TableColumn("JOBS", [_jobs(facts, node) for node in nodes], rank=1),
        TableColumn("PYCROND", [Cell(node.version) for node in nodes], rank=4),
        TableColumn("LABELS", [Cell(",".join(node.labels)) for node in nodes], rank=3, least=12),
    ]


def state_of(node: NodeRow) -> str:
    """Return a node's state; if it drains and is silent or dead, both words."""
    return f"{node.state}, draining" if node.draining and node.state != "draining" else node.state


def _time(at: float | None) -> str:
    return "" if at is None else moment(at, here())


def _jobs(facts: StatusFacts, node: NodeRow) -> Cell:
    if node.name in facts.differing:
        return Cell("differ", "bad")
    return Cell("same" if node.digest else "", "")


def _signed(milliseconds: int | None) -> str:
    if milliseconds is None:
        return ""
    text = duration(abs(milliseconds) / 1000)
    return f"{'-' if milliseconds < 0 else '+'}{text}" if milliseconds else text


def document(facts: StatusFacts) -> ClusterDocument:
    """Return the status as `--json` prints it."""
    cluster, server = facts.cluster, facts.server
    return {
        "cluster": cluster.name,
        "zone": cluster.zone,
        "schema_version": cluster.version,
        "keep_s": cluster.keep,
        "server_version": server.version,
        "standby": server.standby,
        "nodes": [_node(facts, node) for node in facts.nodes],
        "fires": [
            {"kind": row.kind, "fires": row.fires, "jobs": row.jobs, "latest": rfc3339(row.latest)}
            for row in facts.troubles
        ],
        "remarks": [*remarks(facts)],
        "problems": [*problems(facts)],
    }


def _node(facts: StatusFacts, node: NodeRow) -> NodeDocument:
    return {
        "name": node.name,
        "machine": node.machine,
        "state": node.state,
        "draining": node.draining,
        "seen": rfc3339(node.seen),
        "age_s": round(node.age, 3),
        "offset_ms": node.offset_ms,
        "skew_ms": facts.skew_ms(node),
        "claims_last_minute": facts.claims.get(node.name, 0),
        "open_claims": facts.open_of(node.name),
        "oldest_open": rfc3339(facts.oldest_open(node.name)),
        "labels": [*node.labels],
        "version": node.version,
        "digest": node.digest or None,
        "differs": node.name in facts.differing,
    }
