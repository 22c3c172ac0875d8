"""Herds of jobs, and what a jitter would make of them, held against draws."""

from random import Random

import pytest

from pycrond.cli.timeline.clusters import find_clusters, largest

TWO = 120  # the minute 02:00


def names(count: int, prefix: str = "job") -> list[str]:
    return [f"{prefix}-{number}" for number in range(count)]


def test_a_herd_is_found_and_parted() -> None:
    (herd,) = find_clusters({TWO: names(41), TWO + 60: names(3, "other")})
    assert (herd.minute, len(herd.jobs), herd.again) == (TWO, 41, 0)
    said = herd.suggestion
    assert said is not None
    assert (said.jitter, len(said.jobs), said.most) == (900, 41, 9)
    assert 5.5 < said.average < 6.5


@pytest.mark.parametrize(
    ("fires", "found", "why"),
    [
        ({TWO: names(9)}, [], "nine are no herd"),
        ({TWO: names(10)}, [(TWO, 0)], "ten are"),
        ({TWO: [*names(5), *names(5)]}, [], "five jobs that start twice are five"),
        ({TWO: names(20), TWO + 60: names(30)}, [(TWO + 60, 1)], "the same herd again"),
        ({TWO: names(20), TWO + 60: names(30, "x")}, [(TWO + 60, 0), (TWO, 0)], "the largest first"),
        ({TWO: names(20), TWO + 60: names(101, "x")}, [(TWO + 60, 0)], "a fifth of the largest is little"),
    ],
)
def test_what_is_a_stampede(fires: dict[int, list[str]], found: list[tuple[int, int]], why: str) -> None:
    assert [(one.minute, one.again) for one in find_clusters(fires)] == found, why


def suggested(fires: dict[int, list[str]], jittered: list[str] | None = None) -> tuple[int, int] | None:
    """Jitter, and how many are to have it."""
    said = find_clusters(fires, jittered or [])[0].suggestion
    return (said.jitter, len(said.jobs)) if said else None


def test_nobody_is_delayed_into_his_next_start() -> None:
    every_minute = {TWO + minute: names(20) for minute in range(10)}
    assert suggested(every_minute) is None
    every_ten = {TWO + minute: names(40) for minute in range(0, 60, 10)}
    assert suggested(every_ten) == (300, 40)
    mixed = {minute: [*names(20), *(names(60, "day") if minute == TWO else [])] for minute in range(TWO, 200)}
    assert suggested(mixed) == (600, 60)


def test_who_has_a_jitter_is_given_no_other() -> None:
    assert suggested({TWO: names(50)}, names(10)) == (600, 40)
    assert suggested({TWO: names(50)}, names(50)) is None
    assert suggested({TWO: names(50)}, names(40)) is None  # ten of fifty would make no difference


def test_others_in_those_minutes_count() -> None:
    crowded = {TWO: names(40)} | {TWO + 1 + minute: names(9, "x") for minute in range(60)}
    said = find_clusters(crowded)[0].suggestion
    assert said is not None
    assert said.most > 9


@pytest.mark.parametrize(
    ("moved", "jitter", "others"),
    [
        (41, 600, [0] * 11),
        (41, 3600, [0] * 61),
        (1500, 900, [30] * 16),
        (41, 600, [3] * 5 + [20] + [0] * 5),
        (300, 120, [0, 0, 0]),
    ],
)
def test_the_largest_minute_is_what_draws_give(moved: int, jitter: int, others: list[int]) -> None:
    draws = Random(1)
    seen = []
    for _ in range(300):
        minutes = list(others)
        for _ in range(moved):
            minutes[draws.randint(0, jitter) // 60] += 1
        seen.append(max(minutes))
    average, most = largest(moved, jitter, others)
    assert abs(average - sum(seen) / len(seen)) < 0.05 * average + 0.3
    assert sum(one > most for one in seen) <= 0.03 * len(seen)
    assert most <= max(seen) + 3
