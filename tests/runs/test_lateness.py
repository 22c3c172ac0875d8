"""The figures about the lateness of starts."""

import pytest

from pycrond.runs.lateness import Lateness


@pytest.mark.parametrize(
    ("starts", "median", "p99", "worst"),
    [
        ([], None, None, None),
        ([3.0], 3.0, 3.0, 3.0),
        ([1.0, 9.0], 1.0, 9.0, 9.0),
        ([float(n) for n in range(1, 101)], 50.0, 100.0, 100.0),
        ([float(n) for n in range(1, 1001)], 500.0, 991.0, 1000.0),
    ],
)
def test_lateness_is_summarized_by_median_p99_and_worst(
    starts: list[float], median: float, p99: float, worst: float
) -> None:
    lateness = Lateness()
    for start in starts[::-1]:
        lateness.add(0.0, start)
    figures = lateness.figures(601.0)
    del figures["total"]
    assert figures == {
        "starts": len(starts),
        "median": median,
        "p99": p99,
        "worst": worst,
        "worst_recent": None,
    }


def test_the_worst_of_the_last_ten_minutes_and_the_numbers_of_all_starts() -> None:
    lateness = Lateness()
    for at, late in ((0.0, 70_000.0), (100.0, 2000.0), (200.0, 100.0), (300.0, -5.0)):
        lateness.add(at, late)
    figures = lateness.figures(650.0)
    assert figures["worst_recent"] == 2000.0
    assert figures["total"] == {
        "starts": 4,
        "seconds": 72.1,
        "within": {"0.1": 2, "1.0": 2, "10.0": 3, "60.0": 3},
    }
