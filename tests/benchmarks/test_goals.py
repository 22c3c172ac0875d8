"""The judgement and the tables of the benchmark, from given values."""

import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import figures  # noqa: E402
import goals  # noqa: E402
import report  # noqa: E402

ABSOLUTE = figures.Goal("a", "a thing", "ms", 5)
WORST = figures.Goal("b", "another", "ms", 5, worst=True)
LEAST = figures.Goal("c", "how many", "", 20, worst=True, is_minimum=True)
BESIDE = figures.Goal("d", "beside", "ms", None, {"cronie": 0.5})
LATER = figures.Goal("e", "later", "ms", past=True)


@pytest.mark.parametrize(
    ("goal", "measured", "met"),
    [
        (ABSOLUTE, {"pycrond": [1, 2, 9]}, [True]),
        (WORST, {"pycrond": [1, 2, 9]}, [False]),
        (LEAST, {"pycrond": [20, 20]}, [True]),
        (LEAST, {"pycrond": [20, 19]}, [False]),
        (BESIDE, {"pycrond": [4], "cronie": [8]}, [True]),
        (BESIDE, {"pycrond": [5], "cronie": [8]}, [False]),
        (BESIDE, {"pycrond": [5]}, []),  # no peer was measured
        (LATER, {"pycrond": [10], "past": [11]}, [True]),
        (LATER, {"pycrond": [10], "past": [12]}, [False]),
        (BESIDE, {"cronie": [8]}, []),  # pycrond was not measured
    ],
)
def test_a_goal_is_met(goal: figures.Goal, measured: dict[str, list[float]], met: list[bool]) -> None:
    assert list(figures.verdicts(goal, measured).values()) == met


def test_each_row_has_its_goal_once() -> None:
    rows = [goal.row for goal in goals.GOALS]
    assert len(rows) == len(set(rows))


def test_the_table_says_what_was_not_measured() -> None:
    row = figures.document(BESIDE, {"pycrond": [4.0], "cronie": [8.0]})
    assert report.cells(row) == (
        *("beside", "ms", "4", "4", "4", "<= 0.50 x cronie", "yes"),
        *("8 (x 0.50)", "not measured", "not measured", "not measured"),
    )


def test_runs_of_one_daemon_each_make_one_row() -> None:
    ours = {"machine": {}, "rows": [figures.document(goals.GOALS[0], {"pycrond": [4.0]})]}
    later = {
        "machine": {},
        "rows": [figures.document(goals.GOALS[0], {"past": [4.2]})],
        "loads": {"one": 0.5},
    }
    (row,) = report.merged([ours, later])["rows"]
    assert row["met"] == {"<= 5 ms": True, "<= 1.10 x itself with a past": True}
