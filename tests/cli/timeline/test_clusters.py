"""Clusters of jobs, and the effect of a jitter on them compared with random draws."""

from random import Random

import pytest

from pycrond.cli.timeline.clusters import find_clusters, largest

TWO = 120  # the minute 02:00


def names(count: int, prefix: str = "job") -> list[str]:
    return [f"{prefix}-{number}" for number in range(count)]


def test_a_cluster_and_its_jitter() -> None:
    (cluster,) = find_clusters({TWO: names(41), TWO + 60: names(3, "other")})
    assert (cluster.minute, len(cluster.jobs), cluster.again) == (TWO, 41, 0)
    suggestion = cluster.suggestion
    assert suggestion is not None
    assert (suggestion.jitter, len(suggestion.jobs), suggestion.most) == (900, 41, 9)
    assert 5.5 < suggestion.average < 6.5


@pytest.mark.parametrize(
    ("fires", "clusters", "why"),
    [
        ({TWO: names(9)}, [], "nine are no cluster"),
        ({TWO: names(10)}, [(TWO, 0)], "ten are"),
        ({TWO: [*names(5), *names(5)]}, [], "five jobs that start twice are five"),
        ({TWO: names(20), TWO + 60: names(30)}, [(TWO + 60, 1)], "the same cluster again"),
        ({TWO: names(20), TWO + 60: names(30, "x")}, [(TWO + 60, 0), (TWO, 0)], "the largest first"),
        ({TWO: names(20), TWO + 60: names(101, "x")}, [(TWO + 60, 0)], "less than a fifth of the largest"),
    ],
)
def test_which_minutes_are_clusters(
    fires: dict[int, list[str]], clusters: list[tuple[int, int]], why: str
) -> None:
    assert [(cluster.minute, cluster.again) for cluster in find_clusters(fires)] == clusters, why


def suggested(fires: dict[int, list[str]], jittered: list[str] | None = None) -> tuple[int, int] | None:
    """Return the suggested jitter and the number of jobs that get it."""
    suggestion = find_clusters(fires, jittered or [])[0].suggestion
    return (suggestion.jitter, len(suggestion.jobs)) if suggestion else None


def test_no_job_is_delayed_into_its_next_start() -> None:
    every_minute = {TWO + minute: names(20) for minute in range(10)}
    assert suggested(every_minute) is None
    every_ten = {TWO + minute: names(40) for minute in range(0, 60, 10)}
    assert suggested(every_ten) == (300, 40)
    mixed = {minute: [*names(20), *(names(60, "day") if minute == TWO else [])] for minute in range(TWO, 200)}
    assert suggested(mixed) == (600, 60)


def test_a_job_with_a_jitter_gets_no_other() -> None:
    assert suggested({TWO: names(50)}, names(10)) == (600, 40)
    assert suggested({TWO: names(50)}, names(50)) is None
    assert suggested({TWO: names(50)}, names(40)) is None  # ten of fifty would make no difference


def test_other_starts_in_those_minutes_count() -> None:
    crowded = {TWO: names(40)} | {TWO + 1 + minute: names(9, "x") for minute in range(60)}
    suggestion = find_clusters(crowded)[0].suggestion
    assert suggestion is not None
    assert suggestion.most > 9


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
def test_the_largest_minute_agrees_with_draws(moved: int, jitter: int, others: list[int]) -> None:
    draws = Random(1)
    sizes = []
    for _ in range(300):
        minutes = list(others)
        for _ in range(moved):
            minutes[draws.randint(0, jitter) // 60] += 1
        sizes.append(max(minutes))
    average, most = largest(moved, jitter, others)
    assert abs(average - sum(sizes) / len(sizes)) < 0.05 * average + 0.3
    assert sum(size > most for size in sizes) <= 0.03 * len(sizes)
    assert most <= max(sizes) + 3
