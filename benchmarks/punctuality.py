"""How long after its minute a job starts: one alone, and the last of many that are due at once."""

import os
import tempfile
import time

from crond import crond, wait_until
from figures import Figure, Peer
from recorder import Recorder, recorder

MINUTE = 60 * 10**9  # nanoseconds
ENVIRONMENT = {"PATH": "/usr/bin:/bin"}


def figures(jobs: int, minutes: int, target: float) -> list[Figure]:
    """Of so many jobs due each minute, the start of the last one, over some minutes; `target` in ms."""
    what = "one due job" if jobs == 1 else f"the last of {jobs} due jobs"
    with crond() as one, tempfile.TemporaryDirectory(prefix="pycrond-bench-") as apart:
        clock, peer = recorder(one.folder), recorder(apart)
        line = "* * * * * " + clock.command.replace("%", "\\%")
        one.write("".join(f"#: name=bench-{number}\n{line}\n" for number in range(jobs)))
        _away_from_the_minute()
        one.run("start")
        bare = []
        for minute in range(1, minutes + 1):
            _wait_for(clock, jobs * minute)
            bare += _bare(peer, jobs, rounds=3)
        recorded = _last_of_each_minute(clock.starts())[:minutes]
        told = _last_by_fire(one.runs())[:minutes]
    name = "a sleep and a spawn" if jobs == 1 else "a bare loop of posix_spawn"
    return [
        Figure(f"{what} starts", "ms", recorded, target, Peer(name, bare)),
        Figure("  by the ledger, before the spawn", "ms", told),
    ]


def _wait_for(clock: Recorder, count: int) -> None:
    if not wait_until(lambda: len(clock.starts()) >= count, 125):
        raise RuntimeError(f"{len(clock.starts())} of {count} jobs have recorded their start")


def cost(rounds: int = 200) -> list[Figure]:
    """What the recorder adds to a bare `sh -c :`, from the call of posix_spawn to the end."""
    with crond() as one:
        command = recorder(one.folder).command
        pairs = [(_seconds(":") * 1000, _seconds(command) * 1000) for _ in range(rounds)]
    plain, with_it = [one for one, _ in pairs], [both for _, both in pairs]
    return [Figure("sh and the recorder, begun and ended", "ms", with_it, None, Peer("sh -c :", plain))]


def _seconds(command: str) -> float:
    before = time.perf_counter()
    os.waitpid(_spawn(command), 0)
    return time.perf_counter() - before


def _spawn(command: str) -> int:
    return os.posix_spawn("/bin/sh", ["/bin/sh", "-c", command], ENVIRONMENT, setsid=True)


def _bare(clock: Recorder, jobs: int, rounds: int) -> list[float]:
    """The same without a cron: sleep to the next whole second, start them all; ms to the last record."""
    late = []
    for _ in range(rounds):
        clock.forget()
        second = int(time.time()) + 1
        time.sleep(max(0.0, second - time.time()))
        for pid in [_spawn(clock.command) for _ in range(jobs)]:
            os.waitpid(pid, 0)
        late.append((clock.starts()[-1] - second * 10**9) / 1e6)
    return late


def _away_from_the_minute() -> None:
    """A start must not race the minute that is counted first."""
    second = time.time() % 60
    if second > 55:
        time.sleep(60.5 - second)


def _last_of_each_minute(starts: list[int]) -> list[float]:
    """For each minute, how late its last start was, in ms; a start before its minute is negative."""
    last: dict[int, float] = {}
    for at in starts:
        minute = (at + MINUTE // 2) // MINUTE
        last[minute] = max(last.get(minute, -MINUTE), (at - minute * MINUTE) / 1e6)
    return [last[minute] for minute in sorted(last)]


def _last_by_fire(runs: list[dict[str, object]]) -> list[float]:
    """The greatest lateness_ms of each fire time."""
    late: dict[str, list[float]] = {}
    for run in runs:
        if isinstance(run["lateness_ms"], float):
            late.setdefault(str(run["fire"]), []).append(run["lateness_ms"])
    return [max(late[fire]) for fire in sorted(late)]
