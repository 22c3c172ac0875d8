"""The duration of commands: `list`, and `start` until the daemon is ready."""

import os
import time
from collections.abc import Callable

from crond import open_crond, wait_until
from daemons import Daemon
from figures import Figure
from idle import quiet_jobs
from past import fill


def starts(daemon: Daemon, rounds: int) -> list[Figure]:
    """Measure starts with all files in the page cache."""
    durations = []
    with open_crond() as crond:
        crond.write(quiet_jobs(10))
        crond.run("start")  # the first start makes the ledger and compiles modules
        if daemon.past:
            fill(os.path.join(crond.directory, "state", "ledger"), daemon.past)
        crond.run("stop")
        for _ in range(rounds):
            durations.append(_ms(lambda: crond.run("start")))
            crond.run("stop")
    return [Figure("start", daemon.name, durations)]


def lists(daemon: Daemon, jobs: int, rounds: int) -> list[Figure]:
    """Measure `list` with `jobs` loaded jobs."""
    with open_crond() as crond:
        crond.write(quiet_jobs(jobs))
        crond.run("start")
        if daemon.past:
            wait_until(lambda: fill(os.path.join(crond.directory, "state", "ledger"), daemon.past), 600)
        crond.run("list")
        return [Figure(f"list.{jobs}", daemon.name, [_ms(lambda: crond.run("list")) for _ in range(rounds)])]


def _ms(call: Callable[[], object]) -> float:
    """Return the milliseconds that a call takes."""
    before = time.perf_counter()
    call()
    return (time.perf_counter() - before) * 1000
