"""A ledger that is full of past runs."""

import os
import sqlite3
import time

JOBS = 1_000
"""The number of jobs with past runs; each has fewer than 10,000, beyond which the daemon archives them."""


def fill(ledger: str, runs: int) -> bool:
    """Add `runs` runs, distributed over the jobs of the ledger, each with one a minute up to now.

    Return False, with nothing added, as long as no daemon has made the ledger and loaded its jobs.
    """
    if not os.path.exists(ledger):
        return False
    with sqlite3.connect(ledger, timeout=60) as db:
        if not db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'alarms'").fetchone():
            return False
        if not db.execute("SELECT 1 FROM daemons WHERE ready_at IS NOT NULL").fetchone():
            return False
        keys = [row[0] for row in db.execute("SELECT key FROM jobs WHERE loaded > 0 ORDER BY key")][:JOBS]
        keys += [f"root/gone-{number}" for number in range(JOBS - len(keys))]
        now = int(time.time()) // 60
        for key in keys:
            db.execute(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
                " INSERT INTO runs (key, fire, wall, fold, era, trigger, attempt, state, pid, pid_start,"
                " started_at, ended_at, duration_s, exit_status, cpu_s, max_rss_kb, lateness_ms, told)"
                " SELECT ?, 60.0 * (? - i), ? - i, 0, 0, 'schedule', 1, 'succeeded', 4711, 4711,"
                " 60.0 * (? - i), 60.0 * (? - i), 0.01, 0, 0.01, 20000, 1.5, 3 FROM n",
                (runs // JOBS, key, now - 2, now - 2, now - 2, now - 2),
            )
    db.close()
    return True
