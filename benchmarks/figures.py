"""A figure: what was measured, several times, what it must reach, and what stands beside it."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Peer:
    """What was measured in the same run for comparison, in the figure's own unit."""

    name: str
    values: Sequence[float]


@dataclass(frozen=True, slots=True)
class Figure:
    """One row. `target` is the most that is allowed, None where the row only informs.

    Times are judged by their median: a neighbour on the machine moves the maximum. What is no time is judged
    by its maximum.
    """

    name: str
    unit: str
    values: Sequence[float]
    target: float | None = None
    peer: Peer | None = None

    @property
    def judged(self) -> float:
        return statistics.median(self.values) if self.unit == "ms" else max(self.values)

    @property
    def met(self) -> bool:
        return self.target is None or self.judged <= self.target

    @property
    def ratio(self) -> float | None:
        """Our median to the peer's."""
        return statistics.median(self.values) / statistics.median(self.peer.values) if self.peer else None


HEAD = ("FIGURE", "UNIT", "TARGET", "MIN", "MEDIAN", "MAX", "N", "MET", "BESIDE IT")


def table(figures: Sequence[Figure]) -> list[str]:
    """The rows as lines; the first and the last column lean left, numbers right."""
    rows = [HEAD, *(_row(one) for one in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    return ["  ".join(_cells(row, widths)).rstrip() for row in rows]


def _row(one: Figure) -> tuple[str, ...]:
    numbers = [min(one.values), statistics.median(one.values), max(one.values)]
    target = "" if one.target is None else f"<= {one.target:g}"
    met = "" if one.target is None else "yes" if one.met else "NO"
    beside = ""
    if one.peer:
        beside = f"{one.ratio:.1f} x {one.peer.name} ({_short(statistics.median(one.peer.values))})"
    return (one.name, one.unit, target, *map(_short, numbers), str(len(one.values)), met, beside)


def _short(number: float) -> str:
    if number == int(number):
        return str(int(number))
    return f"{number:.2f}" if abs(number) < 10 else f"{number:.1f}"


def _cells(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    last = len(row) - 1
    return [
        cell.ljust(width) if column in {0, 1, last} else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]


def document(one: Figure) -> dict[str, object]:
    """A row as JSON has it, with every value measured."""
    peer = None
    if one.peer:
        peer = {"name": one.peer.name, "values": list(one.peer.values), "ratio": one.ratio}
    return {
        "name": one.name,
        "unit": one.unit,
        "target": one.target,
        "values": list(one.values),
        "min": min(one.values),
        "median": statistics.median(one.values),
        "max": max(one.values),
        "met": one.met,
        "peer": peer,
    }
