"""The delivery of output: a million lines to syslog, a stopped syslogd, and lines to standard output."""

import contextlib
import os
import re
import subprocess
import tempfile
import time

from bursts import EVALUATION_SECOND, wait_for_second, wait_past_minute
from cell import Cell, open_cell
from crond import proc_status
from daemons import Daemon
from figures import Figure

OTHER_JOBS = 20
STOP_TIME = 10.0  # seconds
ON_TIME = 1500.0  # ms; the C crons sleep whole seconds
NUMBER = re.compile(rb"CMDOUT \((\d+)\)")
TIMEOUT = 600.0  # seconds


def lines(daemon: Daemon, count: int, rounds: int) -> list[Figure]:
    """Measure a job that prints `count` lines, from its start until the last line has arrived."""
    if not daemon.logs_output:
        return []
    durations, lost, growth = [], [], []
    for _ in range(rounds):
        with open_cell(daemon) as cell:
            cell.write(f"{_next_minute()} {cell.job('flood', f'seq {count}')}\n")
            cell.start()
            wait_for_second(0.5)
            ended, memory = _watch(cell, count)
            durations.append((ended - cell.recorder.starts()[0]) / 1e6)
            growth.append(max(memory) - memory[0])
            lost.append(_missing(cell.sink.end(), count))
    return [
        Figure("lines.time", daemon.name, durations),
        Figure("lines.lost", daemon.name, lost),
        Figure("lines.growth", daemon.name, growth),
    ]


def printed(daemon: Daemon, count: int, rounds: int) -> list[Figure]:
    """Measure a job that prints `count` lines, to a standard output whose reader only counts them."""
    figures = []
    for form in ("text", "json"):
        durations, lost = [], []
        for _ in range(rounds):
            milliseconds, arrived = _print(daemon.argv[0], form, count)
            durations.append(milliseconds)
            lost.append(float(count - arrived))
        figures += [
            Figure(f"printed.{form}", daemon.name, durations),
            Figure(f"printed.{form}.lost", daemon.name, lost),
        ]
    return figures


def _print(script: str, form: str, count: int) -> tuple[float, int]:
    """Return the time from the first line to the last, in ms, and how many lines arrived."""
    with tempfile.TemporaryDirectory(prefix="printed.") as directory:
        crontab = os.path.join(directory, "crontabs", "jobs")
        os.mkdir(os.path.dirname(crontab))
        with open(crontab, "w", encoding="utf-8") as file:
            file.write(f"#: name=flood\n@reboot seq {count}\n")
        command = [script, "start", "--foreground", "--beside-cron", "--syslog=none", f"--log-format={form}"]
        places = ("crontabs", "state-dir", "runtime-dir", "pidfile")
        command += [f"--{setting}={os.path.join(directory, setting)}" for setting in places]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            assert process.stdout
            first = last = arrived = 0
            while data := os.read(process.stdout.fileno(), 1 << 20):
                arrived += data.count(b"\n")
                if b"flood" in data:
                    last = time.monotonic_ns()
                    first = first or last
                if b"EXIT" in data:
                    process.terminate()
        return (last - first) / 1e6, arrived - 4  # STARTUP, CMD, EXIT, SHUTDOWN


def stopped(daemon: Daemon, minutes: int) -> list[Figure]:
    """Measure twenty jobs, and one that prints 1,000 lines, while the reader of /dev/log is stopped."""
    on_time: list[float] = []
    with open_cell(daemon) as cell:
        jobs = [f"* * * * * {cell.job(number)}\n" for number in range(OTHER_JOBS)]
        wait_past_minute()
        cell.write("* * * * * seq 1000\n" + "".join(jobs))
        cell.start()
        for _ in range(minutes):
            wait_for_second(55)
            cell.recorder.reset()
            cell.sink.pause()
            time.sleep(STOP_TIME)
            cell.sink.resume()
            minute = int(time.time()) // 60 * 60
            wait_for_second(EVALUATION_SECOND)
            on_time.append(sum(start / 1e6 - minute * 1000 <= ON_TIME for start in cell.recorder.starts()))
        seen = sum(1 for line in cell.sink.end() if NUMBER.search(line))
    figures = [Figure("stopped.on_time", daemon.name, on_time)]
    if daemon.logs_output:  # a line can arrive twice
        figures.append(Figure("stopped.lost", daemon.name, [max(0, minutes * 1000 - seen)]))
    return figures


def _next_minute() -> str:
    """Return a schedule that is due once, in the next minute that is not too near."""
    wait_past_minute()
    at = time.localtime(time.time() + 60)
    return f"{at.tm_min} {at.tm_hour} {at.tm_mday} {at.tm_mon} *"


def _watch(cell: Cell, count: int) -> tuple[float, list[float]]:
    """Return when the last line arrived, in ns since 1970, and samples of the largest process's memory."""
    memory = [_memory(cell)]
    seen, last_arrival = cell.sink.count, time.time_ns()
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline:
        time.sleep(0.01)
        now = cell.sink.count
        if now != seen:
            seen, last_arrival = now, time.time_ns()
        elif seen >= count and time.time_ns() - last_arrival > 3e9:
            break
        if len(memory) * 0.5 < time.monotonic() - deadline + TIMEOUT:
            memory.append(_memory(cell))
    return last_arrival, memory


def _memory(cell: Cell) -> float:
    """Return the resident memory of the largest process in 10^6 bytes."""
    sizes = [0.0]
    for pid in cell.pids()[1:]:
        with contextlib.suppress(OSError, KeyError):
            sizes.append(int(proc_status(pid)["VmRSS"]) * 1024 / 1e6)
    return max(sizes)


def _missing(text: list[bytes], count: int) -> int:
    """Return how many of the numbers 1 to `count` are in no line."""
    numbers = {int(match[1]) for line in text if (match := NUMBER.search(line))}
    return count - len(numbers & set(range(1, count + 1)))
