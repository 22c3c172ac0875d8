"""The jobs' own record of their starts and ends. Pure, but for reading the files."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path


@dataclass
class Run:
    """A run, as it has recorded itself."""

    node: str
    job: str
    """Its name, without the user."""
    wall: int
    """The minute of its fire, in Unix minutes."""
    attempt: int
    number: str
    """Of the run, on its node."""
    pid: int
    start: float
    """In Unix seconds."""
    end: float | None = None

    @property
    def late(self) -> float:
        return self.start - self.wall * 60


def read(tallies: Iterable[tuple[str, Path]]) -> list[Run]:
    """Return the runs of nodes, in the order of their starts."""
    booted = time.time() - float(Path("/proc/uptime").read_text().split()[0])
    runs = [run for node, path in tallies for run in _read(node, path.read_text(), booted)]
    return sorted(runs, key=lambda run: run.start)


def _read(node: str, text: str, booted: float) -> Iterable[Run]:
    runs: dict[tuple[str, ...], Run] = {}
    for line in text.splitlines():
        what, key, fire, attempt, number, pid, uptime = line.split()
        at = booted + float(uptime)
        if what == "E":
            runs[key, fire, attempt, number, pid].end = at
        else:
            wall = int(datetime.fromisoformat(fire).timestamp()) // 60
            runs[key, fire, attempt, number, pid] = Run(
                node, key.partition("/")[2], wall, int(attempt), number, int(pid), at
            )
    return runs.values()
