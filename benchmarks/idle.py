"""What a daemon costs that has nothing to do: memory, threads, wake-ups; its keeper beside it."""

import contextlib
import itertools
import time

from crond import Crond, crond, proc_status
from figures import Figure

SETTLED = 5.0  # seconds after a start: what it had to say has been said


def ten_jobs() -> str:
    """Ten entries, none due for four months and more."""
    month = (time.gmtime().tm_mon + 5) % 12 + 1
    return "".join(f"#: name=idle-{number}\n{number} 4 1 {month} * true\n" for number in range(10))


def figures(minutes: int, daemons: int = 3) -> list[Figure]:
    """Of some daemons that idle at once for so many minutes, and of one that has no syslogd to talk to."""
    with contextlib.ExitStack() as stack:
        quiet = [_started(stack, syslogd=True) for _ in range(daemons)]
        alone = _started(stack, syslogd=False)
        time.sleep(SETTLED)
        pids = [*(one.pid for one in quiet), *(one.keeper for one in quiet), alone.pid]
        woken = _wakeups(pids, minutes)
        status = [(proc_status(one.pid), proc_status(one.keeper)) for one in quiet]
    ours, keepers = woken[: daemons * minutes], woken[daemons * minutes : -minutes]
    return [
        Figure("idle daemon, 10 jobs: resident", "MB", [_resident(daemon) for daemon, _ in status], 25),
        Figure("  its threads", "", [int(daemon["Threads"]) for daemon, _ in status], 1),
        Figure("  its wake-ups a minute", "", ours, 2),
        Figure("  its wake-ups a minute, no syslogd", "", woken[-minutes:], 2),
        Figure("  its keeper: resident", "MB", [_resident(keeper) for _, keeper in status], 12),
        Figure("  its keeper: wake-ups a minute", "", keepers),
    ]


def _started(stack: contextlib.ExitStack, *, syslogd: bool) -> Crond:
    one = stack.enter_context(crond(syslogd=syslogd))
    one.write(ten_jobs())
    one.run("start")
    return one


def _wakeups(pids: list[int], minutes: int) -> list[int]:
    """How often each process slept and was woken, in each minute; all minutes of the first pid first."""
    counts = [[_sleeps(pid) for pid in pids]]
    for _ in range(minutes):
        time.sleep(60)
        counts.append([_sleeps(pid) for pid in pids])
    return [
        after - before for column in zip(*counts, strict=True) for before, after in itertools.pairwise(column)
    ]


def _sleeps(pid: int) -> int:
    """How often it has given the processor away of its own will: to wait for something."""
    return int(proc_status(pid)["voluntary_ctxt_switches"])


def _resident(status: dict[str, str]) -> float:
    """In 10^6 bytes; pages of files that others map too are counted in full."""
    return int(status["VmRSS"]) * 1024 / 1e6
