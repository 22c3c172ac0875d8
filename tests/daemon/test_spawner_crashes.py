"""Jobs of other users while the daemon and the spawner are killed: no run twice, and none without a verdict."""

import os
import signal
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.conftest import children, wait_until
from tests.support.system import System

pytestmark = [pytest.mark.daemon, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
ORDERS, KILLS = 30, 6


def kill_in_turn(system: System, is_over: threading.Event) -> None:
    """Kill the daemon or the spawner at varying times, until all orders are given."""
    for number in range(KILLS):
        if is_over.wait(0.11 + 0.013 * number):
            return
        status = system.crond.status()
        pids = [status["pid"], *children(status["pid"])[:1]] if status else []
        for pid in pids[number % 2 :][:1]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


def test_kills_while_jobs_of_another_user_start(system: System, shared: Path) -> None:
    tally = shared / "tally"
    tally.touch()
    tally.chmod(0o666)
    text = f"HOME=/\n#: name=job\n0 0 1 1 * nobody echo $PYCROND_RUN $(id -u) >>{tally}\n"
    system.write("etc/crontab", text)
    system.crond.run("start")
    is_over = threading.Event()
    killer = threading.Thread(target=kill_in_turn, args=(system, is_over))
    killer.start()
    ordered = 0
    deadline = time.monotonic() + 240
    while (ordered < ORDERS or killer.is_alive()) and time.monotonic() < deadline:
        ordered += system.crond.run("run", "job", status=None).returncode == 0
    is_over.set()
    killer.join()
    wait_until(system.crond.status)
    wait_until(lambda: all(run.ended_at for run in system.crond.runs()))
    lines = tally.read_text().splitlines()
    times = Counter(int(line.split()[0]) for line in lines)
    states = {run.id: run.state for run in system.crond.runs()}
    assert len(states) >= ORDERS
    assert {line.split()[1] for line in lines} == {"65534"}
    assert set(times.values()) == {1}, "no run was started twice"
    assert set(times) <= states.keys(), "each is in the ledger"
    assert {states[run] for run in times} <= {"succeeded", "unknown"}
    assert {run for run, state in states.items() if state == "succeeded"} <= times.keys()
