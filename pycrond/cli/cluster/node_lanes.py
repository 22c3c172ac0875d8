"""timeline --cluster: a lane for each shared job and node that ran it."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from pycrond.cli.cluster.access import cluster_reader
from pycrond.cli.cluster.claim_rows import as_passed, as_span
from pycrond.cluster.reader_rows import BarRow, PassedRow
from pycrond.ledger.rows import JobRow, RunRow, SpanRow
from pycrond.settings import Settings

MARGIN = 86_400.0  # seconds before the window; a run that began then may reach into it
READ_TIMEOUT = 60.0  # seconds, including the time to sort the rows into lanes


class NodeLanes(NamedTuple):
    """The jobs' lanes, and the claims as bars of them."""

    spans: Sequence[SpanRow]
    gone: Mapping[str, RunRow]
    """A row with the name of each job that this machine has not loaded, by the key of its lane."""
    nodes: Mapping[str, str]
    """The node of each lane that has one, by the lane's key."""

    def place(self, key: str, places: Mapping[str, int]) -> tuple[int, str, str]:
        """Return the sort key of a lane: the place of its job, at the end without one, then the node."""
        node = self.nodes.get(key, "")
        job = key.removesuffix(f"@{node}") if node else key
        return places.get(job, len(places)), job, node


def read_bars(
    settings: Settings, start: float, until: float, is_selected: Callable[[str], bool]
) -> Iterator[BarRow]:
    """Yield the claims of selected jobs whose bars lie in a window."""
    with cluster_reader(settings, READ_TIMEOUT) as cluster:
        jobs = [job for job in cluster.jobs_since(start - MARGIN) if is_selected(job)]
        yield from cluster.bars(jobs, start - MARGIN, until, start)


def lane_key(job: str, node: str) -> str:
    """Return the key of a lane; the key of a job with a lock of the cluster already contains the node."""
    return job if job.endswith(f"@{node}") else f"{job}@{node}"


def node_lanes(claims: Iterable[BarRow], jobs: Iterable[JobRow], now: float) -> NodeLanes:
    """Return a lane for each job and node that started it, and one without a node for unstarted fires."""
    loaded = {job.key for job in jobs}
    spans: list[SpanRow] = []
    gone: dict[str, RunRow] = {}
    nodes: dict[str, str] = {}
    keys: dict[tuple[str, str], str] = {}  # each lane's key once: there are many bars
    for claim in claims:
        node = "" if claim.started is None else claim.node
        key = keys.get((claim.job, node))
        if key is None:
            key = keys[claim.job, node] = lane_key(claim.job, node) if node else claim.job
            if node:
                nodes[key] = node
            if key not in loaded:
                gone[key] = as_passed(PassedRow(key, claim.state, 1, claim.fire, ""))
        spans.append(as_span(claim, key, now))
    return NodeLanes(spans, gone, nodes)
