"""The delay between a minute and the start of its jobs: of one job, and of many jobs that are due at once."""

import itertools
import os
import statistics
import time
from dataclasses import dataclass

from cell import Cell, open_cell
from daemons import Daemon
from figures import Figure

EVALUATION_SECOND = 40  # of a minute, when all of its jobs have ended
RESET_SECOND = 57  # of a minute, when no daemon has begun the next one


@dataclass(frozen=True, slots=True)
class Minute:
    """The measurements of one minute."""

    delays: list[float]
    """Of the starts of all jobs, in ms, in ascending order."""
    cpu: float
    """CPU time of all processes, in ms."""
    own_cpu: float
    """CPU time of the daemon itself, in ms."""


def single(daemon: Daemon, minutes: int) -> list[Figure]:
    """Measure a single job a minute."""
    delays = [minute.delays[0] for minute in _measure(daemon, 1, "root", minutes)[0]]
    return [Figure("one", daemon.name, delays)]


def burst(daemon: Daemon, minutes: int, user: str = "root", row: str = "burst") -> list[Figure]:
    """Measure a thousand jobs of one user a minute."""
    measured, _ = _measure(daemon, 1000, user, minutes)
    return [
        Figure(f"{row}.median", daemon.name, [statistics.median(minute.delays) for minute in measured]),
        Figure(f"{row}.last", daemon.name, [minute.delays[-1] for minute in measured]),
        Figure(f"{row}.cpu", daemon.name, [minute.cpu for minute in measured]),
        Figure(f"{row}.lost", daemon.name, [1000 - len(minute.delays) for minute in measured]),
    ]


def steady(daemon: Daemon, minutes: int) -> list[Figure]:
    """Measure two thousand jobs a minute."""
    measured, zombies = _measure(daemon, 2000, "root", minutes)
    delays = sorted(itertools.chain.from_iterable(minute.delays for minute in measured))
    return [
        Figure("steady.p99", daemon.name, [delays[len(delays) * 99 // 100]]),
        Figure("steady.lost", daemon.name, [2000 - len(minute.delays) for minute in measured]),
        Figure("steady.zombies", daemon.name, [zombies]),
    ]


def _measure(daemon: Daemon, jobs: int, user: str, minutes: int) -> tuple[list[Minute], int]:
    """Return the measurements of `minutes` minutes, and the number of zombies after them."""
    with open_cell(daemon) as cell:
        cell.write("".join(f"* * * * * {cell.job(number)}\n" for number in range(jobs)), user)
        wait_past_minute()
        cell.start()
        return measure_minutes(cell, minutes), cell.zombies()


def measure_minutes(cell: Cell, minutes: int) -> list[Minute]:
    """Measure the next minutes; raise RuntimeError if the daemon starts nothing."""
    measured = []
    for _ in range(minutes):
        wait_for_second(RESET_SECOND)
        cell.recorder.reset()
        before = cell.cpu(), cell.own_cpu()
        time.sleep(61 - time.time() % 60)
        minute = int(time.time()) // 60 * 60
        wait_for_second(EVALUATION_SECOND)
        delays = [(start - minute * 10**9) / 1e6 for start in cell.recorder.starts()]
        if not delays:
            raise RuntimeError(f"{cell.daemon.name} has started nothing: {cell.errors()}")
        measured.append(Minute(delays, cell.cpu() - before[0], cell.own_cpu() - before[1]))
    return measured


def wait_for_second(second: float) -> None:
    """Sleep until the clock shows this second of a minute."""
    time.sleep((second - time.time()) % 60)


def wait_past_minute() -> None:
    """Sleep past the next minute if it is near, so that a daemon is ready before its first minute."""
    second = time.time() % 60
    if second > RESET_SECOND - 3:
        time.sleep(60.5 - second)


def recorder_cost(daemon: Daemon, rounds: int) -> list[Figure]:
    """Measure the recorder and its shell, from the call of posix_spawn to their end."""
    with open_cell(daemon) as cell:
        return [Figure("recorder", daemon.name, [_seconds(cell.job(0)) * 1000 for _ in range(rounds)])]


def _seconds(command: str) -> float:
    """Run a command and return the seconds that it takes."""
    before = time.perf_counter()
    pid = os.posix_spawn("/bin/sh", ["/bin/sh", "-c", command], {"PATH": "/usr/bin:/bin"}, setsid=True)
    os.waitpid(pid, 0)
    return time.perf_counter() - before
