"""A hundred thousand entries: how fast they are read, what they cost when few of them are due."""

import os
import signal
import time

from bursts import BEFORE, away_from_the_minute, wait_for_second, watched
from cell import FILES, Cell, cell
from daemons import Daemon
from figures import Figure

SCHEDULES = 1_000
IN_A_FILE = 1_000
PATIENCE = 120.0  # seconds that a start may take


def figures(daemon: Daemon, rounds: int) -> list[Figure]:
    """All that is measured of them but the curve."""
    first, again, memory = [], [], []
    rest: list[Figure] = []
    for number in range(rounds):
        with cell(daemon) as it:
            _lay(it, FILES * IN_A_FILE)
            first.append(_ready(it))
            memory.append(it.resident())
            if number == 0:
                rest = _at_rest(it)
                memory.append(it.resident())  # also after reloads
            it.stop()
            again.append(_ready(it))
    return [
        Figure("many.start", daemon.name, first),
        Figure("many.again", daemon.name, again),
        Figure("many.memory", daemon.name, memory),
        *rest,
    ]


def curve(daemon: Daemon, entries: int, minutes: int) -> list[Figure]:
    """A minute in which one of a hundred is due."""
    with cell(daemon) as it:
        _lay(it, entries, due=entries // 100)
        _ready(it)
        away_from_the_minute()
        seen = watched(it, minutes)
        for minute in seen:
            if len(minute.late) != entries // 100:
                raise RuntimeError(f"{daemon.name} has started {len(minute.late)} of {entries // 100}")
    return [Figure(f"curve.{entries}", daemon.name, [minute.own_cpu for minute in seen])]


def _lay(it: Cell, entries: int, due: int = 0) -> None:
    """So many entries in files of a thousand; of them `due` each minute, and one at a start."""
    for file in range(entries // IN_A_FILE):
        it.write(_file(it, file, entries // due if due else entries + 1), f"files-{file}")
    it.write(f"@reboot {it.job('first')}\n", "root")


def _file(it: Cell, file: int, step: int) -> str:
    """A thousand entries. One of `step` is due each minute, but not the first of all."""
    return "".join(
        f"{'* * * * *' if (number + 1) % step == 0 else _later(number)} {it.job(number)}\n"
        for number in range(file * IN_A_FILE, (file + 1) * IN_A_FILE)
    )


def _later(number: int) -> str:
    """One of a thousand schedules, none of them due within two hours and more."""
    hour = time.localtime().tm_hour
    return f"{number % 60} {(hour + 4 + number % SCHEDULES // 60) % 24} * * *"


def _ready(it: Cell) -> float:
    """Milliseconds from the daemon's execution to the first start of the job that is due at a start."""
    it.clock.forget()
    began = it.start()
    give_up = time.monotonic() + PATIENCE
    while not it.clock.starts():
        if time.monotonic() > give_up:
            raise RuntimeError(f"{it.daemon.name} is not ready in {PATIENCE:.0f} s: {it.errors()}")
        time.sleep(0.05)
    it.detached()
    return (it.clock.starts()[0] - began) / 1e6


def _at_rest(it: Cell) -> list[Figure]:
    """An idle minute; for those that reload when they are told to, what a reload costs."""
    wait_for_second(30)
    before = it.own_cpu(), it.wakeups()
    time.sleep(60)
    idle, wakeups = it.own_cpu() - before[0], it.wakeups() - before[1]
    found = [
        Figure("many.idle", it.daemon.name, [idle]),
        Figure("many.wakeups", it.daemon.name, [wakeups]),
    ]
    if it.daemon.generation == 2:
        found += _reloads(it)
    return found


def _reloads(it: Cell) -> list[Figure]:
    took = []
    for number in range(3):
        time.sleep(3)
        away_from_the_minute()
        took.append(
            _reload(it, f"0 {(time.localtime().tm_hour + 12) % 24} * * * {it.job(f'new-{number}')}\n")
        )
    _reload(it, f"* * * * * {it.job('due')}\n")
    late = []
    for number in range(2):
        wait_for_second(BEFORE)
        it.clock.forget()
        wait_for_second(59.95)
        _reload(it, f"* * * * * {it.job('due')}\n0 4 1 1 * {it.job(f'newer-{number}')}\n")
        time.sleep(2)
        minute = int(time.time()) // 60 * 60
        late.append((it.clock.starts()[0] - minute * 10**9) / 1e6)
    return [Figure("many.reload", it.daemon.name, took), Figure("many.late", it.daemon.name, late)]


def _reload(it: Cell, text: str) -> float:
    """Milliseconds until the daemon has said that one file, changed by a line or two, is in force."""
    it.write(_file(it, 0, IN_A_FILE + 1) + text, "files-0")
    said = it.sink.count
    before = time.perf_counter()
    os.kill(it.pid, signal.SIGHUP)
    give_up = before + PATIENCE
    while it.sink.count == said:
        if time.perf_counter() > give_up:
            raise RuntimeError("it does not say that it has reloaded")
        time.sleep(0.0005)
    return (time.perf_counter() - before) * 1000
