"""The nodes of the cluster: which are alive, which may claim a fire, and how far their clocks agree. Pure.

Times are seconds of this machine's monotonic clock (`clock.elapsed`): the age of a heartbeat by the
database's clock would be wrong after an outage or a failover.
"""

from statistics import median
from typing import NamedTuple

from pycrond.cluster.fire import CLOCK_TOLERANCE
from pycrond.cluster.node_order import first_of, place_of
from pycrond.cluster.protocol import NodeRow, Nodes

BEAT_INTERVAL = 5.0  # seconds between two heartbeats
ALIVE_AFTER_BEAT = 16.0  # seconds until a node, after three missed heartbeats, does not count as alive
MAX_BEAT_GAP = 15.0  # seconds between own heartbeats; after a longer gap all observations restart
ABANDONED_AFTER = 30.0  # seconds without a heartbeat after which `rerun` fires without locks are taken over
LOST_AFTER = 60.0  # seconds without a heartbeat after which locks are released and fires closed as lost
MAX_DISAGREEMENT = 1000 * CLOCK_TOLERANCE  # ms from the median; beyond it a node asks for no fire


class DeadNode(NamedTuple):
    """A node without heartbeats. `token` is from its last one; with another token it is alive again."""

    name: str
    ledger: str
    token: str
    silent_for: float


class Membership:
    """The nodes of the cluster, as the answers to this node's heartbeats show them."""

    def __init__(self, node: str, ledger: str) -> None:
        self.node = node
        self.ledger = ledger
        self._rows: dict[str, NodeRow] = {}  # by name
        self._changed_at: dict[str, float] = {}
        self._observed_at: float | None = None
        self._connection = 0
        self._begins_anew = True
        self._offset_ms: float | None = None  # ms by which this machine's clock is ahead of the database's
        self._middle = 0.0  # the median of the clocks
        self._nodes: list[tuple[str, bool, tuple[str, ...]]] = []  # nodes that may claim fires
        self.version = 0
        """A number that changes with the set of nodes that may claim fires."""
        self._candidates: dict[str | None, list[str]] = {}  # by label, until something changes

    @property
    def has_observed(self) -> bool:
        return self._observed_at is not None

    def begin_anew(self) -> None:
        """Restart the silence of all nodes, because the connection is new."""
        self._begins_anew = True

    def clock_was_turned(self, seconds: float) -> None:
        """Apply a step of this machine's clock at once, before a heartbeat shows it."""
        if self._offset_ms is not None:
            self._offset_ms += 1000 * seconds
            self._note_clocks()

    def observe(self, answer: Nodes, elapsed: float) -> None:
        """Note the answer to a heartbeat. After a gap, or on another connection, the silence of all nodes
        restarts: perhaps only this node was disconnected.
        """
        last = self._observed_at
        is_new = last is None or elapsed - last > MAX_BEAT_GAP or answer.connection != self._connection
        is_new = is_new or self._begins_anew
        for row in answer.nodes:
            before = self._rows.get(row.name)
            if is_new or before is None or (before.token, before.ledger) != (row.token, row.ledger):
                self._changed_at[row.name] = elapsed
        self._rows = {row.name: row for row in answer.nodes}
        self._changed_at = {name: at for name, at in self._changed_at.items() if name in self._rows}
        self._observed_at, self._connection = elapsed, answer.connection
        self._begins_anew = False
        self._offset_ms = answer.offset_ms
        self._note_clocks()

    def _note_clocks(self) -> None:
        """Compute the median and the candidates again."""
        self._candidates.clear()
        self._middle = self._median_of_clocks()
        nodes = [(row.name, row.is_draining, row.labels) for row in self.alive() if self._agrees(row)]
        if nodes != self._nodes:
            self._nodes, self.version = nodes, self.version + 1

    @property
    def rows(self) -> list[NodeRow]:
        """All nodes, sorted by name."""
        return [row for _, row in sorted(self._rows.items())]

    @property
    def is_draining(self) -> bool:
        row = self._rows.get(self.node)
        return row is not None and row.is_draining

    def alive(self) -> list[NodeRow]:
        """Return the nodes with a recent heartbeat at the time of the last observation."""
        if self._observed_at is None:
            return []
        heard_since = self._observed_at - ALIVE_AFTER_BEAT
        return [row for row in self.rows if self._changed_at[row.name] >= heard_since]

    def skew(self) -> float:
        """Return the seconds by which the database's clock is behind the median of living nodes' clocks."""
        return self._middle / 1000

    def _median_of_clocks(self) -> float:
        """Return the ms by which the median of the clocks is ahead of the database's clock. If their number
        is even, the database's clock is added: it decides between two nodes.
        """
        offsets = [offset for row in self.alive() if (offset := self._offset_of(row)) is not None]
        return median(offsets if len(offsets) % 2 else [*offsets, 0])

    def _offset_of(self, row: NodeRow) -> float | None:
        return self._offset_ms if row.name == self.node else row.offset_ms

    def disagreement_ms(self) -> float | None:
        """Return the ms by which this node's clock is ahead of the median; None if not known yet."""
        return None if self._offset_ms is None else self._offset_ms - self._middle

    def median_time(self, now: float) -> float | None:
        """Return the median time of the clocks when this node's clock shows `now`; None if not known yet."""
        ahead = self.disagreement_ms()
        return None if ahead is None else now - ahead / 1000

    def candidates(self, label: str | None) -> list[str]:
        """Return the names of the nodes that may claim a fire of a job with this label."""
        if label not in self._candidates:
            self._candidates[label] = [
                row.name
                for row in self.alive()
                if not row.is_draining and (label is None or label in row.labels) and self._agrees(row)
            ]
        return self._candidates[label]

    def _agrees(self, row: NodeRow) -> bool:
        """Return whether a node's clock agrees with the median, or is not known."""
        offset = self._offset_of(row)
        return offset is None or abs(offset - self._middle) <= MAX_DISAGREEMENT

    def rank(self, label: str | None, *fire: object) -> int | None:
        """Return the place of this node among the nodes that may claim a fire, from 0; None if it may not."""
        return place_of(self.node, self.candidates(label), *fire)

    def is_first(self, label: str | None, *subject: object) -> bool:
        """Return whether this node reports about a job for the whole cluster: it is the first of the
        candidates with the same shared jobs, or, if there are none, of all living nodes with the same shared
        jobs.
        """
        own = self._rows.get(self.node)
        reporters = {row.name for row in self.alive() if own and row.digest == own.digest} | {self.node}
        best = reporters.intersection(self.candidates(label)) or reporters
        return first_of(best, *subject) == self.node

    def dead(self, silence: float) -> list[DeadNode]:
        """Return the nodes without a heartbeat for `silence` seconds, in which this node's were answered."""
        if self._observed_at is None:
            return []
        silent = {name: self._observed_at - at for name, at in self._changed_at.items()}
        return [
            DeadNode(row.name, row.ledger, row.token, silent[row.name])
            for row in self.rows
            if row.name != self.node and silent[row.name] >= silence
        ]
