"""The time to recover from a kill, with many running jobs and many past runs."""

import os
import signal
import sqlite3
import time

from crond import Crond, open_crond, wait_until
from daemons import Daemon
from figures import Figure

RUNNING_JOBS, PAST_RUNS = 1_000, 100_000


def recovery(daemon: Daemon) -> list[Figure]:
    """Measure the time from the kill of a daemon until the next one is ready.

    It includes the 0.2 s that the keeper waits before it starts a daemon.
    """
    with open_crond() as crond:
        crond.write(
            "".join(f"#: name=long-{number}\n@reboot exec sleep 600\n" for number in range(RUNNING_JOBS))
        )
        crond.run("start")
        wait_until(
            lambda: len(_rows(crond, "SELECT id FROM runs WHERE state = 'running'")) == RUNNING_JOBS, 30
        )
        with sqlite3.connect(_ledger(crond)) as db:
            db.execute(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
                " INSERT INTO runs (id, key, fire, wall, fold, era, trigger, attempt, state, told)"
                " SELECT 1000000 + i, 'root/past', 60 * i, i, 0, 0, 'schedule', 1, 'succeeded', 3 FROM n",
                (PAST_RUNS,),
            )
        durations = []
        for _ in range(3):
            starts = len(_rows(crond, "SELECT id FROM daemons"))
            before = time.time()
            os.kill(crond.pid, signal.SIGKILL)
            durations.append(1000 * (_ready_after(crond, starts) - before))
            time.sleep(1)
        for (pid,) in _rows(crond, "SELECT pid FROM runs WHERE state = 'running'"):
            os.kill(int(pid), signal.SIGKILL)
    return [Figure("recovery", daemon.name, durations)]


def _ready_after(crond: Crond, starts: int) -> float:
    """Wait until a daemon after the first `starts` is ready, and return the time."""
    query = f"SELECT ready_at FROM daemons WHERE id > {starts} AND ready_at NOT NULL"
    wait_until(lambda: _rows(crond, query), 30)
    return _rows(crond, query)[0][0]


def _ledger(crond: Crond) -> str:
    return os.path.join(crond.directory, "state", "ledger")


def _rows(crond: Crond, query: str) -> list[tuple[float, ...]]:
    try:
        db = sqlite3.connect(f"file:{_ledger(crond)}?mode=ro", uri=True)
        rows = db.execute(query).fetchall()
        db.close()
    except sqlite3.Error:
        return []
    return rows
