"""How long after its minute a job starts: one alone, and many that are due at once."""

import itertools
import os
import statistics
import time
from dataclasses import dataclass

from cell import Cell, cell
from daemons import Daemon
from figures import Figure

OVER = 40
"""The second of a minute at which all that was due in it is over."""
BEFORE = 57
"""The second at which the next one is not begun yet; a daemon is started some seconds before it."""


@dataclass(frozen=True, slots=True)
class Minute:
    """What one minute was like."""

    late: list[float]
    """How late each job has started, in ms, in order."""
    cpu: float
    """Of all processes, in ms, as is the next one."""
    own_cpu: float


def one(daemon: Daemon, minutes: int) -> list[Figure]:
    """One job a minute."""
    late = [minute.late[0] for minute in _measured(daemon, 1, "root", minutes)[0] if minute.late]
    return [Figure("one", daemon.name, late)]


def burst(daemon: Daemon, minutes: int, user: str = "root", row: str = "burst") -> list[Figure]:
    """A thousand jobs of one user a minute."""
    seen, _ = _measured(daemon, 1000, user, minutes)
    return [
        Figure(f"{row}.median", daemon.name, [statistics.median(minute.late) for minute in seen]),
        Figure(f"{row}.last", daemon.name, [minute.late[-1] for minute in seen]),
        Figure(f"{row}.cpu", daemon.name, [minute.cpu for minute in seen]),
        Figure(f"{row}.lost", daemon.name, [1000 - len(minute.late) for minute in seen]),
    ]


def steady(daemon: Daemon, minutes: int) -> list[Figure]:
    """Two thousand jobs a minute."""
    seen, zombies = _measured(daemon, 2000, "root", minutes)
    late = sorted(itertools.chain.from_iterable(minute.late for minute in seen))
    return [
        Figure("steady.p99", daemon.name, [late[len(late) * 99 // 100]]),
        Figure("steady.lost", daemon.name, [2000 - len(minute.late) for minute in seen]),
        Figure("steady.zombies", daemon.name, [zombies]),
    ]


def _measured(daemon: Daemon, jobs: int, user: str, minutes: int) -> tuple[list[Minute], int]:
    with cell(daemon) as it:
        it.write("".join(f"* * * * * {it.job(number)}\n" for number in range(jobs)), user)
        away_from_the_minute()
        it.start()
        seen = watched(it, minutes)
        return seen, it.zombies()


def watched(it: Cell, minutes: int) -> list[Minute]:
    """The next so many minutes; a failure of the daemon raises RuntimeError."""
    seen = []
    for _ in range(minutes):
        wait_for_second(BEFORE)
        it.clock.forget()
        before = it.cpu(), it.own_cpu()
        time.sleep(61 - time.time() % 60)
        minute = int(time.time()) // 60 * 60
        wait_for_second(OVER)
        late = [(at - minute * 10**9) / 1e6 for at in it.clock.starts()]
        if not late:
            raise RuntimeError(f"{it.daemon.name} has started nothing: {it.errors()}")
        seen.append(Minute(late, it.cpu() - before[0], it.own_cpu() - before[1]))
    return seen


def wait_for_second(second: float) -> None:
    """The next time that the clock shows it."""
    time.sleep((second - time.time()) % 60)


def away_from_the_minute() -> None:
    """A start must not race the minute that is counted first."""
    second = time.time() % 60
    if second > BEFORE - 3:
        time.sleep(60.5 - second)


def recorder_cost(daemon: Daemon, rounds: int) -> list[Figure]:
    """What the recorder and its shell cost, from the call of posix_spawn to the end; beside it `sh -c :`."""
    with cell(daemon) as it:
        return [Figure("recorder", daemon.name, [_seconds(it.job(0)) * 1000 for _ in range(rounds)])]


def _seconds(command: str) -> float:
    before = time.perf_counter()
    pid = os.posix_spawn("/bin/sh", ["/bin/sh", "-c", command], {"PATH": "/usr/bin:/bin"}, setsid=True)
    os.waitpid(pid, 0)
    return time.perf_counter() - before
