"""Dead nodes, including this node before its restart: their open fires are closed as lost, or taken over
by this node.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime

from pycrond import clock
from pycrond.cluster.agent_link import AgentLink
from pycrond.cluster.fire import EarlierRun
from pycrond.cluster.membership import ABANDONED_AFTER, LOST_AFTER, DeadNode, Membership
from pycrond.cluster.protocol import Abandoned, Bury, Row
from pycrond.cluster.shared_jobs import label_of, runs_again
from pycrond.jobs.job import Job
from pycrond.jobs.run import Fire
from pycrond.ledger.cluster import ClusterTable
from pycrond.output.daemon_log import DaemonLog

TURN = 3.0  # seconds that each node waits longer than the node before it in the order
BURIALS = 10  # times that a node closes the fires of a dead node, LOST_AFTER apart
MAX_TAKERS = 5  # nodes that try to take a fire over


class DeadNodes:
    """Asks for the open fires of dead nodes, once for each dead node; the living nodes act in their order."""

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
        """Take the steps that are due between two lengths of a node's silence, in seconds."""
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
        """Close the open fires of a dead node as lost. This is repeated, because the node's agent may have
        lived longer, and a failover may lose rows. Repetitions include the fires that no node has taken over.
        """
        if is_first:
            text = f"{node.name} is dead: its runs are closed as lost"
            self._log.write("CLUSTER", text, now, level="warning")
        self._link.send(Bury(self._link.number(), node.ledger, node.token, not is_first))

    def fires_to_take(
        self, rows: tuple[Row, ...], ledger: str, jobs: Mapping[str, Job], now: datetime
    ) -> list[tuple[Fire, EarlierRun]]:
        """Return the fires of a dead node that this node may take over, each with its earlier run. Only the
        first MAX_TAKERS nodes try, in the order in which they ask for a fire.
        """
        node = self._asked.get(ledger)
        repeated = []
        for row in rows:
            job = jobs.get(row.job)
            if not (node and job and runs_again(job)):
                continue
            rank = self._membership.rank(label_of(job), row.job, row.wall, row.fold)
            if rank is None or rank >= MAX_TAKERS:
                continue
            fire = self._again(job, clock.at(row.fire), row.wall, row.fold, now)
            repeated.append((fire, EarlierRun(row.run, node.ledger, node.token)))
        return repeated

    def own_fires(
        self, ended: Iterable[Fire], jobs: Mapping[str, Job], now: datetime
    ) -> list[tuple[Fire, EarlierRun]]:
        """Return the fires that run again because this node died and is back before other nodes take them
        over, each with its earlier run. `ended` are the fires of runs with an unknown end.

        A fire runs again only once: otherwise a job that crashes the machine would crash it for ever.
        """
        repeated = []
        for fire in ended:
            job = jobs.get(fire.job.key)
            if not job or not runs_again(job) or fire.wall is None:
                continue
            run, earlier = self._table.runs_of(job.key, fire.wall, fire.fold)
            again = self._again(job, fire.at, fire.wall, fire.fold, now)
            if run and not earlier and again.attempt == fire.attempt + 1:  # else a retry is waiting
                repeated.append((again, EarlierRun(run, self._membership.ledger)))
        return repeated

    def _again(self, job: Job, at: datetime, wall: int, fold: int, now: datetime) -> Fire:
        attempt, era = self._table.next_attempt(job.key, wall, fold)
        return Fire(job, at, wall, fold, era, "take-over", now, attempt)
