"""Stored values that are no longer valid: no command fails because of them, and a daemon starts and runs."""

import json
import sqlite3
from pathlib import Path

import pytest

from pycrond import clock
from pycrond.cli.main import main
from tests.support.loop import Loop

JOBS = """\
#: name=each missed=all jitter=1s
* * * * * true
#: name=other expect=1h retries=2 retry-delay=1h
* * * * * false
#: name=long
1 12 * * * sleep 1000
"""
COMMANDS = {
    "list": 0, "list --json": 0, "history": 0, "history --json": 0, "next": 0, "calendar": 0, "timeline": 0, "doctor": None,
    "audit": None, "why other 12:00": None,
}  # fmt: skip
"""The commands that read the ledger, with their exit status; None: it depends on the stored values."""
NONSENSE = '{"jitter": "x", "missed": 5, "timeout": -1, "success": 3, "log": "maybe"}'
VALUES: dict[str, dict[str, list[object]]] = {
    "jobs": {"zone": ["Mars/Base", "/etc/passwd"], "canonical": ["bogus", "1 1 1 1 80 or fixed 0 - -"], "options": ["{", NONSENSE]},
    "job_versions": {"zone": ["Mars/Base"], "canonical": ["bogus"], "options": ["[]"], "since": [1e300]},
    "runs": {
        "state": ["bogus"], "reason_code": ["bogus"], "trigger": ["bogus"], "pid": [0, 1 << 40], "fire": [1e300, -1e18],
        "start_at": [9e999], "started_at": [-9e999], "duration_s": [9e999], "key": ["nobody/x"],
    },
    "pauses": {"since": [9e999], "until": [1e300]},
    "alarms": {"document": ["{", "[]"], "kind": ["bogus"], "event": ["bogus"], "next_at": [1e300], "made_at": [-9e999]},
    "health": {"since": [9e999], "succeeded_at": [1e300]},
    "clock_events": {"at": [1e300], "moved": [-9e999]},
    "files": {"stamp": ["x", "x Mars/Base"]},
    "daemons": {"started_at": [1e300], "boot": [""]},
}  # fmt: skip


@pytest.mark.parametrize("table", VALUES)
def test_stored_values_that_are_no_longer_valid_end_neither_a_command_nor_a_daemon(
    loop: Loop, table: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    loop.begin(JOBS)
    loop.minutes(3)
    loop.until(lambda: loop.daemon.subsystems.runs.active.count == 1)
    (key, *_) = loop.daemon.subsystems.reloader.jobs
    loop.daemon.subsystems.scheduler.pauses.pause([key], clock.now().timestamp() + 60, "", clock.now())
    loop.daemon.subsystems.ledger.clock_event("step", -60.0, clock.now())
    alarm = {"made_at": 1.0, "next_at": 2.0, "key": key, "kind": "hook", "event": "missed", "document": "{}"}
    file = loop.daemon.subsystems.ledger.file
    names = ", ".join(alarm)
    file.write((f"INSERT INTO alarms ({names}) VALUES (?, ?, ?, ?, ?, ?)", [tuple(alarm.values())]))
    loop.stop()
    for name, value in {
        "STATE_DIR": loop.state,
        "CRONTABS": loop.crontabs,
        "RUNTIME_DIR": loop.directory / "run",
    }.items():
        monkeypatch.setenv(f"PYCROND_{name}", str(value))
    good = Path(loop.state, "ledger").read_bytes()
    cases = [(column, value) for column, values in VALUES[table].items() for value in values]
    for column, wrong in cases:
        for end in ("-wal", "-shm"):
            Path(loop.state, f"ledger{end}").unlink(missing_ok=True)
        Path(loop.state, "ledger").write_bytes(good)
        database = sqlite3.connect(Path(loop.state, "ledger"))
        changed = database.execute(f"UPDATE OR IGNORE {table} SET {column} = ?", (wrong,)).rowcount
        database.commit()
        database.close()
        assert changed, (table, column)
        for command, expected in COMMANDS.items():
            status = main(command.split())
            printed = capfd.readouterr()
            allowed = {0, 1} if expected is None else {expected}
            assert status in allowed, (column, wrong, command, printed.err)
            if "--json" in command:
                json.loads(printed.out)
        loop.begin()
        loop.minutes(2)
        loop.stop()
