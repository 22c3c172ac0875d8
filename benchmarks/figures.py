"""A figure: what was measured of one daemon, several times. A goal: what they mean."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Figure:
    """Some values for one row of the table."""

    row: str
    daemon: str
    values: Sequence[float]


@dataclass(frozen=True, slots=True)
class Goal:
    """What a row is called, and what pycrond must reach in it.

    `most` is a number of the row's unit, `of` the most allowed as a part of a peer's median. Where neither is
    given the row only informs. `least` turns the comparison with `most` round.
    """

    row: str
    what: str
    unit: str
    most: float | None = None
    of: Mapping[str, float] = field(default_factory=dict)
    worst: bool = False
    """Judged by the greatest value (with `least`: the smallest), not by the median."""
    least: bool = False
    past: bool = False
    """Whether it must stay as it is when the ledger is full of past runs."""


PAST = 1.10
"""The most that a past may change a row, as a part of what it is without."""

US, US_LATER = "pycrond", "past"


def judged(goal: Goal, values: Sequence[float]) -> float:
    if goal.worst:
        return min(values) if goal.least else max(values)
    return statistics.median(values)


def verdicts(goal: Goal, measured: Mapping[str, Sequence[float]]) -> dict[str, bool]:
    """Each part of the goal that could be looked at, in words, and whether it is met."""
    ours = measured.get(US)
    if not ours:
        return {}
    value = judged(goal, ours)
    found = {}
    if goal.most is not None:
        sign = ">=" if goal.least else "<="
        met = value >= goal.most if goal.least else value <= goal.most
        found[f"{sign} {goal.most:g} {goal.unit}".strip()] = met
    for peer, part in goal.of.items():
        if measured.get(peer):
            found[f"<= {part:.2f} x {peer}"] = value <= part * judged(goal, measured[peer])
    if goal.past and measured.get(US_LATER):
        found[f"<= {PAST:.2f} x itself with a past"] = judged(goal, measured[US_LATER]) <= PAST * value
    return found


def in_words(goal: Goal) -> str:
    """All that is asked of the row."""
    parts = []
    if goal.most is not None:
        parts.append(f"{'>=' if goal.least else '<='} {short(goal.most)} {goal.unit}".strip())
    parts += [f"<= {part:.2f} x {peer}" for peer, part in goal.of.items()]
    return ", ".join(parts)


def short(number: float) -> str:
    if number == int(number):
        return str(int(number))
    return f"{number:.2f}" if abs(number) < 10 else f"{number:.1f}"


def _ratio(ours: float, others: float, name: str) -> float:
    """Ours as a part of a peer's; of ourselves with a past, its part of ours."""
    return others / ours if name == US_LATER else ours / others


def document(goal: Goal, measured: Mapping[str, Sequence[float]]) -> dict[str, object]:
    """A row as JSON has it, with every value measured."""
    ours = statistics.median(measured[US]) if measured.get(US) else None
    others = {name: statistics.median(values) for name, values in measured.items() if name != US and values}
    ratios = {name: _ratio(ours, value, name) for name, value in others.items() if ours and value}
    return {
        "row": goal.row,
        "what": goal.what,
        "unit": goal.unit,
        "goal": in_words(goal),
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
