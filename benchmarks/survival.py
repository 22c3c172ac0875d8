"""What it costs to lose nothing: a start after a kill, the keeper's share of a burst, a million lines."""

import os
import signal
import sqlite3
import subprocess
import sys
import time

from crond import Crond, crond, proc_status, wait_until
from figures import Figure, Peer

RUNNING, PAST, BURST, LINES, OTHERS = 1_000, 100_000, 1_000, 1_000_000, 20


def figures() -> list[Figure]:
    return [recovery(), burst(rounds=3), *output()]


def recovery() -> Figure:
    """From the kill of a daemon with many jobs running and a long past until the next one is ready."""
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
    return Figure(
        f"ready after a kill: {RUNNING} running, {PAST} past (0.2 s are the keeper's pause)", "ms", took, 2000
    )


def _ready_after(one: Crond, starts: int) -> float:
    """When the daemon after so many was ready."""
    query = f"SELECT ready_at FROM daemons WHERE id > {starts} AND ready_at NOT NULL"
    wait_until(lambda: _rows(one, query), 30)
    return _rows(one, query)[0][0]


def burst(rounds: int) -> Figure:
    """From a daemon's beginning to the last start of many at once, with its keeper and without."""
    kept, alone = [], []
    for _ in range(rounds):
        kept.append(_burst(keeper=True))
        alone.append(_burst(keeper=False))
    return Figure(f"a burst of {BURST} starts", "ms", kept, None, Peer("without a keeper", alone))


def _burst(*, keeper: bool) -> float:
    with crond() as one:
        one.write("".join(f"#: name=short-{number}\n@reboot true\n" for number in range(BURST)))
        one.run("start")
        wait_until(lambda: len(_rows(one, "SELECT id FROM runs WHERE told = 3")) == BURST, 60)
        if keeper:
            return _last_start(one)
        one.run("stop")
        with open(os.path.join(one.folder, "state", "settings"), encoding="utf-8") as file:
            arguments = file.read().split("\n")
        os.unlink(_ledger(one))
        program = [sys.executable, "-P", "-m", "pycrond.program", *arguments]
        alone = subprocess.Popen(program, env=one.environment, start_new_session=True)
        wait_until(lambda: len(_rows(one, "SELECT id FROM runs WHERE told = 3")) == BURST, 60)
        took = _last_start(one)
        alone.terminate()
        alone.wait()
        return took


def output() -> list[Figure]:
    """One job that prints a million lines, to a syslogd that reads at once; beside it logger(1), and twenty
    jobs that are due in the middle of it.
    """
    with crond() as one:
        others = "".join(f"#: name=other-{number}\n* * * * * true\n" for number in range(OTHERS))
        one.write(f"#: name=flood\n@reboot seq {LINES}\n{others}")
        while not 45 <= time.time() % 60 <= 55:  # so that a minute begins meanwhile
            time.sleep(0.1)
        before = time.monotonic()
        one.run("start")
        memory = []
        flood = "SELECT id FROM runs WHERE told = 3 AND trigger = 'reboot'"
        while not _rows(one, flood):
            memory.append(int(proc_status(one.pid)["VmRSS"]) / 1024)
            time.sleep(0.1)
        took = time.monotonic() - before
        rows = _rows(one, "SELECT lateness_ms FROM runs WHERE trigger = 'schedule' AND started_at NOT NULL")
        late = [row[0] for row in rows]
        logger = _logger(one.environment["PYCROND_SYSLOG"])
    peers = [Peer("logger(1), a tenth of it", logger)] if logger else []
    return [
        Figure(f"{LINES} lines from a job to syslog", "ms", [1000 * took], None, *peers),
        Figure("  the daemon's memory meanwhile", "MB", memory),
        Figure(f"  the lateness of {OTHERS} jobs meanwhile", "ms", late, 50),
    ]


def _logger(path: str) -> list[float]:
    try:
        before = time.monotonic()
        command = f"seq {LINES // 10} | logger --socket {path} --size 8192"
        subprocess.run(command, shell=True, check=True, stderr=subprocess.DEVNULL)
    except subprocess.CalledProcessError:
        return []
    return [10_000 * (time.monotonic() - before)]


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


def _last_start(one: Crond) -> float:
    (row,) = _rows(one, "SELECT max(runs.started_at) - max(daemons.started_at) FROM runs, daemons")
    return 1000 * row[0]
