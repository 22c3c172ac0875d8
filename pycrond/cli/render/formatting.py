"""Rows to text: times, lengths of time, how a run ended, and all of it as JSON. Pure."""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from pycrond.errors import Problem
from pycrond.ledger.rows import BAD_ENDS, DaemonRow, PauseRow, RunRow
from pycrond.text import distance, rfc3339, shown, visible

NARROWEST = 12  # characters that every column keeps


class Cell(NamedTuple):
    """A text and its meaning: good, bad, busy, dim, head or plain, for whoever gives colours."""

    text: str
    kind: str = ""


def moment(at: datetime, now: datetime) -> str:
    """A time of the day today, with the weekday within six days, else with the date; in the zone of `now`."""
    at = at.astimezone(now.tzinfo)
    if at.date() == now.date():
        return f"{at:%H:%M}"
    if abs(at.date() - now.date()) <= timedelta(days=6):
        return f"{at:%a %H:%M}"
    return f"{at:%Y-%m-%d %H:%M}"


def brief(at: datetime, now: datetime) -> str:
    """The same in at most 12 characters: `14:05`, `Thu 14:05`, `21 Dec 14:05`, `2031-03-01`."""
    at = at.astimezone(now.tzinfo)
    away = abs(at.date() - now.date())
    if timedelta(days=6) < away <= timedelta(days=300):
        return f"{at.day} {at:%b %H:%M}"
    return moment(at, now) if away <= timedelta(days=6) else f"{at:%Y-%m-%d}"


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
    return Cell(run.state, "bad" if run.state in BAD_ENDS else "")


def ended(run: RunRow) -> Cell:
    """The same, with the number of runs that a row stands for."""
    end = ending(run)
    return Cell(f"{end.text} x{run.folded}", end.kind) if run.folded and run.folded > 1 else end


def title(key: str, name: str | None, command: str) -> str:
    """What a job is called: its name, or the beginning of its key and of its command."""
    return name or f"{key.partition('/')[2][:6]} {shown(command)}"


def paused(pause: PauseRow, now: datetime) -> str:
    """`paused until 14:00: maintenance`; until when and why only where there is such."""
    until = "" if pause.until is None else f" until {moment(datetime.fromtimestamp(pause.until, UTC), now)}"
    return f"paused{until}: {pause.reason}".removesuffix(": ")


def last_line(data: bytes) -> str | None:
    """The last one that is not empty, of the end of what was printed."""
    lines = [line for line in data.splitlines() if line.strip()]
    return visible(lines[-1].strip()) if lines else None


def log_head(run: RunRow, command: str, now: datetime) -> str:
    """What stands before each line that a run printed."""
    at = datetime.fromtimestamp(run.started_at or run.fire, UTC)
    return f"{moment(at, now)} {title(run.key, run.name, command)[:24]} | "


def problem_json(problem: Problem) -> dict[str, object]:
    """A problem as every `--json` gives it."""
    names = ("file", "line", "column", "severity", "code", "message")
    return {name: getattr(problem, name) for name in names}


def daemon_json(daemon: DaemonRow | None, running: bool) -> dict[str, object]:
    """The daemon as `list --json` gives it."""
    return {
        "running": running,
        "pid": daemon.pid if daemon and running else None,
        "started_at": rfc3339(daemon.started_at) if daemon else None,
        "loaded_at": rfc3339(daemon.loaded_at) if daemon else None,
    }
