"""Rows of the database for display. Times are Unix seconds, UTC."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Literal, NamedTuple

from pycrond.cluster.membership import ALIVE_AFTER_BEAT, LOST_AFTER

CLOSING_TIME = 30.0  # seconds in which other nodes close the claims of a dead one
NodeState = Literal["alive", "draining", "silent", "dead"]
Standby = Literal["synchronous", "asynchronous", "none", "missing", "not readable"]
TroubleKind = Literal["lost", "no-database", "no-node"]


class ClusterRow(NamedTuple):
    """The cluster as a whole."""

    name: str
    zone: str
    version: int
    """The version of the tables."""
    oldest: int
    """The oldest version of the tables that a node must know to use them."""
    keep: float
    """Seconds for which rows are kept."""


class NodeRow(NamedTuple):
    """A node with its last heartbeat."""

    name: str
    ledger: str
    machine: str
    seen: float
    """The last heartbeat, by the database's clock."""
    age: float
    """Seconds since then, by the database's clock."""
    draining: bool
    labels: Sequence[str]
    version: str
    offset_ms: int | None
    digest: str

    @property
    def state(self) -> NodeState:
        """`alive`, `draining`, `silent` or `dead`, for display: nodes judge by their own clocks."""
        if self.age > LOST_AFTER:
            return "dead"
        if self.age > ALIVE_AFTER_BEAT:
            return "silent"
        return "draining" if self.draining else "alive"

    @property
    def is_alive(self) -> bool:
        return self.age <= ALIVE_AFTER_BEAT

    @property
    def is_abandoned(self) -> bool:
        """True if other nodes should have closed its claims; open ones must be closed by hand."""
        return self.age > LOST_AFTER + CLOSING_TIME


class OpenRow(NamedTuple):
    """The open claims of a node and a ledger."""

    node: str
    ledger: str
    claims: int
    oldest: float
    """The earliest fire time."""


class TroubleRow(NamedTuple):
    """Fires of the last day without a run."""

    kind: TroubleKind
    """`lost`, `no-node` or `no-database`."""
    fires: int
    jobs: int
    latest: float
    """The latest fire time."""


class ServerRow(NamedTuple):
    """The server and its standbys."""

    version: str
    in_recovery: bool
    synchronous_commit: str
    fsync: str
    standby_names: str
    """The setting `synchronous_standby_names`."""
    standbys: int
    synchronous: int
    """The number of standbys that the server waits for."""
    unreadable: int
    """The number of standbys whose state this role may not read."""
    role: str

    @property
    def standby(self) -> Standby:
        """`none`, `asynchronous`, `synchronous`, `missing` (awaited, but absent) or `not readable`."""
        if self.unreadable:
            return "not readable"
        if self.synchronous:
            return "synchronous"
        if self.standby_names.strip():
            return "missing"
        return "asynchronous" if self.standbys else "none"


class ClaimRow(NamedTuple):
    """A fire and its verdict."""

    job: str
    wall: int
    fold: int
    fire: float
    run: str
    node: str
    ledger: str
    rerun: bool
    state: str
    reason: str
    claimed: float
    started: float | None
    ended: float | None
    status: int | None
    number: int
    """The run's number on its node; 0 if there is none."""

    @property
    def label(self) -> str:
        """The run for display and for `logs --cluster`: `12@web1`."""
        return f"{self.number}@{self.node}" if self.number else ""

    @property
    def name(self) -> str:
        """The job without its user."""
        return self.job.partition("/")[2] or self.job


class BarRow(NamedTuple):
    """The columns of a claim that the timeline draws."""

    job: str
    fire: float
    node: str
    state: str
    started: float | None
    ended: float | None
    number: int


class PassedRow(NamedTuple):
    """Fires of a job that were skipped or missed since its last run."""

    job: str
    state: str
    fires: int
    latest: float
    """The latest fire time."""
    reason: str
    """The reason of the latest fire."""


def median_offset(nodes: Iterable[NodeRow]) -> int | None:
    """Return the median of the clock offsets of nodes that are alive, in milliseconds; None without any."""
    offsets = [node.offset_ms for node in nodes if node.is_alive and node.offset_ms is not None]
    return round(median(offsets)) if offsets else None


def differing_digests(nodes: Iterable[NodeRow]) -> Mapping[str, Sequence[str]]:
    """Return the names of the nodes by the digest of their jobs, the most frequent first; empty if all are
    equal. Dead nodes do not count: they may have older crontabs.
    """
    groups: dict[str, list[str]] = {}
    for node in nodes:
        if node.digest and node.state != "dead":
            groups.setdefault(node.digest, []).append(node.name)
    ordered = sorted(groups.items(), key=lambda group: (-len(group[1]), group[1]))
    return dict(ordered) if len(groups) > 1 else {}
