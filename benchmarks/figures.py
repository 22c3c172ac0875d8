"""Measured figures, and the goals with which they are compared."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Figure:
    """The values of a daemon for a row of the table."""

    row: str
    daemon: str
    values: Sequence[float]


@dataclass(frozen=True, slots=True)
class Goal:
    """The title of a row and the limits for pycrond's figures in it; a row without limits only informs.

    `limit` is in the row's unit and is a maximum, or a minimum if `is_minimum`. `ratios` are the greatest
    allowed ratios to the medians of peers.
    """

    row: str
    title: str
    unit: str
    limit: float | None = None
    ratios: Mapping[str, float] = field(default_factory=dict)
    worst: bool = False
    """True if the worst value is judged, instead of the median."""
    is_minimum: bool = False
    past: bool = False
    """True if the figure with a full ledger is judged, too."""


PAST_RATIO = 1.10
"""The greatest allowed ratio of a figure with a full ledger to the one with an empty ledger."""

PYCROND, WITH_PAST = "pycrond", "past"


def judged_value(goal: Goal, values: Sequence[float]) -> float:
    """Return the value that is compared with the limits."""
    if goal.worst:
        return min(values) if goal.is_minimum else max(values)
    return statistics.median(values)


def verdicts(goal: Goal, measured: Mapping[str, Sequence[float]]) -> dict[str, bool]:
    """Return whether each limit of the goal is met, by its text; limits without measurement are left out."""
    ours = measured.get(PYCROND)
    if not ours:
        return {}
    value = judged_value(goal, ours)
    met = {}
    if goal.limit is not None:
        sign = ">=" if goal.is_minimum else "<="
        text = f"{sign} {goal.limit:g} {goal.unit}".strip()
        met[text] = value >= goal.limit if goal.is_minimum else value <= goal.limit
    for peer, ratio in goal.ratios.items():
        if measured.get(peer):
            met[f"<= {ratio:.2f} x {peer}"] = value <= ratio * judged_value(goal, measured[peer])
    if goal.past and measured.get(WITH_PAST):
        met[f"<= {PAST_RATIO:.2f} x itself with a past"] = (
            judged_value(goal, measured[WITH_PAST]) <= PAST_RATIO * value
        )
    return met


def limits_text(goal: Goal) -> str:
    """Return the text of all limits of a goal."""
    parts = []
    if goal.limit is not None:
        parts.append(f"{'>=' if goal.is_minimum else '<='} {short(goal.limit)} {goal.unit}".strip())
    parts += [f"<= {ratio:.2f} x {peer}" for peer, ratio in goal.ratios.items()]
    return ", ".join(parts)


def short(number: float) -> str:
    if number == int(number):
        return str(int(number))
    return f"{number:.2f}" if abs(number) < 10 else f"{number:.1f}"


def _ratio(ours: float, others: float, name: str) -> float:
    """Return pycrond's ratio to a peer; for pycrond with a full ledger its ratio to pycrond without."""
    return others / ours if name == WITH_PAST else ours / others


def document(goal: Goal, measured: Mapping[str, Sequence[float]]) -> dict[str, object]:
    """Return a row for JSON, with all values measured."""
    ours = statistics.median(measured[PYCROND]) if measured.get(PYCROND) else None
    others = {
        name: statistics.median(values) for name, values in measured.items() if name != PYCROND and values
    }
    ratios = {name: _ratio(ours, value, name) for name, value in others.items() if ours and value}
    return {
        "row": goal.row,
        "what": goal.title,
        "unit": goal.unit,
        "goal": limits_text(goal),
        "met": verdicts(goal, measured),
        "daemons": {
            name: {
                "min": min(values),
                "median": statistics.median(values),
                "max": max(values),
                "values": list(values),
            }
            for name, values in measured.items()
            if values
        },
        "ratios": ratios,
    }
