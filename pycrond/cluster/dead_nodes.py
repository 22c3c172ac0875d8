"""Nodes that have died, among them this one before its start: their open fires are closed as lost, or taken
over by this node.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime

from pycrond import clock
from pycrond.cluster.agent_link import AgentLink
from pycrond.cluster.fire import Taken
from pycrond.cluster.membership import ABANDONED_AFTER, LOST_AFTER, DeadNode, Membership
from pycrond.cluster.protocol import Abandoned, Bury, Row
from pycrond.cluster.shared_jobs import label_of, runs_again
from pycrond.jobs.job import Job
from pycrond.jobs.run import Fire
from pycrond.ledger.cluster import ClusterTable
from pycrond.output.daemon_log import DaemonLog

TURN = 3.0  # seconds that each node in the order waits longer than the one before it
BURIALS = 10  # number of times that a node closes them, each LOST_AFTER later
MAX_TAKERS = 5  # nodes that try to take a fire over


class DeadNodes:
    """Asks for the open fires of dead nodes, once for each node, in the order of the living nodes."""

    def __init__(self, membership: Membership, link: AgentLink, table: ClusterTable, log: DaemonLog) -> None:
        self._membership = membership
        self._link = link
        self._table = table
        self._log = log
        self._silences: dict[DeadNode, float] = {}  # in seconds, at the last step
        self._asked: dict[str, DeadNode] = {}  # by ledger

    def step(self, now: datetime) -> None:
        """Act on silent nodes, after each heartbeat."""
        before = self._silences
        silent = self._membership.dead(ABANDONED_AFTER)
        self._silences = {node._replace(silent_for=0.0): node.silent_for for node in silent}
        for node, silence in self._silences.items():
            self._act(node, before.get(node, 0.0), silence, now)

    def _act(self, node: DeadNode, before: float, silence: float, now: datetime) -> None:
        """Take the steps that fall between two lengths of a node's silence, in seconds."""
        if before < ABANDONED_AFTER:
            self._asked[node.ledger] = node
            self._log.write("CLUSTER", f"{node.name} is silent", now, level="warning")
            self._link.send(Abandoned(self._link.number(), node.ledger, with_locks=False))
        if before < LOST_AFTER <= silence:
            self._link.send(Abandoned(self._link.number(), node.ledger, with_locks=True))
        turn = TURN * (self._membership.rank(None, node.ledger) or 0)
        for times in range(BURIALS):
            if before < LOST_AFTER * (1 + times) + turn <= silence:
                self._bury(node, now, is_first=times == 0)

    def _bury(self, node: DeadNode, now: datetime, *, is_first: bool) -> None:
        """Close the open fires of a dead node as lost. This is repeated: the node's agent may have outlived
        it, and a failover may lose rows. The repetitions include the fires that no node has taken over.
        """
        if is_first:
            text = f"{node.name} is dead: its runs are closed as lost"
            self._log.write("CLUSTER", text, now, level="warning")
        self._link.send(Bury(self._link.number(), node.ledger, node.token, not is_first))

    def fires_to_take(
        self, rows: tuple[Row, ...], ledger: str, jobs: Mapping[str, Job], now: datetime
    ) -> list[tuple[Fire, Taken]]:
        """Return the fires of a dead node that this one may take over, each with the run that it takes over.
        The first nodes try, in the order in which they ask for a fire.
        """
        node = self._asked.get(ledger)
        taken = []
        for row in rows:
            job = jobs.get(row.job)
            if not (node and job and runs_again(job)):
                continue
            rank = self._membership.rank(label_of(job), row.job, row.wall, row.fold)
            if rank is None or rank >= MAX_TAKERS:
                continue
            fire = self._again(job, clock.at(row.fire), row.wall, row.fold, now)
            taken.append((fire, Taken(row.run, node.ledger, node.token)))
        return taken

    def own_fires(
        self, ended: Iterable[Fire], jobs: Mapping[str, Job], now: datetime
    ) -> list[tuple[Fire, Taken]]:
        """Return those fires that run again because this node has died, each with the run that it takes over:
        it is back before others take them. `ended` are the fires of runs whose ends nobody knows.

        A fire runs again once: a job that brings the machine down would do so for ever.
        """
        taken = []
        for fire in ended:
            job = jobs.get(fire.job.key)
            if not job or not runs_again(job) or fire.wall is None:
                continue
            run, earlier = self._table.runs_of(job.key, fire.wall, fire.fold)
            again = self._again(job, fire.at, fire.wall, fire.fold, now)
            if run and not earlier and again.attempt == fire.attempt + 1:  # else a retry waits
                taken.append((again, Taken(run, self._membership.ledger)))
        return taken

    def _again(self, job: Job, at: datetime, wall: int, fold: int, now: datetime) -> Fire:
        attempt, era = self._table.next_attempt(job.key, wall, fold)
        return Fire(job, at, wall, fold, era, "take-over", now, attempt)
