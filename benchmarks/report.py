"""Print the figures of one or more benchmarks as a table, or write them into docs/performance.md."""

import argparse
import glob
import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from figures import document, short
from goals import GOALS

HERE = os.path.dirname(os.path.abspath(__file__))
PAGE = os.path.join(os.path.dirname(HERE), "docs", "performance.md")
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
PEERS = ("cronie", "busybox", "debian")
HEAD = ("what", "unit", "pycrond: min", "median", "max", "goal", "met", *PEERS, "with a past")


def table(measured: Mapping[str, Any]) -> list[str]:
    """Return the lines of the table as text."""
    rows = [HEAD, *(cells(row) for row in measured["rows"])]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def markdown(measured: Mapping[str, Any]) -> list[str]:
    """Return the lines of the table for the page, with facts about the machine."""
    rows = [HEAD, ("---",) * len(HEAD), *(cells(row) for row in measured["rows"])]
    facts = ", ".join(f"{name.replace('_', ' ')} {fact}" for name, fact in measured["machine"].items())
    loads = measured.get("loads", {}).values()
    facts += f"; the load before each part was {min(loads)} to {max(loads)}" if loads else ""
    return [f"Measured: {facts}.", "", *(f"| {' | '.join(row)} |" for row in rows)]


def cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the texts of a row of the table."""
    measured = row["daemons"]
    ours = measured.get("pycrond")
    numbers = [short(ours[name]) for name in ("min", "median", "max")] if ours else ["not measured"] * 3
    met = "yes" if all(row["met"].values()) else "**no**"
    peers = [_peer(measured.get(name), row["ratios"].get(name)) for name in (*PEERS, "past")]
    return (row["what"], row["unit"], *numbers, row["goal"], met if row["met"] else "", *peers)


def _peer(measured: Mapping[str, float] | None, ratio: float | None) -> str:
    """Return the cell of a peer: its median, and pycrond's ratio to it."""
    if not measured:
        return "not measured"
    return short(measured["median"]) + (f" (x {ratio:.2f})" if ratio else "")


def merged(documents: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Join results and judge them together; of several values of a daemon in a row, the last one counts."""
    measured: dict[str, dict[str, list[float]]] = {}
    loads: dict[str, float] = {}
    for result in documents:
        loads |= result.get("loads", {})
        for row in result["rows"]:
            values = {name: figure["values"] for name, figure in row["daemons"].items()}
            measured.setdefault(row["row"], {}).update(values)
    rows = [document(goal, measured[goal.row]) for goal in GOALS if goal.row in measured]
    return {"machine": documents[-1]["machine"], "rows": rows, "loads": loads}


def _read(path: str) -> Any:
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--page", action="store_true", help="write the table into docs/performance.md")
    parser.add_argument("results", nargs="*", help="files of results; by default the newest one")
    options = parser.parse_args(arguments)
    paths = options.results or sorted(glob.glob(f"{HERE}/results/*.json"))[-1:]
    if not paths:
        print("report: there are no results yet", file=sys.stderr)
        return 1
    joined = merged([_read(path) for path in paths])
    if not options.page:
        print("\n".join(table(joined)))
        return 0
    with open(PAGE, encoding="utf-8") as file:
        before, _, rest = file.read().partition(BEGIN)
    after = rest.partition(END)[2]
    with open(PAGE, "w", encoding="utf-8") as file:
        file.write("\n".join([before + BEGIN, *markdown(joined), END]) + after)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
