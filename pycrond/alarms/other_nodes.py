"""The other nodes of a cluster, as alarms need them: a shared job may have succeeded on any of them."""

import enum
from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from pycrond.jobs.job import Job


class Judgement(enum.Enum):
    """The action of this node for a shared job that is overdue by its own knowledge."""

    REPORT = enum.auto()
    LATER = enum.auto()
    """The cluster has not answered yet, or another node is about to report it."""
    LEAVE = enum.auto()
    """Another node has reported it."""


class OtherNodes(Protocol):
    """Asks for successes on all nodes, and says which node reports that there was none."""

    def is_due(self, elapsed: float) -> bool:
        """Return whether it is time to ask again."""

    def ask(self, jobs: Mapping[str, float], now: datetime, elapsed: float) -> None:
        """Ask for the newest success of each of these jobs, by key, after a time in Unix seconds."""

    def take_successes(self) -> Mapping[str, float]:
        """Return the ends of the successes that were found since the last call, by key."""

    def judge(self, job: Job, overdue_at: float, elapsed: float) -> Judgement:
        """Judge a job that is overdue since a time in Unix seconds, as no success is known."""
