"""status: show whether the daemon runs, and its load."""

import argparse
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from pycrond import clock
from pycrond.cli import health
from pycrond.cli.arguments import add_json
from pycrond.cli.arguments import duration as positive_time
from pycrond.cli.daemon_requests import STATUS_TIMEOUT, Presence, ask_daemon, count_jobs_left
from pycrond.cli.data.access import records
from pycrond.cli.data.job_status import JobStatus, gone_and_overdue, overdue_json, read_jobs, standing_json
from pycrond.cli.documents.status import StatusDocument
from pycrond.cli.health import MAX_LATENESS
from pycrond.cli.load_report import jobs_from_files
from pycrond.cli.not_loaded import unloaded_changes
from pycrond.cli.printing import print_json, print_line
from pycrond.cli.render import job_table, terminal
from pycrond.cli.render.disk import disk_lines, size, waiting
from pycrond.cli.render.formatting import moment
from pycrond.cli.settings_layers import load_settings
from pycrond.errors import NotRunningError, PycrondError
from pycrond.ledger.rows import ExpectedRow
from pycrond.settings import Settings
from pycrond.text import counted, duration

MAX_FILES = MAX_LISTED_JOBS = 20  # listed by name
WAITS = {"for_a_time": "for its time", "for_others": "for another run", "for_room": "for room"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--check", action="store_true", help="exit 0 only if jobs start on time")
    form.add_argument("--nagios", action="store_true", help="the same in the format of a plug-in of Nagios")
    add_json(parser, StatusDocument)
    about = f"with --check or --nagios, how late a start may be ({duration(MAX_LATENESS)})"
    parser.add_argument(
        "--max-lateness", type=positive_time, default=MAX_LATENESS, metavar="DURATION", help=about
    )


def run(options: argparse.Namespace) -> int:
    """Print the daemon's status; 3 if none runs."""
    if options.check or options.nagios:
        return _check(options)
    settings = load_settings(options)
    answer = _ask_status(settings)
    presence, jobs, gone = _read_jobs(settings)
    changes = unloaded_changes(settings) if answer else ()
    if options.json:
        facts: dict[str, object] = {"running": False, "running_jobs": presence.jobs_left}
        if answer:
            facts = {**answer, "running": True, "running_jobs": answer["running"]}
            facts["not_loaded"] = [change.document() for change in changes]
        print_json(facts | (_troubles_json(jobs, gone) if jobs or gone else {}))
        return 0 if answer else NotRunningError.status
    for line in [*(_lines(answer) if answer else ()), *_trouble_lines(jobs, gone), *map(str, changes)]:
        print_line(line)
    if answer:
        return 0
    if presence.restarts:
        raise NotRunningError("pycrond is not running: it has died, and its keeper starts it again")
    if presence.jobs_left:
        raise NotRunningError(f"pycrond is stopped, {counted(presence.jobs_left, 'job')} still running")
    raise NotRunningError("pycrond is not running")


def _check(options: argparse.Namespace) -> int:
    """Print the daemon's health in one line, and return its exit status."""
    if options.json:
        raise PycrondError("--json excludes --check and --nagios: give only one of them")
    try:
        result = health.ask_for_health(load_settings(options), options.max_lateness)
    except PycrondError as error:
        if not options.nagios:
            raise
        result = health.Health(health.Status.LATE, health.Level.UNKNOWN, str(error))
    print_line(health.nagios_line(result) if options.nagios else health.line(result))
    return result.level if options.nagios else result.status


def _read_jobs(settings: Settings) -> tuple[Presence, Sequence[JobStatus], Sequence[ExpectedRow]]:
    """Return whether a daemon runs, the loaded jobs, and the overdue jobs that are gone."""
    now = clock.now()
    try:
        read = records(settings)
        return read.presence(), read_jobs(read, now), gone_and_overdue(read, now)
    except PycrondError:  # no daemon has run yet, or the ledger belongs to another user
        return Presence(jobs_left=count_jobs_left(settings)), (), ()


def _trouble_lines(jobs: Sequence[JobStatus], gone: Sequence[ExpectedRow]) -> Iterator[str]:
    """Yield the jobs that fail, are overdue or have missed fires, each with the time since when."""
    now = terminal.here()
    texts = [f"{job.title}: {job_table.trouble(job, now)}" for job in jobs if job.is_troubled]
    texts += [f"{row.key}: gone, and {job_table.overdue(row, now)}" for row in gone]
    if texts:
        yield f"in trouble: {counted(len(texts), 'job')}"
        yield from (f"    {text}" for text in texts[:MAX_LISTED_JOBS])
    if len(texts) > MAX_LISTED_JOBS:
        yield f"    and {len(texts) - MAX_LISTED_JOBS} more (pycrond list --failed)"


def _troubles_json(jobs: Sequence[JobStatus], gone: Sequence[ExpectedRow]) -> dict[str, object]:
    late = [*(job.overdue for job in jobs if job.overdue), *gone]
    return {
        "failed": [_standing_json(job) for job in jobs if job.has_failed],
        "overdue": [{"key": row.key, "name": row.name, **overdue_json(row)} for row in late],
        "missed": [_standing_json(job) for job in jobs if job.standing.missed],
    }


def _standing_json(status: JobStatus) -> dict[str, object]:
    return {"key": status.job.key, "name": status.job.name, **standing_json(status.standing)}


def _lines(answer: dict[str, Any]) -> Iterator[str]:
    uptime = duration(max(0.0, time.time() - answer["started_at"]))
    yield f"pycrond {answer['version']} runs, pid {answer['pid']}, for {uptime}"
    loaded = jobs_from_files(answer["jobs"], answer["files"])
    yield f"crontabs: {loaded}, {counted(answer['errors'], 'error')}"
    yield from _file_lines(answer)
    yield f"running: {counted(answer['running'], 'job')}"
    yield from _load_lines(answer)
    backlog = max(0, answer["backlog"] - answer["running"])  # output of running jobs is never complete
    yield f"log: {counted(backlog, 'run')} not yet sent in full"
    disk = answer["disk"]
    limit = f", spool-limit {disk['limit_bytes'] >> 20} MiB" if disk["limit_bytes"] else ""
    yield f"output on disk: {size(disk['kept_bytes'])} delivered, {waiting(disk)}{limit}"
    yield from disk_lines(disk, terminal.here())
    yield from _retention_lines(answer["retention"])
    if node := answer.get("cluster"):
        yield from node_lines(node, terminal.here())
    if answer["alarms"] or answer["dropped_alarms"]:
        yield f"alarms: {answer['alarms']} not yet delivered, {answer['dropped_alarms']} dropped"


def node_lines(node: dict[str, Any], now: datetime) -> Iterator[str]:
    """Yield the state of this machine in its cluster, and the last known numbers of nodes."""
    detail = f" ({node['detail']})" if node["detail"] else ""
    name = node["name"] or "not reached yet"
    yield f"cluster {name}: node {node['node']}, database {node['state']}{detail}"
    draining = ", this one is draining" if node["draining"] else ""
    nodes = f"{node['alive']} of {counted(node['nodes'], 'node')} alive{draining}"
    if node["away_s"]:
        since = moment(now.timestamp() - node["away_s"], now)
        yield f"    database not reached since {since}{f', before that {nodes}' if node['nodes'] else ''}"
    else:
        yield f"    {nodes}"
    if node["undecided"] or node["untold"]:
        yield f"    {counted(node['undecided'], 'fire')} undecided, {node['untold']} not yet acknowledged"


def _retention_lines(kept: dict[str, Any]) -> Iterator[str]:
    """Yield the size of the ledger, and how long runs and their output are kept."""
    free = f", {size(kept['ledger_free_bytes'])} of it free" if kept["ledger_free_bytes"] else ""
    limit = f", ledger-limit {kept['ledger_limit_bytes'] >> 20} MiB" if kept["ledger_limit_bytes"] else ""
    yield f"ledger: {size(kept['ledger_bytes'])}{free}{limit}"
    limits = {
        "keep-days": kept["keep_days"],
        "keep-runs": kept["keep_runs"],
        "keep-output": kept["keep_output_bytes"] and f"{kept['keep_output_bytes'] >> 20} MiB",
    }
    shown = ", ".join(f"{name} {value or 'no limit'}" for name, value in limits.items())
    yield f"kept of each job: {shown}"


def _file_lines(answer: dict[str, Any]) -> Iterator[str]:
    files = [*answer["loaded_files"].items()]
    for file, jobs in files[:MAX_FILES]:
        yield f"    {file}: {counted(jobs, 'job')}"
    if len(files) > MAX_FILES:
        yield f"    and {len(files) - MAX_FILES} more"


def _load_lines(answer: dict[str, Any]) -> Iterator[str]:
    """Yield the numbers of waiting runs, the lateness of starts, and the limits of runs."""
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
    yield from _share_lines(answer["shares"])


def _share_lines(shares: dict[str, Any]) -> Iterator[str]:
    """Yield the limits for each user, and the requests and crontabs that exceeded one."""
    yield "limits for each user:"
    for name, value in shares["limits"].items():
        yield f"    {name.replace('_', '-')} {value or 'none'}"
    if shares["refused_orders"]:
        yield f"    {counted(shares['refused_orders'], 'order')} refused (max-orders)"
    if files := shares["refused_crontabs"]:
        yield f"    {counted(len(files), 'crontab')} beyond a limit: {', '.join(files[:MAX_FILES])}"


def _ask_status(settings: Settings) -> dict[str, Any] | None:
    """Return the daemon's answer; None if there is no daemon."""
    try:
        return ask_daemon(settings, "status", timeout=STATUS_TIMEOUT)
    except NotRunningError:
        return None
