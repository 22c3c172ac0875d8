"""The queue of alarms: shares, turns and order, and a cost that does not grow with the number of waiting
alarms.
"""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycrond.alarms import queue
from pycrond.alarms.queue import MAX_DELIVERIES, MAX_OF_USER, AlarmQueue
from pycrond.ledger.alarms import Alarm


def alarm(number: int, key: str = "root/job", kind: str = "hook", at: float = 0.0) -> Alarm:
    return Alarm(number, None, key, kind, "failure", at, at, 0, "{}")


def take_all(waiting: AlarmQueue, now: float = 0.0) -> list[Alarm]:
    taken = []
    while (one := waiting.pop(now)) is not None:
        taken.append(one)
    return taken


def test_a_user_has_a_share_and_all_users_have_a_limit() -> None:
    waiting = AlarmQueue(0)
    for number in range(100):
        waiting.add(alarm(number, f"user{number % 10}/job{number}"))
    taken = take_all(waiting)
    assert len(taken) == MAX_DELIVERIES
    assert max(Counter(one.user for one in taken).values()) <= MAX_OF_USER
    assert waiting.next_at is None
    assert len(waiting) == 100


def test_users_take_turns() -> None:
    waiting = AlarmQueue(0)
    for number in range(50):
        waiting.add(alarm(number, f"first/job{number}"))
    waiting.add(alarm(50, "second/job"))
    waiting.add(alarm(51, "third/job"))
    assert [one.user for one in take_all(waiting)] == [
        "first",
        "second",
        "third",
        *["first"] * (MAX_OF_USER - 1),
    ]


def test_a_user_with_a_full_share_waits_for_an_end() -> None:
    waiting = AlarmQueue(0)
    for number in range(20):
        waiting.add(alarm(number, f"root/job{number}"))
    first, *_ = take_all(waiting)
    assert waiting.pop(0.0) is None
    assert waiting.next_at is None
    waiting.done(first)
    assert len(take_all(waiting)) == 1


def test_one_of_a_job_and_kind_is_delivered_at_a_time() -> None:
    waiting = AlarmQueue(0)
    for number, kind in enumerate(["hook", "hook", "mail", "ping"]):
        waiting.add(alarm(number, kind=kind))
    taken = take_all(waiting)
    assert [one.id for one in taken] == [0, 2, 3]
    waiting.done(taken[0])
    assert [one.id for one in take_all(waiting)] == [1]


@pytest.mark.parametrize(("kind", "then"), [("ping", None), ("mail", 2)])
def test_a_ping_that_is_tried_again_delays_those_behind_it(kind: str, then: int | None) -> None:
    waiting = AlarmQueue(0)
    first = alarm(1, kind=kind)
    waiting.add(first)
    waiting.add(alarm(2, kind=kind))
    assert waiting.pop(0.0) is first
    first.next_at = 10.0
    waiting.put_back(first)
    second = waiting.pop(5.0)
    assert (second.id if second else None) == then
    if second:
        waiting.done(second)
    assert waiting.next_at == 10.0
    assert waiting.pop(10.0) is first


def test_a_user_may_have_so_many_alarms_and_so_many_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = AlarmQueue(3)
    assert [waiting.add(alarm(number)) for number in range(4)] == [True, True, True, False]
    assert waiting.add(alarm(4, "other/job"))
    first = waiting.pop(0.0)
    assert first
    assert not waiting.add(alarm(5))
    waiting.done(first)
    assert waiting.add(alarm(6))
    monkeypatch.setattr(queue, "MAX_BYTES_OF_USER", 5)
    assert [waiting.add(alarm(number, "third/job")) for number in range(7, 10)] == [True, True, False]


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 3), st.sampled_from(["ping", "mail"]), st.integers(0, 9))
    )
)
def test_every_alarm_is_delivered_once_and_never_before_its_time(
    rows: list[tuple[int, int, str, int]],
) -> None:
    """Each alarm is put back once, to be due three seconds later."""
    waiting = AlarmQueue(0)
    delivered, running = [], []
    for number, (user, job, kind, at) in enumerate(rows):
        assert waiting.add(alarm(number, f"user{user}/job{job}", kind, float(at)))
    now = 0.0
    while len(waiting):
        taken = take_all(waiting, now)
        running += taken
        assert len(running) <= MAX_DELIVERIES
        assert len({(one.key, one.kind) for one in running}) == len(running)
        assert all((one.next_at or 0.0) <= now for one in taken)
        while running:
            one = running.pop()
            one.tries += 1
            if one.tries == 1:
                one.next_at = now + 3
                waiting.put_back(one)
            else:
                waiting.done(one)
                delivered.append(one.id)
        if len(waiting):
            next_at = waiting.next_at
            assert next_at is not None
            now = max(now, next_at)
    assert sorted(delivered) == list(range(len(rows)))
    assert waiting.next_at is None
    assert not waiting._users
    assert not waiting._lanes
