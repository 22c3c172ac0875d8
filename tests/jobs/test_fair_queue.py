"""Users take turns, and each user's things keep their order."""

from pycrond.jobs.fair_queue import FairQueue


def test_users_take_turns() -> None:
    queue: FairQueue[str] = FairQueue()
    for thing in ("a1", "a2", "a3", "b1", "c1", "b2"):
        queue.push(thing[0], thing)
    assert [queue.pop() for _ in range(len(queue))] == ["a1", "b1", "c1", "a2", "b2", "a3"]
    assert not queue


def test_a_user_that_comes_back_has_its_turn_after_the_others() -> None:
    queue: FairQueue[str] = FairQueue()
    queue.push("a", "a1")
    queue.push("b", "b1")
    assert queue.pop() == "a1"
    queue.push("a", "a2")
    assert queue.pop() == "b1"
    assert queue.pop() == "a2"
