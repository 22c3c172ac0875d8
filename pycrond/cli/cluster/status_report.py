"""The status of the cluster: the contents of its database, problems and warnings."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from pycrond.cluster.membership import MAX_DISAGREEMENT
from pycrond.cluster.reader import ClusterReader
from pycrond.cluster.reader_connection import known_version
from pycrond.cluster.reader_rows import (
    ClusterRow,
    NodeRow,
    OpenRow,
    ServerRow,
    TroubleRow,
    differing_digests,
    median_offset,
)
from pycrond.text import counted, duration

WARNING_SKEW_MS = 1000
"""A clock that is farther from the median than this is reported."""


class StatusFacts(NamedTuple):
    """The contents of the database at one moment."""

    cluster: ClusterRow
    server: ServerRow
    nodes: Sequence[NodeRow]
    claims: Mapping[str, int]
    """In the last minute, by node."""
    open_claims: Sequence[OpenRow]
    troubles: Sequence[TroubleRow]

    def open_of(self, node: str) -> int:
        """Return the number of open claims of a node."""
        return sum(row.claims for row in self.open_claims if row.node == node)

    def oldest_open(self, node: str) -> float | None:
        """Return the earliest fire time of a node's open claims; None without any."""
        return min((row.oldest for row in self.open_claims if row.node == node), default=None)

    def skew_ms(self, node: NodeRow) -> int | None:
        """Return the difference between a node's clock and the median of the nodes, in milliseconds."""
        median = median_offset(self.nodes)
        return None if median is None or node.offset_ms is None else node.offset_ms - median

    @property
    def differing(self) -> frozenset[str]:
        """The nodes whose shared jobs differ from the most frequent set."""
        groups = [*differing_digests(self.nodes).values()]
        return frozenset(name for names in groups[1:] for name in names)


def read(cluster: ClusterReader) -> StatusFacts:
    """Read all facts."""
    return StatusFacts(
        cluster.meta(),
        cluster.server(),
        cluster.nodes(),
        cluster.activity(),
        cluster.open_claims(),
        cluster.troubles(),
    )


def problems(facts: StatusFacts) -> Iterator[str]:
    """Yield the problems that need action, each with a remedy; `status` then returns 1."""
    cluster, known = facts.cluster, known_version()
    if cluster.version < known:
        text = f"the tables have version {cluster.version}, this pycrond needs {known}"
        yield f"{text}: run 'pycrond cluster migrate'"
    if cluster.oldest > known:
        text = f"the tables need a pycrond that knows version {cluster.oldest}, this one knows {known}"
        yield f"{text}: upgrade it"
    if not facts.nodes:
        yield "no node has joined yet: set 'cluster' on the nodes, and 'pycrond restart'"
    elif not any(node.is_alive for node in facts.nodes):
        yield "no node is alive: no shared job runs; look at 'pycrond status' on the nodes"
    yield from _abandoned(facts)


def _abandoned(facts: StatusFacts) -> Iterator[str]:
    """Yield a problem for each dead or removed node with open claims."""
    nodes = {node.name: node for node in facts.nodes}
    remedy = "start pycrond there, or remove the node (docs/cluster.md)"
    for name in sorted({row.node for row in facts.open_claims}):
        claims = counted(facts.open_of(name), "open claim")
        if name not in nodes:
            yield f"{name} is no node, and has {claims}: {remedy}"
        elif nodes[name].is_abandoned:
            yield f"{name} is dead with {claims}: {remedy}"


def remarks(facts: StatusFacts) -> Iterator[str]:
    """Yield warnings about facts that stop no job."""
    groups = [", ".join(names) for names in differing_digests(facts.nodes).values()]
    if groups:
        yield f"shared jobs differ: those of {' / '.join(groups)}; compare 'pycrond list --cluster' there"
    for node in facts.nodes:
        skew = facts.skew_ms(node)
        if node.is_alive and skew is not None and abs(skew) >= WARNING_SKEW_MS:
            side = "ahead of" if skew > 0 else "behind"
            effect = ": it claims nothing" if abs(skew) > MAX_DISAGREEMENT else ""
            yield f"the clock of {node.name} is {duration(abs(skew) / 1000)} {side} the median{effect}"


def standby_sentence(server: ServerRow) -> str:
    """Return a sentence about the safety of confirmed claims if the server is lost."""
    return {
        "synchronous": f"a synchronous standby is attached ({server.synchronous})",
        "asynchronous": "only an asynchronous standby is attached: a failover may run fires twice",
        "none": "no standby is attached: a claim is as safe as this server's disk",
        "missing": "its synchronous standby is NOT attached: fires of shared jobs are skipped",
        "not readable": f"standbys are not readable for the role {server.role} (GRANT pg_monitor)",
    }[server.standby]
