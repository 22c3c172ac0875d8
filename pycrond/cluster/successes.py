"""The successes of shared jobs with `expect` on any node, and the choice of the node that reports overdue
jobs.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from pycrond.alarms.shared_jobs import Judgement
from pycrond.cluster.agent_link import AgentLink
from pycrond.cluster.membership import Membership
from pycrond.cluster.protocol import LastSuccess, Row, batches
from pycrond.jobs.job import Job

ASK_INTERVAL = 60.0  # seconds between two questions
EARLY_ASK_INTERVAL = 10.0  # seconds between two questions while a job seems overdue to this node
SETTLING = 20.0  # seconds after a connection in which other nodes report earlier successes
MAX_DELAY = 600.0  # seconds without an answer after which this node decides by its own knowledge
GRACE = 120.0  # seconds in which the nodes agree on the first node, and it reports a job


class Successes:
    """Asks for successes, and judges jobs that seem overdue to this node."""

    def __init__(self, membership: Membership, link: AgentLink) -> None:
        self._membership = membership
        self._link = link
        self._ask_at = 0.0  # by clock.elapsed
        self._asked_at = 0.0
        self._asked: dict[
            int, tuple[Sequence[str], float]
        ] = {}  # questions without an answer: jobs, Unix seconds
        self._answered: dict[str, float] = {}  # the time of the last answered question about each job
        self._waiting_since: dict[str, float] = {}  # overdue jobs by key; times by clock.elapsed
        self._successes: dict[str, float] = {}

    def connected(self, elapsed: float) -> None:
        """Give the other nodes time to report runs that have ended meanwhile."""
        self._ask_at = elapsed + SETTLING
        self._answered.clear()
        for number in self._asked:
            self._link.forget(number)
        self._asked.clear()

    def is_due(self, elapsed: float) -> bool:
        return elapsed >= self._ask_at and not self._asked and self._link.is_connected

    def ask(self, jobs: Mapping[str, float], now: datetime, elapsed: float) -> None:
        self._ask_at, self._asked_at = elapsed + ASK_INTERVAL, elapsed
        self._answered = {key: at for key, at in self._answered.items() if key in jobs}
        self._waiting_since = {key: at for key, at in self._waiting_since.items() if key in jobs}
        for some in batches([*jobs.items()]):
            number = self._link.number()
            self._asked[number] = ([key for key, _ in some], now.timestamp())
            self._link.send(LastSuccess(number, some))

    def answered(self, number: int, rows: Sequence[Row]) -> None:
        """Handle the answer to a question."""
        keys, at = self._asked.pop(number, ((), 0.0))
        self._answered.update(dict.fromkeys(keys, at))
        self._successes.update({row.job: row.ended for row in rows if row.ended is not None})

    def take_successes(self) -> Mapping[str, float]:
        successes, self._successes = self._successes, {}
        return successes

    def judge(self, job: Job, overdue_at: float, elapsed: float) -> Judgement:
        """Decide whether this node reports a job. Without an answer the alarm is delayed, and then left to
        the node that was the first at the last answer to a heartbeat.
        """
        since = self._waiting_since.setdefault(job.key, elapsed)
        if self._answered.get(job.key, 0.0) < overdue_at and elapsed - since < MAX_DELAY:
            self._ask_at = min(self._ask_at, max(self._asked_at + EARLY_ASK_INTERVAL, elapsed))
            return Judgement.LATER
        is_first = self._membership.is_first(job.entry.options.label, job.key, "expect")
        if not is_first and elapsed - since < GRACE:
            return Judgement.LATER
        del self._waiting_since[job.key]
        return Judgement.REPORT if is_first else Judgement.LEAVE
