"""The timer: a future instant, a past one, replaced, and read when it has not fired."""

import os
import select
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from pycrond.host.timerfd import WallClockTimer

HOUR = timedelta(hours=1)
DELAY = timedelta(milliseconds=60)


@pytest.fixture
def timer() -> Iterator[WallClockTimer]:
    timer = WallClockTimer()
    yield timer
    os.close(timer.fileno())


def now() -> datetime:
    return datetime.now(UTC)


def fires(timer: WallClockTimer, timeout: float = 0.0) -> bool:
    return bool(select.select([timer], [], [], timeout)[0])


def test_an_unarmed_timer_does_not_fire(timer: WallClockTimer) -> None:
    assert not fires(timer)
    assert timer.read() is False


def test_the_timer_fires_at_the_instant_and_not_before(timer: WallClockTimer) -> None:
    at = now() + DELAY
    timer.arm(at)
    assert not fires(timer)
    assert fires(timer, 5)
    late = now() - at
    assert timedelta(0) <= late < timedelta(seconds=1)
    assert timer.read() is False
    assert not fires(timer)


@pytest.mark.parametrize("past", ["2001-01-01T00:00:00+00:00", "1970-01-01T00:00:01+00:00"])
def test_a_past_instant_fires_at_once(timer: WallClockTimer, past: str) -> None:
    timer.arm(datetime.fromisoformat(past))
    assert fires(timer, 5)


def test_a_second_instant_replaces_the_first(timer: WallClockTimer) -> None:
    timer.arm(now() - HOUR)
    timer.arm(now() + HOUR)
    assert not fires(timer)
    timer.arm(now() + DELAY)
    assert fires(timer, 5)


def test_the_same_instant_fires_again_after_reading(timer: WallClockTimer) -> None:
    at = now() - HOUR
    for _ in range(2):
        timer.arm(at)
        assert fires(timer, 5)
        timer.read()


def test_arming_again_for_the_same_instant_keeps_it(timer: WallClockTimer) -> None:
    at = now() + DELAY
    for _ in range(1000):
        timer.arm(at)
    assert fires(timer, 5)


def test_parts_of_a_second_count(timer: WallClockTimer) -> None:
    at = now() + timedelta(milliseconds=150, microseconds=777)
    timer.arm(at)
    assert fires(timer, 5)
    assert now() >= at
