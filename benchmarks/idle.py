"""What a daemon costs that has nothing to do: memory, threads, wake-ups; a keeper beside it."""

import itertools
import time

from bursts import away_from_the_minute
from cell import cell
from crond import proc_status
from daemons import Daemon
from figures import Figure

SETTLED = 5  # seconds after a start: what it had to say has been said


def quiet_jobs(count: int) -> str:
    """So many entries, none due for four months and more."""
    month = (time.gmtime().tm_mon + 5) % 12 + 1
    return "".join(f"{number % 60} 4 1 {month} * true {number}\n" for number in range(count))


def figures(daemon: Daemon, minutes: int) -> list[Figure]:
    """Of ten jobs that are not due."""
    with cell(daemon) as it:
        it.write(quiet_jobs(10))
        away_from_the_minute()
        it.start()
        time.sleep(SETTLED)
        counts = [it.wakeups()]
        for _ in range(minutes):
            time.sleep(60)
            counts.append(it.wakeups())
        both = [proc_status(it.pid), proc_status(it.keeper)]
    woken = [after - before for before, after in itertools.pairwise(counts)]
    found = [
        Figure("idle.memory", daemon.name, [_resident(both[0])]),
        Figure("idle.threads", daemon.name, [max(int(one["Threads"]) for one in both)]),
        Figure("idle.wakeups", daemon.name, woken),
    ]
    if daemon.generation == 2:
        found.append(Figure("idle.keeper", daemon.name, [_resident(both[1])]))
    return found


def _resident(status: dict[str, str]) -> float:
    """In 10^6 bytes; pages of files that others map too are counted in full."""
    return int(status["VmRSS"]) * 1024 / 1e6
