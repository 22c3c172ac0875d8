"""status: show whether the daemon runs, and its load."""

import argparse
import time
from collections.abc import Iterator
from typing import Any

from pycrond.cli.arguments import add_json
from pycrond.cli.daemon_requests import STATUS_TIMEOUT, ask_daemon, count_jobs_left, is_locked
from pycrond.cli.load_report import jobs_from_files
from pycrond.cli.not_loaded import unloaded_changes
from pycrond.cli.printing import print_json, print_line
from pycrond.cli.render import terminal
from pycrond.cli.render.disk import disk_lines, size, waiting
from pycrond.cli.settings_layers import load_settings
from pycrond.errors import NotRunningError
from pycrond.settings import Settings
from pycrond.text import counted, duration

FILES_MOST = 20  # listed by name
WAITS = {"for_a_time": "for its time", "for_others": "for another run", "for_room": "for room"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Print the daemon's status; 3 if none runs."""
    settings = load_settings(options)
    answer = _ask_status(settings)
    if answer is None:
        left = count_jobs_left(settings)
        if options.json:
            print_json({"running": False, "running_jobs": left})
            return NotRunningError.status
        if left:
            raise NotRunningError(f"pycrond is stopped, {counted(left, 'job')} still running")
        raise NotRunningError("pycrond is not running")
    changes = unloaded_changes(settings)
    if options.json:
        not_loaded = [change.document() for change in changes]
        print_json({**answer, "running": True, "running_jobs": answer["running"], "not_loaded": not_loaded})
    else:
        for line in (*_lines(answer), *map(str, changes)):
            print_line(line)
    return 0


def _lines(answer: dict[str, Any]) -> Iterator[str]:
    uptime = duration(max(0.0, time.time() - answer["started_at"]))
    yield f"pycrond {answer['version']} runs, pid {answer['pid']}, for {uptime}"
    loaded = jobs_from_files(answer["jobs"], answer["files"])
    yield f"crontabs: {loaded}, {counted(answer['errors'], 'error')}"
    yield from _file_lines(answer)
    yield f"running: {counted(answer['running'], 'job')}"
    yield from _load_lines(answer)
    backlog = max(0, answer["backlog"] - answer["running"])  # output of running jobs is never complete
    yield f"syslog: {counted(backlog, 'run')} not yet sent in full"
    if disk := answer.get("disk"):
        limit = f", spool-limit {disk['limit_bytes'] >> 20} MiB" if disk["limit_bytes"] else ""
        yield f"output on disk: {size(disk['kept_bytes'])} delivered, {waiting(disk)}{limit}"
        yield from disk_lines(disk, terminal.here())
    if answer.get("alarms") or answer.get("dropped_alarms"):
        yield f"alarms: {answer['alarms']} not yet delivered, {answer.get('dropped_alarms', 0)} dropped"


def _file_lines(answer: dict[str, Any]) -> Iterator[str]:
    files = [*answer.get("loaded_files", {}).items()]
    for file, jobs in files[:FILES_MOST]:
        yield f"    {file}: {counted(jobs, 'job')}"
    if len(files) > FILES_MOST:
        yield f"    and {len(files) - FILES_MOST} more"


def _load_lines(answer: dict[str, Any]) -> Iterator[str]:
    """Yield how many runs wait, how late starts were, and by what runs are limited."""
    if "waiting" not in answer:
        return  # a daemon of an older version, which a restart replaces
    waiting, lateness, limits = answer["waiting"], answer["lateness_ms"], answer["limits"]
    parts = [f"{waiting[name]} {phrase}" for name, phrase in WAITS.items() if waiting[name]]
    yield f"waiting: {', '.join(parts) or '0'}"
    yield f"paused: {counted(answer['paused'], 'job')}"
    if lateness["starts"]:
        figures = ", ".join(
            f"{name} {duration(lateness[name] / 1000)}" for name in ("median", "p99", "worst")
        )
        yield f"lateness of the last {counted(lateness['starts'], 'start')}: {figures}"
    most = f", max-running {limits['max_running']}" if limits["max_running"] else ""
    yield f"limits: memory by {limits['memory']}, cpu by {limits['cpu']}{most}"
    yield from _share_lines(answer.get("shares", {}))


def _share_lines(shares: dict[str, Any]) -> Iterator[str]:
    """Yield the limits for each user, and where one applies."""
    if not shares:
        return  # a daemon of an older version
    yield "limits for each user:"
    for name, value in shares["limits"].items():
        yield f"    {name.replace('_', '-')} {value or 'none'}"
    if shares["refused_orders"]:
        yield f"    {counted(shares['refused_orders'], 'order')} refused (max-orders)"
    if files := shares["refused_crontabs"]:
        yield f"    {counted(len(files), 'crontab')} beyond a limit: {', '.join(files[:FILES_MOST])}"


def _ask_status(settings: Settings) -> dict[str, Any] | None:
    """Return the daemon's answer; None if there is no daemon."""
    try:
        return ask_daemon(settings, "status", timeout=STATUS_TIMEOUT)
    except NotRunningError:
        if not is_locked(settings) or count_jobs_left(settings):
            return None
        raise
