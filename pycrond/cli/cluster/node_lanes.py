"""timeline --cluster: a lane for each shared job and node that ran it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from pycrond.cli.cluster.access import cluster_view
from pycrond.cli.cluster.claim_rows import as_run, as_span
from pycrond.cluster.view_rows import ClaimRow
from pycrond.ledger.rows import JobRow, RunRow, SpanRow
from pycrond.settings import Settings

MARGIN = 86_400.0  # seconds before the window in which a run may have begun that reaches into it


class NodeLanes(NamedTuple):
    """The jobs' lanes, and the claims as bars of them."""

    spans: Sequence[SpanRow]
    gone: Mapping[str, RunRow]
    """A run of each job that this machine has not loaded, by key."""
    nodes: Mapping[str, str]
    """The node of each lane that has one, by the lane's key."""

    def place(self, key: str, places: Mapping[str, int]) -> tuple[int, str, str]:
        """Return where a lane comes: by the place of its job, jobs without one at the end, then by node."""
        node = self.nodes.get(key, "")
        job = key.removesuffix(f"@{node}") if node else key
        return places.get(job, len(places)), job, node


def read_claims(settings: Settings, start: float, until: float) -> list[ClaimRow]:
    """Return the claims whose bars lie in a window."""
    with cluster_view(settings) as view:
        claims = view.between(start - MARGIN, until)
    return [claim for claim in claims if claim.ended is None or max(claim.ended, claim.fire) >= start]


def lane_key(job: str, node: str) -> str:
    """Return the key of a lane. A job with a lock of the cluster has its node in its key already."""
    return job if job.endswith(f"@{node}") else f"{job}@{node}"


def node_lanes(claims: Iterable[ClaimRow], jobs: Iterable[JobRow], now: float) -> NodeLanes:
    """Return a lane for each job and node that started it; fires that did not start have one without node."""
    loaded = {job.key for job in jobs}
    spans: list[SpanRow] = []
    gone: dict[str, RunRow] = {}
    nodes: dict[str, str] = {}
    for claim in claims:
        key = claim.job if claim.started is None else lane_key(claim.job, claim.node)
        spans.append(as_span(claim, now)._replace(key=key))
        if claim.started is not None:
            nodes[key] = claim.node
        if key not in loaded:
            gone[key] = as_run(claim)._replace(key=key, name=key.partition("/")[2])
    return NodeLanes(spans, gone, nodes)
