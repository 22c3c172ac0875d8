"""The present state of open runs while no daemon records their ends.

It follows from the processes, identified by pid and start time, and from the ends that the keeper has saved.
"""

import json
import time
from collections.abc import Iterable, Mapping
from typing import Any

from pycrond.cli.daemon_requests import is_locked
from pycrond.host import machine, procfs
from pycrond.jobs.options import from_json
from pycrond.jobs.run import Cause, State
from pycrond.keeper.client import ProcessEnd, read_saved_ends
from pycrond.ledger.rows import ProcessRow, RunRow, SpanRow
from pycrond.ledger.shared_reader import SharedReader
from pycrond.runs.outcome import judge, reported_outcome
from pycrond.settings import Settings

Changes = Mapping[int, Mapping[str, Any]]
"""The changed columns of runs, by run number."""
SAVE_TIME = 0.05  # seconds within which a keeper saves the end of a process
NO_DAEMON = "no daemon runs"
RESTARTED = "the machine was restarted while it ran"
NO_STATUS = "it ended while no daemon ran: its exit status is not known"


def changes(read: SharedReader, settings: Settings) -> Changes:
    """Return the changes of open runs that the ledger does not have, as no daemon runs."""
    rows = read.processes()
    running = [row for row in rows if row.state == State.RUNNING]
    living = {row.id for row in running if _is_running(row)}
    # Read after the processes: a process ends before its end is written.
    ends = _read_ends(settings)
    dead = [row for row in running if row.id not in living]
    if any((row.pid, row.pid_start) not in ends for row in dead) and is_locked(settings.state_dir):
        time.sleep(SAVE_TIME)
        ends = _read_ends(settings)
    return {row.id: _present(row, ends, is_alive=row.id in living) for row in rows}


def _read_ends(settings: Settings) -> Mapping[tuple[int | None, int | None], ProcessEnd]:
    return {(end.pid, end.start): end for end in read_saved_ends(settings.ends_path)}


def count_running(changed: Changes) -> int:
    """Return the number of runs whose process still runs."""
    return sum(change.get("state") == State.RUNNING for change in changed.values())


def apply(rows: Iterable[Any], changed: Changes) -> list[Any]:
    """Return rows of runs or spans in their present state."""
    return [_applied(row, changed) for row in rows]


def _applied(row: RunRow | SpanRow, changed: Changes) -> RunRow | SpanRow:
    if isinstance(row, RunRow):
        return row._replace(**changed.get(row.id, {}))
    change = changed.get(row.run or 0)
    if change is None or row.end is not None or change["state"] == State.RUNNING:
        return row
    return row._replace(state=change["state"], end=max(row.start, change.get("ended_at", row.start)))


def _is_running(row: ProcessRow) -> bool:
    process = procfs.read_stat(row.pid) if row.pid and row.boot == machine.boot_id() else None
    return process is not None and process.start == row.pid_start and process.state not in "ZX"


def _present(
    row: ProcessRow, ends: Mapping[tuple[int | None, int | None], ProcessEnd], *, is_alive: bool
) -> Mapping[str, Any]:
    if row.state != State.RUNNING:
        return {"reason": f"{row.reason}: {NO_DAEMON}".removeprefix(": ")}
    if is_alive:
        return {"state": State.RUNNING, "reason": f"{NO_DAEMON}, process {row.pid} still runs"}
    if row.boot != machine.boot_id():
        return {"state": State.UNKNOWN, "reason": RESTARTED}
    end = ends.get((row.pid, row.pid_start))
    if end is None:
        return {"state": State.UNKNOWN, "reason": NO_STATUS}
    reported, at, duration = reported_outcome(end, row.started_at)
    success = from_json(json.loads(row.options or "{}")).success
    outcome = judge(reported, success, Cause(row.reason_code, row.reason))
    usage = {name: getattr(outcome, name) for name in ("exit_status", "signal", "cpu_s", "max_rss_kb")}
    known = {"state": outcome.state, "reason": outcome.cause.text, **usage}
    return {**known, "ended_at": at.timestamp(), "duration_s": duration}
