"""How long the command line takes: `list`, and `start` until the daemon is ready."""

import os
import time
from collections.abc import Callable

from crond import crond, wait_until
from daemons import Daemon
from figures import Figure
from idle import quiet_jobs
from past import fill


def starts(daemon: Daemon, rounds: int) -> list[Figure]:
    """With everything in the page cache."""
    took = []
    with crond() as one:
        one.write(quiet_jobs(10))
        one.run("start")  # the first one makes the ledger and compiles modules
        if daemon.past:
            fill(os.path.join(one.folder, "state", "ledger"), daemon.past)
        one.run("stop")
        for _ in range(rounds):
            took.append(_ms(lambda: one.run("start")))
            one.run("stop")
    return [Figure("start", daemon.name, took)]


def lists(daemon: Daemon, jobs: int, rounds: int) -> list[Figure]:
    with crond() as one:
        one.write(quiet_jobs(jobs))
        one.run("start")
        if daemon.past:
            wait_until(lambda: fill(os.path.join(one.folder, "state", "ledger"), daemon.past), 60)
        one.run("list")
        return [Figure(f"list.{jobs}", daemon.name, [_ms(lambda: one.run("list")) for _ in range(rounds)])]


def _ms(call: Callable[[], object]) -> float:
    before = time.perf_counter()
    call()
    return (time.perf_counter() - before) * 1000
