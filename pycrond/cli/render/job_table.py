"""The table of `list`: orders, columns, the line below a job that needs attention, and jobs as JSON."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from pycrond.cli.daemon_requests import Presence
from pycrond.cli.data.job_status import JobStatus, overdue_json, standing_json, start_of
from pycrond.cli.documents.lists import JobDocument
from pycrond.cli.render.formatting import (
    TIMES,
    Cell,
    brief,
    distance,
    ending,
    ending_and_count,
    joined,
    paused,
)
from pycrond.cli.render.run_table import run_document
from pycrond.cli.render.table import StyledLine, TableColumn
from pycrond.jobs.display_name import display_names
from pycrond.jobs.run import BAD_ENDS, State
from pycrond.ledger.codec import decode_json
from pycrond.ledger.rows import DaemonRow, ExpectedRow, RunRow
from pycrond.text import counted, duration, rfc3339

NAME_WIDTH = 25  # columns that a name keeps
WIDE = 120  # columns; a terminal of this width shows the full names of zones
EMPTY = Cell("")
SEPARATOR = Cell(" · ", "dim")
SLOW_FACTOR = 3.0  # times the median: a running job gets a remark if it takes longer …
SLOW_S = 60.0  # … and longer than these seconds


ORDERS: Mapping[str, Callable[[JobStatus], Any]] = {
    "next": lambda status: status.next.timestamp() if status.next else float("inf"),
    "last": lambda status: -status.latest,
    "name": lambda status: status.title,
}


def urgency(status: JobStatus) -> int:
    """Return the rank of a job if there is no room for all jobs: 0 comes first."""
    return 0 if status.is_troubled else 1 if status.running else 2


def fitting(jobs: int, below: Mapping[int, StyledLine], height: int) -> int:
    """Return how many of the first `jobs` rows fit into `height` lines, with the lines below them."""
    fits = 0
    while fits < jobs and (height := height - 1 - (fits in below)) >= 0:
        fits += 1
    return fits


def heading(
    daemon: DaemonRow | None, presence: Presence, jobs: Sequence[JobStatus], now: datetime, width: int
) -> list[StyledLine]:
    """Return the line above the table, or two lines if it would be wider than `width`."""
    if daemon is None:
        return [[Cell("pycrond has not run yet", "bad")]]
    about, counts = _about(daemon, presence, counted(len(jobs), "job"), now), _counts(jobs)
    kind = "" if presence.runs else "bad"
    if counts and len(about) + 2 + len(counts) > width:
        return [[Cell(about, kind)], [Cell(counts, kind)]]
    return [[Cell(joined(about, counts), kind)]]


def _about(daemon: DaemonRow, presence: Presence, jobs: str, now: datetime) -> str:
    if presence.runs:
        since = brief(daemon.started_at, now)
        return f"pycrond {daemon.version} runs, pid {daemon.pid}, since {since}, {jobs}"
    if presence.restarts:
        return f"pycrond has died, its keeper starts it again, {jobs}"
    stopped = "" if daemon.stopped_at is None else f" since {brief(daemon.stopped_at, now)}"
    left = f"; {presence.jobs_left} still run" if presence.jobs_left else ""
    return f"pycrond does NOT run{stopped}, so {jobs} will not start{left}"


def _counts(jobs: Sequence[JobStatus]) -> str:
    """Return `2 failed, 1 running`."""
    counts = {
        "failed": sum(status.has_failed for status in jobs),
        "overdue": sum(status.overdue is not None for status in jobs),
        "missed": sum(status.standing.missed > 0 for status in jobs),
        "running": sum(bool(status.running) for status in jobs),
        "paused": sum(status.pause is not None for status in jobs),
    }
    return ", ".join(f"{number} {state}" for state, number in counts.items() if number)


def columns(jobs: Sequence[JobStatus], now: datetime, width: int) -> list[TableColumn]:
    """Return the table for a terminal of this width."""
    names = display_names((status.job.key, status.job.name, status.job.command) for status in jobs)
    has_users = len({status.job.user for status in jobs}) > 1
    fires, waits, zones = zip(*_next_cells(jobs, now, width), strict=True)
    starts, endings, durations = zip(*(_last_cells(status, now) for status in jobs), strict=True)
    return [
        TableColumn("", [_mark(status) for status in jobs], gap=1),
        TableColumn("NAME", [Cell(names[status.job.key]) for status in jobs], least=NAME_WIDTH),
        TableColumn(
            "USER", [Cell(status.job.user if has_users else "") for status in jobs], rank=2, least=12
        ),
        TableColumn("SCHEDULE", [Cell(status.job.schedule) for status in jobs], rank=3, least=18),
        TableColumn("NEXT", fires),
        TableColumn("IN", waits, right=True),
        TableColumn("ZONE", zones, rank=1),
        TableColumn("LAST", starts),
        TableColumn("ENDED", endings),
        TableColumn("TOOK", durations, right=True),
        TableColumn("USUALLY", [Cell(duration(status.median_s)) for status in jobs], rank=4, right=True),
    ]


def _mark(status: JobStatus) -> Cell:
    """Return the meaning of the colours as a character, for readers without colours."""
    if status.running:
        return Cell(">", "busy")
    if status.is_troubled:
        return Cell("!", "bad")
    return Cell("=", "busy") if status.pause else EMPTY


def _next_cells(jobs: Sequence[JobStatus], now: datetime, width: int) -> Iterator[Sequence[Cell]]:
    """Yield the cells of NEXT, IN and ZONE; jobs that share a `next` share the cells, for speed."""
    known: dict[int, Sequence[Cell]] = {}
    for status in jobs:
        at = status.next
        if status.pause:
            end = status.pause.until
            left = "" if end is None else distance(max(0.0, end - now.timestamp()))
            yield Cell("paused", "busy"), Cell(left), EMPTY
        elif at is None:
            yield Cell("at boot" if status.job.canonical is None else "never", "dim"), EMPTY, EMPTY
        else:
            if id(at) not in known:
                left = distance(max(0.0, at.timestamp() - now.timestamp()))
                known[id(at)] = Cell(brief(at, now)), Cell(left), _zone_cell(at, status.job.zone, now, width)
            yield known[id(at)]


def _zone_cell(at: datetime, zone: str, now: datetime, width: int) -> Cell:
    """Return a time by the clock of the job's zone if that clock shows another time than the reader's."""
    if at.utcoffset() == at.astimezone(now.tzinfo).utcoffset():
        return EMPTY
    if width < WIDE:
        return Cell(f"{at:%H:%M} {at.tzname()}", "dim")
    return Cell(f"{brief(at, now.astimezone(at.tzinfo))} {zone}", "dim")


def _last_cells(status: JobStatus, now: datetime) -> tuple[Cell, Cell, Cell]:
    """Return the cells of LAST, ENDED and TOOK."""
    if status.running:
        started = max(map(start_of, status.running))
        count = f" {TIMES}{len(status.running)}" if len(status.running) > 1 else ""
        took = duration(max(0.0, now.timestamp() - started))
        return Cell(brief(started, now)), Cell(f"running{count}", "busy"), Cell(took, "busy")
    if status.last is None:
        return Cell("-", "dim"), EMPTY, EMPTY
    last = status.last
    return Cell(brief(start_of(last), now)), ending_and_count(last), Cell(duration(last.duration_s))


def below(jobs: Sequence[JobStatus], now: datetime) -> dict[int, StyledLine]:
    """Return the line below each job that needs one, by the job's position in `jobs`."""
    lines = ((place, _remarks(status, now)) for place, status in enumerate(jobs))
    return {place: line for place, line in lines if line}


def _remarks(status: JobStatus, now: datetime) -> StyledLine:
    cells = [*_standing_remarks(status, now), *_run_remarks(status, now)]
    return [part for cell in cells for part in (SEPARATOR, cell)][1:]


def _standing_remarks(status: JobStatus, now: datetime) -> Iterator[Cell]:
    """Yield the remarks that do not concern the last run."""
    if status.pause:
        yield Cell(paused(status.pause, now), "busy")
    if status.standing.elsewhere_at is not None:
        yield Cell(f"succeeded on another node {brief(status.standing.elsewhere_at, now)}", "good")
    for text in _troubles(status, now):
        yield Cell(text, "bad")
    if status.standing.skipped:
        text = f"skipped {counted(status.standing.skipped, 'time')}{' since' if status.last else ''}"
        yield Cell(joined(text, _reason(status, State.SKIPPED)), "busy")


def _run_remarks(status: JobStatus, now: datetime) -> Iterator[Cell]:
    if status.last and status.last.state in BAD_ENDS:
        why = _failure(status, status.last, now)
        if why or status.has_output:
            is_gone = status.last.bytes > 0
            nothing = "its output is empty lines, or no longer kept" if is_gone else "it printed nothing"
            yield Cell(why or nothing, "bad" if why else "dim")
    if status.running and status.median_s is not None:
        took = now.timestamp() - min(map(start_of, status.running))
        if took > max(SLOW_S, SLOW_FACTOR * status.median_s):
            yield Cell(f"it usually takes {duration(status.median_s)}", "busy")
    if status.waiting:
        yield Cell(_wait(status.waiting), "busy")


def _troubles(status: JobStatus, now: datetime) -> Iterator[str]:
    """Yield a job's repeated failures, overdue success and missed fires."""
    standing = status.standing
    if standing.failing_since is not None and standing.failures > 1:
        yield failing(standing.failing_since, standing.failures, now)
    if status.overdue:
        yield f"overdue since {brief(status.overdue.overdue_at, now)}"
    if standing.missed:
        until = status.passed.until if status.passed else None
        last = "" if until is None else f" until {brief(until, now)}"
        yield joined(f"missed {counted(standing.missed, 'time')}{last}", _reason(status, State.MISSED))


def failing(since: float, times: int, now: datetime) -> str:
    """Return `failing since 02:00, 3 times in a row`."""
    return f"failing since {brief(since, now)}{f', {times} times in a row' if times > 1 else ''}"


def overdue(row: ExpectedRow, now: datetime) -> str:
    """Return `overdue since 03:00: no success for 1 d`; the time is that in the option `expect`."""
    last = "" if row.succeeded_at is None else f", the last {brief(row.succeeded_at, now)}"
    return f"overdue since {brief(row.overdue_at, now)}: no success for {duration(row.expect)}{last}"


def trouble(status: JobStatus, now: datetime) -> str:
    """Return a job's troubles in one line, without its output; empty if there are none."""
    is_repeated = status.standing.failing_since is not None and status.standing.failures > 1
    first = [failure(status, now)] if status.has_failed and not is_repeated else []
    return "; ".join([*first, *_troubles(status, now)])


def failure(status: JobStatus, now: datetime) -> str:
    """Return `failing since 02:00, 3 times in a row` or, of a job that was killed, `killed at 02:00`."""
    standing, last = status.standing, status.last
    if standing.failing_since is not None:
        return failing(standing.failing_since, standing.failures, now)
    return f"{ending(last).text} at {brief(start_of(last), now)}" if last else ""


def _reason(status: JobStatus, state: State) -> str:
    return status.passed.reason if status.passed and status.passed.state == state else ""


def _failure(status: JobStatus, last: RunRow, now: datetime) -> str:
    before = ""
    if status.running:
        before = f"before that, {brief(start_of(last), now)}: {ending_and_count(last).text}"
    until = "" if last.until is None else f"{last.state} until {brief(last.until, now)}"
    return joined(before, until, last.reason, status.last_line)


def _wait(waiting: Sequence[RunRow]) -> str:
    run, more = waiting[0], f" and {len(waiting) - 1} more" if len(waiting) > 1 else ""
    name = f"attempt {run.attempt}" if run.attempt > 1 else f"run {run.id}" if run.id else "a run"
    return joined(f"{name}{more} waits", run.reason)


def job_json(status: JobStatus) -> JobDocument:
    """Return a job as `list --json` prints it."""
    job, pause, standing = status.job, status.pause, standing_json(status.standing)
    return {
        "key": job.key,
        "name": job.name,
        "user": job.user,
        "file": job.file,
        "line": job.line,
        "schedule": job.schedule,
        "zone": job.zone,
        "command": job.command,
        "display_name": status.title,
        "options": decode_json(job.options),
        "next": rfc3339(status.next.timestamp()) if status.next else None,
        "running": [run.id for run in status.running],
        "last": run_document(status.last) if status.last else None,
        "paused": {"until": rfc3339(pause.until), "reason": pause.reason} if pause else None,
        "waiting": [run.id for run in status.waiting],
        "median_s": status.median_s,
        "last_line": status.last_line,
        "failing": standing["failing"],
        "skipped_since": standing["skipped_since"],
        "missed_since": standing["missed_since"],
        "succeeded_elsewhere_at": standing["succeeded_elsewhere_at"],
        "overdue": overdue_json(status.overdue) if status.overdue else None,
    }
