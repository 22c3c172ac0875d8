"""The judgement of jobs that seem overdue to a node, by the successes on all nodes."""

from datetime import datetime

import pytest

from pycrond import clock
from pycrond.alarms.shared_jobs import Judgement
from pycrond.cluster.membership import Membership
from pycrond.cluster.protocol import LastSuccess, NodeRow, Nodes, Request, Row
from pycrond.cluster.successes import GRACE, MAX_DELAY, SETTLING, Successes
from pycrond.jobs.job import Job
from tests.conftest import jobs_of

T = 1_900_000_000.0
BOOT = T - 1000  # the zero of the monotonic clock
REPORT, LATER, LEAVE = Judgement


class Link:
    """The daemon's end of an agent, without the agent."""

    def __init__(self) -> None:
        self.is_connected = True
        self.sent: list[Request] = []
        self.forgotten: list[int] = []

    def number(self) -> int:
        return len(self.sent) + 1

    def send(self, request: Request) -> None:
        self.sent.append(request)

    def forget(self, number: int) -> None:
        self.forgotten.append(number)


def nodes(*names: str, digest: str = "same", **others: str) -> Nodes:
    rows = [
        NodeRow(name, f"ledger-{name}", f"token-{name}", False, (), "1", 0, others.get(name, digest))
        for name in names
    ]
    return Nodes(1, 1, 0, tuple(rows))


def at(seconds: float) -> datetime:
    return clock.at(seconds)


class Node:
    """A node of a cluster of a and b, and one of its jobs."""

    def __init__(self, name: str, job: Job, **digests: str) -> None:
        self.job = job
        self.membership = Membership(name, f"ledger-{name}")
        self.membership.observe(nodes("a", "b", **digests), 0.0)
        self.link = Link()
        self.successes = Successes(self.membership, self.link)  # type: ignore[arg-type]

    def judge(self, overdue_at: float, now: float) -> Judgement:
        return self.successes.judge(self.job, overdue_at, now - BOOT)

    def ask(self, now: float) -> LastSuccess:
        assert self.successes.is_due(now - BOOT)
        self.successes.ask({self.job.key: T - 60}, at(now), now - BOOT)
        request = self.link.sent[-1]
        assert isinstance(request, LastSuccess)
        assert request.jobs == ((self.job.key, T - 60),)
        return request


@pytest.fixture
def job() -> Job:
    (job,) = jobs_of("#: name=j on=one expect=1m\n* * * * * true\n")
    return job


def pair(job: Job, **digests: str) -> tuple[Node, Node]:
    """Return the first node in the order, and the other node."""
    a, b = Node("a", job, **digests), Node("b", job, **digests)
    is_first = a.membership.is_first(None, job.key, "expect")
    return (a, b) if is_first else (b, a)


def test_one_node_reports_and_only_after_an_answer_to_a_later_question(job: Job) -> None:
    first, second = pair(job)
    assert [node.judge(T, T + 1) for node in (first, second)] == [LATER, LATER]
    for node in (first, second):
        early = node.ask(T - 1)
        node.successes.answered(early.number, ())
        assert node.judge(T, T + 1) == LATER, "the job may have succeeded between the question and then"
        assert not node.successes.is_due(1002)
        late = node.ask(T + 9.5)
        node.successes.answered(late.number, ())
    assert [node.judge(T, T + 12) for node in (first, second)] == [REPORT, LATER]
    assert second.judge(T, T + 1 + GRACE) == LEAVE


def test_a_success_is_taken_once(job: Job) -> None:
    node, _ = pair(job)
    row = Row(job.key, 1, 0, "run", "b", "succeeded", "", True, T - 5, T - 1)
    node.successes.answered(node.ask(T).number, (row,))
    assert node.successes.take_successes() == {job.key: T - 1}
    assert node.successes.take_successes() == {}


def test_without_an_answer_the_first_node_reports_later(job: Job) -> None:
    first, second = pair(job)
    for node in (first, second):
        node.link.is_connected = False
        assert node.judge(T, T) == LATER
        assert not node.successes.is_due(1000 + MAX_DELAY)
        assert node.judge(T, T + MAX_DELAY - 1) == LATER
    assert [node.judge(T, T + MAX_DELAY) for node in (first, second)] == [REPORT, LEAVE]


def test_after_a_connection_the_others_have_time_to_tell(job: Job) -> None:
    node, _ = pair(job)
    request = node.ask(T)
    node.successes.connected(1005.0)
    assert node.link.forgotten == [request.number]
    assert not node.successes.is_due(1004 + SETTLING)
    assert node.successes.is_due(1005 + SETTLING)


def test_nodes_with_other_shared_jobs_judge_for_themselves(job: Job) -> None:
    first, second = pair(job, a="old", b="new")
    for node in (first, second):
        node.successes.answered(node.ask(T).number, ())
        assert node.judge(T, T + 1) == REPORT
