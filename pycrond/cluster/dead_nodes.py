"""Nodes that have died: their fires are closed as lost, or taken over by this node."""

from collections.abc import Mapping
from datetime import datetime

from pycrond import clock
from pycrond.cluster.agent_link import AgentLink
from pycrond.cluster.fire import Taken
from pycrond.cluster.membership import ABANDONED_AFTER, LOST_AFTER, DeadNode, Membership
from pycrond.cluster.protocol import Abandoned, Bury, Row
from pycrond.jobs.job import Job
from pycrond.jobs.run import Fire
from pycrond.ledger.cluster import ClusterTable
from pycrond.output.daemon_log import DaemonLog

TURN = 3.0  # seconds of silence more, after which the next node in the order acts


class DeadNodes:
    """Asks for what dead nodes have left, once for each, in the order of the living nodes."""

    def __init__(self, membership: Membership, link: AgentLink, table: ClusterTable, log: DaemonLog) -> None:
        self._membership = membership
        self._link = link
        self._table = table
        self._log = log
        self._abandoned: set[DeadNode] = set()
        self._buried: set[DeadNode] = set()
        self._asked: dict[str, DeadNode] = {}  # by ledger

    def step(self, now: datetime) -> None:
        """Act on nodes that have become silent, after each heartbeat."""
        silent = self._membership.dead(ABANDONED_AFTER)
        known = {node._replace(silent_for=0.0): node for node in silent}
        self._abandoned &= known.keys()
        self._buried &= known.keys()
        for node, seen in known.items():
            turn = TURN * (self._membership.rank(None, node.ledger) or 0)
            if node not in self._abandoned and seen.silent_for >= ABANDONED_AFTER:
                self._abandoned.add(node)
                self._asked[node.ledger] = node
                self._log.write("CLUSTER", f"{node.name} is silent", now, level="warning")
                self._link.send(Abandoned(self._link.number(), node.ledger))
            if node not in self._buried and seen.silent_for >= LOST_AFTER + turn:
                self._buried.add(node)
                self._log.write(
                    "CLUSTER", f"{node.name} is dead: its runs are closed as lost", now, level="warning"
                )
                self._link.send(Bury(self._link.number(), node.ledger, node.token))

    def fires_to_take(
        self, rows: tuple[Row, ...], ledger: str, jobs: Mapping[str, Job], now: datetime
    ) -> list[tuple[Fire, Taken]]:
        """Return the fires of a dead node that this one may take over, each with the run that it takes over.
        The node that is the first for a fire tries at once, the others later.
        """
        node = self._asked.get(ledger)
        taken = []
        for row in rows:
            job = jobs.get(row.job)
            if node is None or job is None or not job.entry.options.is_shared:
                continue
            rank = self._membership.rank(job.entry.options.label, row.job, row.wall, row.fold)
            if rank is None:
                continue
            attempt, era = self._table.next_attempt(job.key, row.wall, row.fold)
            start = clock.at(now.timestamp() + TURN * rank)
            fire = Fire(
                *(job, clock.at(row.fire), row.wall, row.fold, era),
                trigger="take-over",
                start_at=start,
                attempt=attempt,
            )
            taken.append((fire, Taken(row.run, node.ledger, node.token)))
        return taken
