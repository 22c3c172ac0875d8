"""`make bench`: measure pycrond and other crons on this machine, with the real clock.

The daemons are measured one after another, each in namespaces of its own (cell.py), which needs root. The
machine should be idle meanwhile: other load changes the figures, and is printed with them.
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
import fairness
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
    """A measurement, and the names of the daemons for which it is made."""

    measure: Callable[[Daemon], list[Figure]]
    daemons: tuple[str, ...]


def parts(*, quick: bool) -> dict[str, Part]:
    """Return all measurements by name, in order; the numbers are minutes or rounds."""
    few, some, many = (1, 1, 5) if quick else (2, 3, 20)
    return {
        "recorder": Part(lambda daemon: bursts.recorder_cost(daemon, 200), ("pycrond",)),
        "one": Part(lambda daemon: bursts.single(daemon, some), EVERYONE),
        "burst": Part(lambda daemon: bursts.burst(daemon, some), EVERYONE),
        "user": Part(lambda daemon: bursts.burst(daemon, some, "bench", "user"), EVERYONE),
        "steady": Part(lambda daemon: bursts.steady(daemon, 3), EVERYONE),
        "many": Part(lambda daemon: entries.figures(daemon, some), PEERS),
        "curve": Part(
            lambda daemon: [
                figure for count in (1_000, 10_000, 100_000) for figure in entries.curve(daemon, count, few)
            ],
            PEERS,
        ),
        "lines": Part(lambda daemon: output.lines(daemon, 1_000_000, some), ("pycrond", "cronie")),
        "printed": Part(lambda daemon: output.printed(daemon, 3_000_000, some), ("pycrond",)),
        "stopped": Part(lambda daemon: output.stopped(daemon, few), PEERS),
        "idle": Part(lambda daemon: idle.figures(daemon, few), EVERYONE),
        "list": Part(
            lambda daemon: [*commands.lists(daemon, 10, many), *commands.lists(daemon, 10_000, many)],
            ("pycrond", "past"),
        ),
        "start": Part(lambda daemon: commands.starts(daemon, many), ("pycrond", "past")),
        "fairness": Part(lambda daemon: fairness.figures(daemon, few), ("pycrond",)),
        "recovery": Part(survival.recovery, ("pycrond",)),
    }


def main(arguments: list[str]) -> int:
    """Measure, print and write; return 1 if a goal is missed or something could not be measured."""
    options = _parser().parse_args(arguments)
    if os.geteuid() != 0:
        print("bench: needs root, to give each daemon its own /etc and /dev/log", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # a normal exit ends the daemons
    known = parts(quick=options.quick)
    run = _Run(options.daemon or list(EVERYONE), daemons(options.cronie), options.json)
    for name in options.only or known:
        run.part(name, known[name])
    print("\n".join(table(run.document())))
    return 0 if run.is_good else 1


class _Run:
    """The measurements so far, which are written after each part, so that an interruption loses none."""

    def __init__(self, names: list[str], known: list[Daemon], path: str | None) -> None:
        self._daemons = [daemon for daemon in known if daemon.argv and daemon.name in names]
        self._machine = facts.machine(known)
        os.makedirs(RESULTS, exist_ok=True)
        self._path = path or os.path.join(RESULTS, time.strftime("%Y%m%dT%H%M%SZ.json", time.gmtime()))
        self._measured: dict[str, dict[str, list[float]]] = {}
        self._failed: list[str] = []
        self._loads: dict[str, float] = {}

    def part(self, name: str, part: Part) -> None:
        for daemon in self._daemons:
            if daemon.name in part.daemons:
                self._measure(name, part, daemon)

    def _measure(self, name: str, part: Part, daemon: Daemon) -> None:
        start, load = time.monotonic(), os.getloadavg()[0]
        try:
            for figure in part.measure(daemon):
                self._measured.setdefault(figure.row, {})[daemon.name] = list(figure.values)
        except (RuntimeError, OSError, IndexError):  # continue with the next measurement
            self._failed.append(f"{name} of {daemon.name}")
            traceback.print_exc()
        seconds = time.monotonic() - start
        self._loads[f"{name} of {daemon.name}"] = round(load, 2)
        print(
            f"{name} of {daemon.name}: {seconds:.0f} s, load before it {load:.1f}",
            file=sys.stderr,
            flush=True,
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
        "--json", metavar="FILE", help="write the results to FILE instead of benchmarks/results/"
    )
    parser.add_argument("--quick", action="store_true", help="fewer minutes and rounds")
    parser.add_argument("--cronie", metavar="FILE", help="the crond of cronie, built from source")
    parser.add_argument(
        "--only",
        action="append",
        choices=parts(quick=True),
        help="make only this measurement; may be repeated",
    )
    parser.add_argument(
        "--daemon", action="append", choices=EVERYONE, help="measure only this daemon; may be repeated"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
