"""A hundred thousand entries: the time to read them, and their cost when few of them are due."""

import os
import signal
import time

from bursts import RESET_SECOND, measure_minutes, wait_for_second, wait_past_minute
from cell import FILES, Cell, open_cell
from daemons import Daemon
from figures import Figure

SCHEDULES = 1_000
ENTRIES_PER_FILE = 1_000
TIMEOUT = 120.0  # seconds


def figures(daemon: Daemon, rounds: int) -> list[Figure]:
    """Measure starts, memory, an idle minute and reloads."""
    first_starts, later_starts, memory = [], [], []
    rest: list[Figure] = []
    for number in range(rounds):
        with open_cell(daemon) as cell:
            _write_entries(cell, FILES * ENTRIES_PER_FILE)
            first_starts.append(_start(cell))
            memory.append(cell.resident())
            if number == 0:
                rest = _measure_idle(cell)
                memory.append(cell.resident())  # after reloads
            cell.stop()
            later_starts.append(_start(cell))
    return [
        Figure("many.start", daemon.name, first_starts),
        Figure("many.again", daemon.name, later_starts),
        Figure("many.memory", daemon.name, memory),
        *rest,
    ]


def curve(daemon: Daemon, entries: int, minutes: int) -> list[Figure]:
    """Measure minutes in which one of a hundred entries is due."""
    with open_cell(daemon) as cell:
        _write_entries(cell, entries, due=entries // 100)
        _start(cell)
        wait_past_minute()
        measured = measure_minutes(cell, minutes)
        for minute in measured:
            if len(minute.delays) != entries // 100:
                raise RuntimeError(f"{daemon.name} has started {len(minute.delays)} of {entries // 100}")
    return [Figure(f"curve.{entries}", daemon.name, [minute.own_cpu for minute in measured])]


def _write_entries(cell: Cell, entries: int, due: int = 0) -> None:
    """Write files of a thousand entries, `due` of all entries due each minute, and one `@reboot` entry."""
    for file in range(entries // ENTRIES_PER_FILE):
        cell.write(_file(cell, file, entries // due if due else entries + 1), f"files-{file}")
    cell.write(f"@reboot {cell.job('first')}\n", "root")


def _file(cell: Cell, file: int, step: int) -> str:
    """Return a thousand entries. Each `step`-th is due each minute."""
    return "".join(
        f"{'* * * * *' if (number + 1) % step == 0 else _not_due(number)} {cell.job(number)}\n"
        for number in range(file * ENTRIES_PER_FILE, (file + 1) * ENTRIES_PER_FILE)
    )


def _not_due(number: int) -> str:
    """Return one of a thousand schedules that are not due in the next two hours."""
    hour = time.localtime().tm_hour
    return f"{number % 60} {(hour + 4 + number % SCHEDULES // 60) % 24} * * *"


def _start(cell: Cell) -> float:
    """Start the daemon; return the milliseconds from its execution to the start of its `@reboot` job."""
    cell.recorder.reset()
    began = cell.start()
    deadline = time.monotonic() + TIMEOUT
    while not cell.recorder.starts():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{cell.daemon.name} is not ready in {TIMEOUT:.0f} s: {cell.errors()}")
        time.sleep(0.05)
    cell.wait_until_detached()
    return (cell.recorder.starts()[0] - began) / 1e6


def _measure_idle(cell: Cell) -> list[Figure]:
    """Measure an idle minute, and reloads of pycrond."""
    wait_for_second(30)
    before = cell.own_cpu(), cell.wakeups()
    time.sleep(60)
    idle, wakeups = cell.own_cpu() - before[0], cell.wakeups() - before[1]
    figures = [
        Figure("many.idle", cell.daemon.name, [idle]),
        Figure("many.wakeups", cell.daemon.name, [wakeups]),
    ]
    if cell.daemon.generation == 2:
        figures += _reloads(cell)
    return figures


def _reloads(cell: Cell) -> list[Figure]:
    durations = []
    for number in range(3):
        time.sleep(3)
        wait_past_minute()
        durations.append(
            _reload(cell, f"0 {(time.localtime().tm_hour + 12) % 24} * * * {cell.job(f'new-{number}')}\n")
        )
    _reload(cell, f"* * * * * {cell.job('due')}\n")
    delays = []
    for number in range(2):
        wait_for_second(RESET_SECOND)
        cell.recorder.reset()
        wait_for_second(59.95)
        _reload(cell, f"* * * * * {cell.job('due')}\n0 4 1 1 * {cell.job(f'newer-{number}')}\n")
        time.sleep(2)
        minute = int(time.time()) // 60 * 60
        delays.append((cell.recorder.starts()[0] - minute * 10**9) / 1e6)
    return [Figure("many.reload", cell.daemon.name, durations), Figure("many.late", cell.daemon.name, delays)]


def _reload(cell: Cell, text: str) -> float:
    """Change a file by a line or two; return the milliseconds until the daemon logs the reload."""
    cell.write(_file(cell, 0, ENTRIES_PER_FILE + 1) + text, "files-0")
    logged = cell.sink.count
    before = time.perf_counter()
    os.kill(cell.pid, signal.SIGHUP)
    deadline = before + TIMEOUT
    while cell.sink.count == logged:
        if time.perf_counter() > deadline:
            raise RuntimeError("the daemon does not log that it has reloaded")
        time.sleep(0.0005)
    return (time.perf_counter() - before) * 1000
