"""status: whether the daemon runs, and how it does."""

import argparse
import json
import time
from collections.abc import Iterator
from typing import Any

from pycrond.cli.commands.control import loaded, say_to_keeper
from pycrond.cli.data.access import control_socket
from pycrond.cli.settings_layers import configured
from pycrond.control import protocol
from pycrond.errors import NotRunningError, PycrondError
from pycrond.keeper import start
from pycrond.settings import Settings
from pycrond.text import counted, rough_duration

FILES_MOST = 20  # that are named


def status(wanted: argparse.Namespace) -> int:
    """Whether it runs, told by the lock, and how it does, told by itself."""
    settings = configured(wanted)
    answer = _status(settings)
    if answer is None:
        left = _left_running(settings)
        if wanted.json:
            print(json.dumps({"running": False, "running_jobs": left}))
            return NotRunningError.status
        if left:
            raise NotRunningError(f"pycrond is stopped, {counted(left, 'job')} still running")
        raise NotRunningError("pycrond is not running")
    if wanted.json:
        print(json.dumps({**answer, "running": True, "running_jobs": answer["running"]}))
        return 0
    up = rough_duration(max(0.0, time.time() - answer["started_at"]))
    print(f"pycrond {answer['version']} runs, pid {answer['pid']}, for {up}")
    print(f"crontabs: {loaded(answer['jobs'], answer['files'])}, {counted(answer['errors'], 'error')}")
    for line in _files(answer):
        print(line)
    print(f"running: {counted(answer['running'], 'job')}")
    for line in _figures(answer):
        print(line)
    behind = max(0, answer["backlog"] - answer["running"])  # what runs is not told in full anyway
    print(f"syslog: {counted(behind, 'run')} not yet told in full")
    if answer.get("alarms"):
        print(f"alarms: {answer['alarms']} not yet delivered")
    return 0


def _files(answer: dict[str, Any]) -> Iterator[str]:
    files = [*answer.get("loaded_files", {}).items()]
    for file, jobs in files[:FILES_MOST]:
        yield f"    {file}: {counted(jobs, 'job')}"
    if len(files) > FILES_MOST:
        yield f"    and {len(files) - FILES_MOST} more"


def _figures(answer: dict[str, Any]) -> Iterator[str]:
    """What waits, how late starts were, what limits runs."""
    if "waiting" not in answer:
        return  # it is of an older version, and not restarted yet
    waits, late, limits = answer["waiting"], answer["lateness_ms"], answer["limits"]
    words = {"for_a_time": "for its time", "for_others": "for another run", "for_room": "for room"}
    parts = [f"{waits[name]} {word}" for name, word in words.items() if waits[name]]
    yield f"waiting: {', '.join(parts) or '0'}"
    yield f"paused: {counted(answer['paused'], 'job')}"
    if late["starts"]:
        figures = ", ".join(f"{name} {late[name]:.1f} ms" for name in ("median", "p99", "worst"))
        yield f"lateness of the last {counted(late['starts'], 'start')}: {figures}"
    most = f", max-running {limits['max_running']}" if limits["max_running"] else ""
    yield f"limits: memory by {limits['memory']}, cpu by {limits['cpu']}{most}"


def _status(settings: Settings) -> dict[str, Any] | None:
    """What the daemon says of itself; None if there is none."""
    try:
        return protocol.ask(control_socket(settings), {"command": "status"}, timeout=10.0)
    except NotRunningError:
        if not _is_locked(settings) or _left_running(settings):
            return None
        raise


def _is_locked(settings: Settings) -> bool:
    try:
        return start.is_locked(settings.state_dir)
    except PycrondError:  # another user's: who does not answer is not there
        return False


def _left_running(settings: Settings) -> int:
    """How many jobs a stop has left behind that still run: known to the keeper that stays for them."""
    try:
        daemon, _, left = say_to_keeper(settings, "status").partition(" ")
    except NotRunningError:
        return 0
    return int(left or 0) if daemon == "0" else 0
