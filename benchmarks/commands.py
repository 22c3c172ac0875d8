"""How long the command line takes: `list`, and `start` until the daemon is ready."""

import subprocess
import sys
import time
from collections.abc import Callable

from crond import Crond, crond
from figures import Figure, Peer
from idle import ten_jobs


def figures(rounds: int) -> list[Figure]:
    """With ten jobs and everything in the page cache; the bare interpreter beside it, taken in turns."""
    with crond() as one:
        one.write(ten_jobs())
        one.run("start")  # the first one makes the ledger and compiles modules
        one.run("stop")
        starts, bare = [], []
        for _ in range(rounds):
            starts.append(_ms(lambda: one.run("start")))
            bare.append(_interpreter())
            one.run("stop")
        one.run("start")
        listing = _lists(one, rounds)
    return [
        Figure("pycrond list, 10 jobs", "ms", listing[0], 150, Peer("python3 -c pass", listing[1])),
        Figure("pycrond start until ready, 10 jobs", "ms", starts, 500, Peer("python3 -c pass", bare)),
    ]


def _lists(one: Crond, rounds: int) -> tuple[list[float], list[float]]:
    one.run("list")
    pairs = [(_ms(lambda: one.run("list")), _interpreter()) for _ in range(rounds)]
    return [ours for ours, _ in pairs], [bare for _, bare in pairs]


def _interpreter() -> float:
    return _ms(lambda: subprocess.run([sys.executable, "-c", "pass"], check=True))


def _ms(call: Callable[[], object]) -> float:
    before = time.perf_counter()
    call()
    return (time.perf_counter() - before) * 1000
