"""The health of jobs that the nodes of a cluster share: a success on any node counts."""

import enum
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import NamedTuple, Protocol

from pycrond.jobs.events import Ended
from pycrond.jobs.job import Job
from pycrond.jobs.run import State
from pycrond.ledger.alarms import Health

LOOK_AHEAD = 120.0  # seconds before a job is overdue at which the other nodes are asked
JUDGE_INTERVAL = 5.0  # seconds between two judgements of a job that seems overdue to this node


class Judgement(enum.Enum):
    """The action of this node for a shared job that seems overdue to it."""

    REPORT = enum.auto()
    LATER = enum.auto()
    """The cluster has not answered yet, or another node is about to report it."""
    LEAVE = enum.auto()
    """Another node has reported it."""


class OtherNodes(Protocol):
    """Asks for successes on all nodes, and decides which node reports an overdue job."""

    def is_due(self, elapsed: float) -> bool:
        """Return whether it is time to ask again."""

    def ask(self, jobs: Mapping[str, float], now: datetime, elapsed: float) -> None:
        """Ask for the newest success of each of these jobs, by key, after a time in Unix seconds."""

    def take_successes(self) -> Mapping[str, float]:
        """Return the ends of the successes received since the last call, by key."""

    def judge(self, job: Job, overdue_at: float, elapsed: float) -> Judgement:
        """Judge a job without a known success that is overdue since a time in Unix seconds."""


class Recovered(NamedTuple):
    """A job that has succeeded on another node."""

    health: Health
    """The new health."""
    has_failed: bool
    """It was failing on this node."""


class SharedJobs:
    """Compares the health of shared jobs with the other nodes."""

    def __init__(
        self,
        nodes: OtherNodes,
        job_of: Callable[[str], Job | None],
        overdue_time: Callable[[Health], float | None],
    ) -> None:
        self._nodes = nodes
        self._job_of = job_of
        self._overdue_time = overdue_time
        self._failed_at: dict[str, float] = {}  # by key: the last failure on this node

    def ended(self, end: Ended) -> None:
        """Note the end of a run on this node: only later successes on other nodes count."""
        if end.outcome.state == State.SUCCEEDED:
            self._failed_at.pop(end.fire.job.key, None)
        else:
            at = end.fire.at if end.outcome.state in {State.UNKNOWN, State.LOST} else end.at
            self._failed_at[end.fire.job.key] = at.timestamp()

    def judge(self, key: str, overdue_at: float, elapsed: float) -> Judgement:
        """Judge a job that seems overdue to this node."""
        job = self._job_of(key)
        is_shared = job is not None and job.entry.options.is_shared
        return self._nodes.judge(job, overdue_at, elapsed) if job and is_shared else Judgement.REPORT

    def ask(self, healths: Iterable[Health], now: datetime, elapsed: float) -> None:
        """Ask for successes on other nodes of jobs for which they matter."""
        if not self._nodes.is_due(elapsed):
            return
        soon = now.timestamp() + LOOK_AHEAD
        jobs = {health.key: self._last_known(health) for health in healths if self._matters(health, soon)}
        self._nodes.ask(jobs, now, elapsed)

    def _matters(self, health: Health, soon: float) -> bool:
        """Return whether a job is failing on this node, or will soon seem overdue to it."""
        at = self._overdue_time(health._replace(overdue_at=None))
        is_bad = health.failing_since is not None or health.key in self._failed_at
        if not is_bad and (at is None or at > soon):
            return False
        job = self._job_of(health.key)
        return job is not None and job.entry.options.is_shared

    def _last_known(self, health: Health) -> float:
        """Return the time after which a success on another node counts."""
        failed_at = self._failed_at.get(health.key, health.failing_since)
        if failed_at is None:
            return health.succeeded_at or health.since
        return max(health.succeeded_at or 0.0, failed_at)

    def take_recovered(self, healths: Mapping[str, Health], now: datetime) -> list[Recovered]:
        """Return the jobs that have succeeded on other nodes, according to the answers."""
        recovered = []
        for key, ended_at in self._nodes.take_successes().items():
            health, at = healths.get(key), min(ended_at, now.timestamp())
            if health and at > self._last_known(health):
                recovered.append(Recovered(health.recovered(at), has_failed=health.failing_since is not None))
                self._failed_at.pop(key, None)
        return recovered
