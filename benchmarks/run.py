"""The figures of pycrond and of other crons on this machine, on the real clock: `make bench`.

The daemons are measured one after another, never two at a time, each in namespaces of its own (cell.py), so
root alone can do it. Let the machine be idle meanwhile: a busy one is measured too, and shows.
"""

import argparse
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass

import bursts
import commands
import entries
import facts
import idle
import output
import survival
from daemons import Daemon, daemons
from figures import Figure, document
from goals import GOALS
from report import table

RESULTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "results")
EVERYONE = ("pycrond", "past", "cronie", "busybox", "debian")
PEERS = ("pycrond", "cronie", "busybox", "debian")


@dataclass(frozen=True, slots=True)
class Part:
    """What is measured by itself, of which daemons."""

    measure: Callable[[Daemon], list[Figure]]
    of: tuple[str, ...]


def parts(*, quick: bool) -> dict[str, Part]:
    """All of them, in order; the numbers are minutes or rounds."""
    few, some, many = (1, 1, 5) if quick else (2, 3, 20)
    return {
        "recorder": Part(lambda one: bursts.recorder_cost(one, 200), ("pycrond",)),
        "one": Part(lambda one: bursts.one(one, some), EVERYONE),
        "burst": Part(lambda one: bursts.burst(one, some), EVERYONE),
        "user": Part(lambda one: bursts.burst(one, some, "bench", "user"), EVERYONE),
        "steady": Part(lambda one: bursts.steady(one, 3), EVERYONE),
        "many": Part(lambda one: entries.figures(one, some), PEERS),
        "curve": Part(
            lambda one: [
                figure for count in (1_000, 10_000, 100_000) for figure in entries.curve(one, count, few)
            ],
            PEERS,
        ),
        "lines": Part(lambda one: output.lines(one, 1_000_000, some), ("pycrond", "cronie")),
        "stopped": Part(lambda one: output.stopped(one, few), PEERS),
        "idle": Part(lambda one: idle.figures(one, few), EVERYONE),
        "list": Part(
            lambda one: [*commands.lists(one, 10, many), *commands.lists(one, 10_000, many)],
            ("pycrond", "past"),
        ),
        "start": Part(lambda one: commands.starts(one, many), ("pycrond", "past")),
        "recovery": Part(survival.recovery, ("pycrond",)),
    }


def main(arguments: list[str]) -> int:
    """Measure, print, write; 1 where a goal is missed or something could not be measured."""
    wanted = _parser().parse_args(arguments)
    if os.geteuid() != 0:
        print("bench: only root can give each daemon its own /etc and /dev/log", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that daemons are ended
    known = parts(quick=wanted.quick)
    run = _Run(wanted.daemon or list(EVERYONE), daemons(wanted.cronie), wanted.json)
    for name in wanted.only or known:
        run.part(name, known[name])
    print("\n".join(table(run.document())))
    return 0 if run.is_good else 1


class _Run:
    """What has been measured so far; written after each part, so that what ends early is not lost."""

    def __init__(self, names: list[str], known: list[Daemon], path: str | None) -> None:
        self._daemons = [one for one in known if one.argv and one.name in names]
        self._machine = facts.machine(known)
        os.makedirs(RESULTS, exist_ok=True)
        self._path = path or os.path.join(RESULTS, time.strftime("%Y%m%dT%H%M%SZ.json", time.gmtime()))
        self._measured: dict[str, dict[str, list[float]]] = {}
        self._failed: list[str] = []
        self._loads: dict[str, float] = {}

    def part(self, name: str, part: Part) -> None:
        for daemon in self._daemons:
            if daemon.name in part.of:
                self._measure(name, part, daemon)

    def _measure(self, name: str, part: Part, daemon: Daemon) -> None:
        began, load = time.monotonic(), os.getloadavg()[0]
        try:
            for figure in part.measure(daemon):
                self._measured.setdefault(figure.row, {})[daemon.name] = list(figure.values)
        except (RuntimeError, OSError, IndexError):  # the others are measured all the same
            self._failed.append(f"{name} of {daemon.name}")
            traceback.print_exc()
        took = time.monotonic() - began
        self._loads[f"{name} of {daemon.name}"] = round(load, 2)
        print(
            f"{name} of {daemon.name}: {took:.0f} s, load before it {load:.1f}", file=sys.stderr, flush=True
        )
        with open(self._path, "w", encoding="utf-8") as file:
            json.dump(self.document(), file, indent=1)

    def document(self) -> dict[str, object]:
        rows = [document(goal, self._measured[goal.row]) for goal in GOALS if goal.row in self._measured]
        return {"machine": self._machine, "rows": rows, "failed": self._failed, "loads": self._loads}

    @property
    def is_good(self) -> bool:
        rows = [
            document(goal, self._measured[goal.row])["met"] for goal in GOALS if goal.row in self._measured
        ]
        return not self._failed and all(all(met.values()) for met in rows if isinstance(met, dict))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--json", metavar="FILE", help="write the results there, not into benchmarks/results/"
    )
    parser.add_argument("--quick", action="store_true", help="fewer minutes and rounds")
    parser.add_argument("--cronie", metavar="FILE", help="cronie's crond, built from its source")
    parser.add_argument(
        "--only", action="append", choices=parts(quick=True), help="measure this alone; may be repeated"
    )
    parser.add_argument("--daemon", action="append", choices=EVERYONE, help="of this alone; may be repeated")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
