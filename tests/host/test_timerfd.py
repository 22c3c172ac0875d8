"""The timer: at an instant, at once for a past one, moved, and read in peace."""

import select
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from pycrond.host.timerfd import WallClockTimer

HOUR = timedelta(hours=1)
SOON = timedelta(milliseconds=60)


@pytest.fixture
def timer() -> Iterator[WallClockTimer]:
    one = WallClockTimer()
    yield one
    one.close()


def now() -> datetime:
    return datetime.now(UTC)


def rings(timer: WallClockTimer, timeout: float = 0.0) -> bool:
    return bool(select.select([timer], [], [], timeout)[0])


def test_unarmed_it_is_silent(timer: WallClockTimer) -> None:
    assert not rings(timer)
    assert timer.read() is False


def test_it_wakes_at_the_instant_and_not_before(timer: WallClockTimer) -> None:
    at = now() + SOON
    timer.arm(at)
    assert not rings(timer)
    assert rings(timer, 5)
    late = now() - at
    assert timedelta(0) <= late < timedelta(seconds=1)
    assert timer.read() is False
    assert not rings(timer)


@pytest.mark.parametrize("past", ["2001-01-01T00:00:00+00:00", "1970-01-01T00:00:01+00:00"])
def test_the_past_is_at_once(timer: WallClockTimer, past: str) -> None:
    timer.arm(datetime.fromisoformat(past))
    assert rings(timer, 5)


def test_a_later_call_replaces_an_earlier_one(timer: WallClockTimer) -> None:
    timer.arm(now() - HOUR)
    timer.arm(now() + HOUR)
    assert not rings(timer)
    timer.arm(now() + SOON)
    assert rings(timer, 5)


def test_after_reading_the_same_instant_rings_again(timer: WallClockTimer) -> None:
    at = now() - HOUR
    for _ in range(2):
        timer.arm(at)
        assert rings(timer, 5)
        timer.read()


def test_arming_again_for_the_same_instant_keeps_it(timer: WallClockTimer) -> None:
    at = now() + SOON
    for _ in range(1000):
        timer.arm(at)
    assert rings(timer, 5)


def test_parts_of_a_second_count(timer: WallClockTimer) -> None:
    at = now() + timedelta(milliseconds=150, microseconds=777)
    timer.arm(at)
    assert rings(timer, 5)
    assert now() >= at
