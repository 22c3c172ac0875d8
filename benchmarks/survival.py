"""What it takes to come back: a start after a kill, with many jobs running and a long past."""

import os
import signal
import sqlite3
import time

from crond import Crond, crond, wait_until
from daemons import Daemon
from figures import Figure

RUNNING, PAST = 1_000, 100_000


def recovery(daemon: Daemon) -> list[Figure]:
    """From the kill of a daemon with many jobs running and a long past until the next one is ready.

    The keeper's pause of 0.2 s is in it.
    """
    with crond() as one:
        one.write("".join(f"#: name=long-{number}\n@reboot exec sleep 600\n" for number in range(RUNNING)))
        one.run("start")
        wait_until(lambda: len(_rows(one, "SELECT id FROM runs WHERE state = 'running'")) == RUNNING, 30)
        with sqlite3.connect(_ledger(one)) as db:
            db.execute(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
                " INSERT INTO runs (id, key, fire, wall, fold, era, trigger, attempt, state, told)"
                " SELECT 1000000 + i, 'root/past', 60 * i, i, 0, 0, 'schedule', 1, 'succeeded', 3 FROM n",
                (PAST,),
            )
        took = []
        for _ in range(3):
            starts = len(_rows(one, "SELECT id FROM daemons"))
            before = time.time()
            os.kill(one.pid, signal.SIGKILL)
            took.append(1000 * (_ready_after(one, starts) - before))
            time.sleep(1)
        for (pid,) in _rows(one, "SELECT pid FROM runs WHERE state = 'running'"):
            os.kill(int(pid), signal.SIGKILL)
    return [Figure("recovery", daemon.name, took)]


def _ready_after(one: Crond, starts: int) -> float:
    """When the daemon after so many was ready."""
    query = f"SELECT ready_at FROM daemons WHERE id > {starts} AND ready_at NOT NULL"
    wait_until(lambda: _rows(one, query), 30)
    return _rows(one, query)[0][0]


def _ledger(one: Crond) -> str:
    return os.path.join(one.folder, "state", "ledger")


def _rows(one: Crond, query: str) -> list[tuple[float, ...]]:
    try:
        db = sqlite3.connect(f"file:{_ledger(one)}?mode=ro", uri=True)
        rows = db.execute(query).fetchall()
        db.close()
    except sqlite3.Error:
        return []
    return rows
