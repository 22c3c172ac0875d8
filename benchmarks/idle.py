"""The cost of an idle daemon and its keeper: memory, threads, wake-ups."""

import itertools
import time

from bursts import wait_past_minute
from cell import open_cell
from crond import proc_status
from daemons import Daemon
from figures import Figure

SETTLING_TIME = 5  # seconds after a start, until all messages are written


def quiet_jobs(count: int) -> str:
    """Return `count` entries that are not due within four months."""
    month = (time.gmtime().tm_mon + 5) % 12 + 1
    return "".join(f"{number % 60} 4 1 {month} * true {number}\n" for number in range(count))


def figures(daemon: Daemon, minutes: int) -> list[Figure]:
    """Measure a daemon with ten jobs that are not due."""
    with open_cell(daemon) as cell:
        cell.write(quiet_jobs(10))
        wait_past_minute()
        cell.start()
        time.sleep(SETTLING_TIME)
        counts = [cell.wakeups()]
        for _ in range(minutes):
            time.sleep(60)
            counts.append(cell.wakeups())
        statuses = [proc_status(cell.pid), proc_status(cell.keeper)]
    wakeups = [after - before for before, after in itertools.pairwise(counts)]
    figures = [
        Figure("idle.memory", daemon.name, [_resident(statuses[0])]),
        Figure("idle.threads", daemon.name, [max(int(status["Threads"]) for status in statuses)]),
        Figure("idle.wakeups", daemon.name, wakeups),
    ]
    if daemon.generation == 2:
        figures.append(Figure("idle.keeper", daemon.name, [_resident(statuses[1])]))
    return figures


def _resident(status: dict[str, str]) -> float:
    """Return the resident memory in 10^6 bytes; pages that are shared with others count in full."""
    return int(status["VmRSS"]) * 1024 / 1e6
