"""The status of the cluster: what the database says about it, and what needs a person. Pure but for `read`."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from pycrond.cluster.view import View
from pycrond.cluster.view_rows import (
    ClusterRow,
    NodeRow,
    OpenRow,
    ServerRow,
    TroubleRow,
    differing_digests,
    median_offset,
)
from pycrond.text import counted, duration

SKEW_LIMIT_MS = 1000
"""A clock that is farther from the median than this is reported."""


class StatusFacts(NamedTuple):
    """What the database says at one moment."""

    cluster: ClusterRow
    server: ServerRow
    nodes: Sequence[NodeRow]
    claims: Mapping[str, int]
    """In the last minute, by node."""
    open_claims: Sequence[OpenRow]
    troubles: Sequence[TroubleRow]
    known_version: int
    """The version of the tables that this program knows, and needs."""

    def open_of(self, node: str) -> int:
        """Return the number of open claims of a node."""
        return sum(row.count for row in self.open_claims if row.node == node)

    @property
    def median_ms(self) -> int | None:
        return median_offset(self.nodes)

    def skew_ms(self, node: NodeRow) -> int | None:
        """Return by how much a node's clock disagrees with the median."""
        median = self.median_ms
        return None if median is None or node.offset_ms is None else node.offset_ms - median

    @property
    def differing(self) -> frozenset[str]:
        """The nodes whose jobs differ from those of the most frequent set."""
        groups = [*differing_digests(self.nodes).values()]
        return frozenset(name for names in groups[1:] for name in names)


def read(view: View, known_version: int) -> StatusFacts:
    """Read all facts."""
    return StatusFacts(
        view.cluster(),
        view.server(),
        view.nodes(),
        view.activity(),
        view.open_claims(),
        view.troubles(),
        known_version,
    )


def problems(facts: StatusFacts) -> Iterator[str]:
    """Yield what needs a person, each with what to do; `status` then ends with 1."""
    cluster = facts.cluster
    if cluster.version < facts.known_version:
        yield (
            f"the tables have version {cluster.version}, this pycrond needs {facts.known_version}:"
            " run 'pycrond cluster migrate'"
        )
    if cluster.oldest > facts.known_version:
        yield (
            f"the tables need a pycrond that knows version {cluster.oldest}, this one knows"
            f" {facts.known_version}: upgrade it"
        )
    if not facts.nodes:
        yield "no node has joined yet: set 'cluster' on the nodes and run 'pycrond restart'"
    elif not any(node.is_alive for node in facts.nodes):
        yield "no node is alive: no shared job runs; look at 'pycrond status' on the nodes"
    for node in facts.nodes:
        count = facts.open_of(node.name)
        if node.state == "dead" and count:
            yield (
                f"{node.name} is dead with {counted(count, 'open claim')}: start pycrond there, or"
                f" remove the node (docs/cluster.md)"
            )
    known = {node.name for node in facts.nodes}
    for row in facts.open_claims:
        if row.node not in known:
            yield f"{row.node} is no node, and has {counted(row.count, 'open claim')}"


def remarks(facts: StatusFacts) -> Iterator[str]:
    """Yield what is worth a look, and stops nothing."""
    groups = [*differing_digests(facts.nodes).values()]
    if groups:
        texts = " from those of ".join(f"{', '.join(names)}" for names in groups)
        yield f"the shared jobs differ: those of {texts}; compare 'pycrond list --cluster' on the nodes"
    for node in facts.nodes:
        skew = facts.skew_ms(node)
        if node.is_alive and skew is not None and abs(skew) >= SKEW_LIMIT_MS:
            side = "ahead of" if skew > 0 else "behind"
            yield f"the clock of {node.name} is {duration(abs(skew) / 1000)} {side} the median"


def standby_sentence(server: ServerRow) -> str:
    """Return whether a confirmed claim survives the loss of the server."""
    sentences = {
        "synchronous": f"{counted(server.synchronous, 'synchronous standby')} attached",
        "asynchronous": "only an asynchronous standby is attached: a failover may run fires twice",
        "none": "no standby is attached: a claim is as safe as this server's disk",
        "missing": "a synchronous standby is configured and NOT attached: fires of shared jobs are skipped",
        "not readable": f"standbys: not readable for the role {server.role} (grant pg_monitor)",
    }
    return sentences[server.standby]
