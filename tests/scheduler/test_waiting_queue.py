"""The lanes of waiting runs: an end wakes only the runs that it concerns, and users take turns."""

from datetime import UTC, datetime, timedelta

from pycrond.jobs.job import Job
from pycrond.jobs.run import Cause, Fire, Reason, Run, State
from pycrond.runs.launcher import ClaimedRun
from pycrond.scheduler.waiting_queue import Lane, WaitingQueue, lane_of
from tests.conftest import jobs_of

NOON = datetime(2025, 6, 10, 12, 0, tzinfo=UTC)
OVERLAP, LOCK, PLACE = (Cause(reason) for reason in (Reason.OVERLAP, Reason.LOCK, Reason.MAX_RUNNING))


def job(name: str, user: str = "root", options: str = "") -> Job:
    (parsed,) = jobs_of(f"#: name={name} {options}\n* * * * * true\n", user)
    return parsed


class Claims:
    """Creates claimed runs with increasing numbers."""

    def __init__(self) -> None:
        self._number = 0

    def make(self, of: Job, minute: int = 0) -> ClaimedRun:
        self._number += 1
        fire = Fire(of, NOON + timedelta(minutes=minute), minute)
        return ClaimedRun(Run(self._number, fire, State.WAITING), has_waited=True)


def drain(queue: WaitingQueue) -> list[int]:
    """Start every woken run, and return their numbers."""
    numbers = []
    while woken := queue.next_woken():
        claimed, _ = woken
        numbers.append(claimed.run.id)
        queue.remove(claimed)
        queue.end_turn(claimed.run.job.user)
    return numbers


def test_an_end_wakes_only_its_lane_in_the_order_of_the_fires() -> None:
    queue, claims, a, b = WaitingQueue(), Claims(), job("a"), job("b")
    for minute in (2, 1, 3):
        queue.add(claimed := claims.make(a, minute), lane_of(claimed, OVERLAP))
    queue.add(claimed := claims.make(b), lane_of(claimed, OVERLAP))
    assert queue.next_woken() is None
    queue.wake(Lane(Reason.OVERLAP, a.key))
    assert drain(queue) == [2, 1, 3]
    assert [claimed.run.id for claimed in queue.claims] == [4]
    assert (queue.count(a.key), queue.count(b.key), queue.count_of_user("root"), len(queue)) == (0, 1, 1, 1)


def test_users_take_turns_for_places() -> None:
    queue, claims = WaitingQueue(), Claims()
    jobs = [job("x", "mallory")] * 3 + [job("y", "alice")] * 2 + [job("z", "bob")]
    for number, of in enumerate(jobs):
        queue.add(claimed := claims.make(of, number), lane_of(claimed, PLACE))
    queue.wake_places()
    assert drain(queue) == [1, 4, 6, 2, 5, 3]


def test_a_run_that_goes_on_to_wait_for_something_else_leaves_its_lane() -> None:
    queue, claims, of = WaitingQueue(), Claims(), job("a", options="lock=l")
    queue.add(claimed := claims.make(of), lane_of(claimed, PLACE))
    queue.add(claimed, lane_of(claimed, LOCK))
    queue.wake_places()
    assert queue.next_woken() is None
    queue.wake(lane_of(claimed, LOCK))
    assert drain(queue) == [1]


def test_a_lane_whose_first_run_cannot_start_sleeps() -> None:
    queue, claims, of = WaitingQueue(), Claims(), job("a")
    queue.add(claimed := claims.make(of), lane := lane_of(claimed, OVERLAP))
    queue.wake(lane)
    queue.sleep(lane)
    assert queue.next_woken() is None
    queue.wake(lane)
    assert drain(queue) == [1]


def test_a_run_that_becomes_too_late_is_reported_once() -> None:
    queue, claims, of = WaitingQueue(), Claims(), job("a", options="within=90s")
    queue.add(claimed := claims.make(of), lane_of(claimed, OVERLAP))
    deadline = queue.next_at
    assert deadline is not None
    assert NOON + timedelta(seconds=90) < deadline < NOON + timedelta(seconds=91)
    assert queue.pop_too_late(NOON + timedelta(seconds=90)) == []
    assert queue.pop_too_late(deadline) == [claimed]
    assert queue.pop_too_late(NOON + timedelta(days=1)) == []
    assert queue.next_at is None
    assert len(queue) == 1
