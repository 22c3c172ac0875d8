"""Rows to text: what `list`, `history` and `logs` show, as cells of a table and as JSON. Pure."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pycrond import logtext
from pycrond.errors import Problem
from pycrond.rows import DaemonRow, JobRow, PauseRow, RunRow

NARROWEST = 12  # characters that every column keeps


@dataclass(frozen=True, slots=True)
class Cell:
    """A text and its meaning: good, bad, busy or plain, for whoever gives colours."""

    text: str
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Listed:
    """A job with what `list` tells of it."""

    job: JobRow
    next: datetime | None
    running: tuple[RunRow, ...]
    last: RunRow | None
    pause: PauseRow | None = None


def instant(seconds: float | None) -> str | None:
    """RFC 3339 in UTC, to the millisecond where it is not whole; None stays None."""
    if seconds is None:
        return None
    at = datetime.fromtimestamp(seconds, UTC)
    spec = "milliseconds" if at.microsecond else "seconds"
    return at.isoformat(timespec=spec).replace("+00:00", "Z")


def moment(at: datetime, now: datetime) -> str:
    """A time of the day today, with the weekday within six days, else with the date; in the zone of `now`."""
    at = at.astimezone(now.tzinfo)
    if at.date() == now.date():
        return f"{at:%H:%M}"
    if abs(at.date() - now.date()) <= timedelta(days=6):
        return f"{at:%a %H:%M}"
    return f"{at:%Y-%m-%d %H:%M}"


def distance(seconds: float) -> str:
    """A length of time in its largest unit: `40 s`, `3 m`, `5 h`, `12 d`."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size * 2 or (unit != "h" and seconds >= size):
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds)} s"


def took(seconds: float | None) -> str:
    """How long a run took."""
    if seconds is None:
        return ""
    return f"{seconds:.1f} s" if seconds < 120 else distance(seconds)


def ending(run: RunRow) -> Cell:
    """How a run ended, in a word or two."""
    if run.state == "succeeded":
        return Cell("ok", "good")
    if run.state == "running":
        return Cell("running", "busy")
    if run.state == "failed" and run.exit_status is not None:
        return Cell(f"exit {run.exit_status}", "bad")
    if run.state == "failed" and run.signal is not None:
        return Cell(f"signal {run.signal}", "bad")
    if run.state == "failed":
        return Cell("not started", "bad")
    return Cell(run.state, "" if run.state in {"claimed", "waiting", "skipped"} else "bad")


def title(key: str, name: str | None, command: str) -> str:
    """What a job is called: its name, or the beginning of its key and of its command."""
    return name or f"{key.partition('/')[2][:6]} {_shown(command)}"


def listing(jobs: Iterable[Listed], now: datetime) -> list[list[Cell]]:
    """The table of `list`: a head and a row a job."""
    rows = [[Cell(head) for head in ("NAME", "SCHEDULE", "NEXT", "LAST")]]
    for one in jobs:
        name = Cell(title(one.job.key, one.job.name, one.job.command))
        rows.append([name, Cell(one.job.schedule), _next(one, now), _last(one, now)])
    return rows


def _next(one: Listed, now: datetime) -> Cell:
    if one.pause:
        return Cell(paused(one.pause, now), "busy")
    if one.next is None:
        return Cell("at boot" if one.job.canonical is None else "never")
    return Cell(f"{moment(one.next, now)} in {distance(max(0.0, (one.next - now).total_seconds()))}")


def paused(pause: PauseRow, now: datetime) -> str:
    """`paused until 14:00: maintenance`; until when and why only where there is such."""
    until = "" if pause.until is None else f" until {moment(datetime.fromtimestamp(pause.until, UTC), now)}"
    return f"paused{until}: {pause.reason}".removesuffix(": ")


def _last(one: Listed, now: datetime) -> Cell:
    if one.running:
        started = max(run.started_at or run.fire for run in one.running)
        several = f" x{len(one.running)}" if len(one.running) > 1 else ""
        return Cell(f"running{several} {distance(max(0.0, now.timestamp() - started))}", "busy")
    if one.last is None:
        return Cell("-")
    end = ending(one.last)
    at = moment(datetime.fromtimestamp(one.last.started_at or one.last.fire, UTC), now)
    return Cell(f"{at} {end.text} {took(one.last.duration_s)}".rstrip(), end.kind)


def past(runs: Iterable[RunRow], now: datetime, commands: dict[str, str]) -> list[list[Cell]]:
    """The table of `history`."""
    rows = [[Cell(head) for head in ("RUN", "NAME", "FIRE", "ENDED", "TOOK", "CPU", "REASON")]]
    for run in runs:
        fire = moment(datetime.fromtimestamp(run.fire, UTC), now)
        cpu = "" if run.cpu_s is None else f"{run.cpu_s:.2f} s"
        name = Cell(title(run.key, run.name, commands.get(run.key, "")))
        rest = [Cell(took(run.duration_s)), Cell(cpu), Cell(run.reason)]
        end = ending(run)
        if run.folded and run.folded > 1:
            end = Cell(f"{end.text} x{run.folded}", end.kind)
        rows.append([Cell(str(run.id)), name, Cell(fire), end, *rest])
    return rows


def plain(rows: Sequence[Sequence[Cell]], width: int) -> list[str]:
    """A table as lines of at most `width` characters where that can be: the widest columns are cut."""
    texts = [[_shown(cell.text) for cell in row] for row in rows]
    widths = [min(width, max(map(len, column))) for column in zip(*texts, strict=True)]
    while sum(widths) + 2 * (len(widths) - 1) > width and max(widths) > NARROWEST:
        widths[widths.index(max(widths))] -= 1
    return ["  ".join(map(_fit, row, widths)).rstrip() for row in texts]


def _shown(text: str) -> str:
    """Commands and reasons as written, but for what a terminal would obey."""
    return logtext.visible(text.encode("utf-8", "surrogateescape")).replace("\t", " ")


def _fit(text: str, size: int) -> str:
    return text.ljust(size) if len(text) <= size else text[: size - 1] + "…"


def log_head(run: RunRow, command: str, now: datetime) -> str:
    """What stands before each line that a run printed."""
    at = datetime.fromtimestamp(run.started_at or run.fire, UTC)
    return f"{moment(at, now)} {title(run.key, run.name, command)[:24]} | "


def heading(daemon: DaemonRow | None, running: bool, jobs: int, now: datetime) -> str:
    """The first line of `list`."""
    if daemon is None:
        return "pycrond has not run yet"
    loaded = logtext.counted(jobs, "job")
    if running:
        since = moment(datetime.fromtimestamp(daemon.started_at, UTC), now)
        return f"pycrond {daemon.version} runs, pid {daemon.pid}, since {since}, {loaded}"
    stopped = (
        ""
        if daemon.stopped_at is None
        else f" since {moment(datetime.fromtimestamp(daemon.stopped_at, UTC), now)}"
    )
    return f"pycrond does NOT run{stopped}, so {loaded} will not start"


def run_json(run: RunRow) -> dict[str, object]:
    """A run as `history --json` gives it."""
    values = run._asdict()
    values["count"] = values.pop("folded")
    times = {name: instant(values[name]) for name in ("fire", "started_at", "ended_at", "until")}
    return {**values, **times}


def job_json(one: Listed) -> dict[str, object]:
    """A job as `list --json` gives it."""
    values = one.job._asdict()
    del values["canonical"]
    return {
        **values,
        "options": json.loads(one.job.options),
        "next": instant(one.next.timestamp()) if one.next else None,
        "running": [run.id for run in one.running],
        "last": run_json(one.last) if one.last else None,
        "paused": {"until": instant(one.pause.until), "reason": one.pause.reason} if one.pause else None,
    }


def problem_json(problem: Problem) -> dict[str, object]:
    """A problem as every `--json` gives it."""
    names = ("file", "line", "column", "severity", "code", "message")
    return {name: getattr(problem, name) for name in names}


def daemon_json(daemon: DaemonRow | None, running: bool) -> dict[str, object]:
    """The daemon as `list --json` gives it."""
    return {
        "running": running,
        "pid": daemon.pid if daemon and running else None,
        "started_at": instant(daemon.started_at) if daemon else None,
        "loaded_at": instant(daemon.loaded_at) if daemon else None,
    }
