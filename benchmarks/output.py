"""What jobs print, on its way to syslog: a million lines, and a syslogd that stands still."""

import contextlib
import re
import time

from bursts import OVER, away_from_the_minute, wait_for_second
from cell import Cell, cell
from crond import proc_status
from daemons import Daemon
from figures import Figure

OTHERS = 20
HELD = 10.0  # seconds
ON_TIME = 1500.0  # ms: the C crons sleep whole seconds
NUMBER = re.compile(rb"CMDOUT \((\d+)\)")
PATIENCE = 600.0


def lines(daemon: Daemon, count: int, rounds: int) -> list[Figure]:
    """One job that prints so many lines, from its start until the last of them has come."""
    if not daemon.logs_output:
        return []
    took, lost, growth = [], [], []
    for _ in range(rounds):
        with cell(daemon) as it:
            it.write(f"{_next_minute()} {it.job('flood', f'seq {count}')}\n")
            it.start()
            wait_for_second(0.5)
            ended, memory = _watch(it, count)
            took.append((ended - it.clock.starts()[0]) / 1e6)
            growth.append(max(memory) - memory[0])
            lost.append(_missing(it.sink.end(), count))
    return [
        Figure("lines.time", daemon.name, took),
        Figure("lines.lost", daemon.name, lost),
        Figure("lines.growth", daemon.name, growth),
    ]


def stopped(daemon: Daemon, minutes: int) -> list[Figure]:
    """Twenty jobs that are due while the reader of /dev/log is stopped, and one that prints 1,000 lines."""
    on_time: list[float] = []
    with cell(daemon) as it:
        jobs = [f"* * * * * {it.job(number)}\n" for number in range(OTHERS)]
        away_from_the_minute()
        it.write("* * * * * seq 1000\n" + "".join(jobs))
        it.start()
        for _ in range(minutes):
            wait_for_second(55)
            it.clock.forget()
            it.sink.hold()
            time.sleep(HELD)
            it.sink.go_on()
            minute = int(time.time()) // 60 * 60
            wait_for_second(OVER)
            on_time.append(sum(at / 1e6 - minute * 1000 <= ON_TIME for at in it.clock.starts()))
        seen = sum(1 for line in it.sink.end() if NUMBER.search(line))
    found = [Figure("stopped.on_time", daemon.name, on_time)]
    if daemon.logs_output:  # a line that comes twice is not lost
        found.append(Figure("stopped.lost", daemon.name, [max(0, minutes * 1000 - seen)]))
    return found


def _next_minute() -> str:
    """A schedule that is due once: in the next minute that is not too near."""
    away_from_the_minute()
    at = time.localtime(time.time() + 60)
    return f"{at.tm_min} {at.tm_hour} {at.tm_mday} {at.tm_mon} *"


def _watch(it: Cell, count: int) -> tuple[float, list[float]]:
    """When the log has grown last, in ns since 1970, and the memory of the process that has most."""
    memory = [_memory(it)]
    seen, at = it.sink.count, time.time_ns()
    give_up = time.monotonic() + PATIENCE
    while time.monotonic() < give_up:
        time.sleep(0.01)
        now = it.sink.count
        if now != seen:
            seen, at = now, time.time_ns()
        elif seen >= count and time.time_ns() - at > 3e9:
            break
        if len(memory) * 0.5 < time.monotonic() - give_up + PATIENCE:
            memory.append(_memory(it))
    return at, memory


def _memory(it: Cell) -> float:
    found = [0.0]
    for pid in it.pids()[1:]:
        with contextlib.suppress(OSError, KeyError):
            found.append(int(proc_status(pid)["VmRSS"]) * 1024 / 1e6)
    return max(found)


def _missing(text: list[bytes], count: int) -> int:
    numbers = {int(found[1]) for line in text if (found := NUMBER.search(line))}
    return count - len(numbers & set(range(1, count + 1)))
