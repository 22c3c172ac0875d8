"""Parts of rows as text or JSON: times, titles of jobs, how a run ended, the daemon and problems. Pure."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import NamedTuple, cast

from pycrond import clock
from pycrond.cli.daemon_requests import Presence
from pycrond.cli.documents.lists import DaemonDocument, FileProblemDocument, ProblemDocument
from pycrond.errors import Problem
from pycrond.jobs.run import BAD_ENDS, State
from pycrond.ledger.rows import DaemonRow, PauseRow, RunRow
from pycrond.text import duration, rfc3339, visible

DASH, TIMES = "\u2013", "\u00d7"
WEEKDAYS = timedelta(days=6)  # within which a weekday is unambiguous
MONTHS = timedelta(days=300)  # within which day and month are unambiguous
LOG_NAME_WIDTH = 30  # characters of a job's name before a line of its output
KINDS: Mapping[str, str] = {**dict.fromkeys(BAD_ENDS, "bad"), State.SUCCEEDED: "good", State.RUNNING: "busy"}
"""The kind of a cell that shows a run's state; none for other states."""


class Cell(NamedTuple):
    """A text and its kind, from which a terminal's colour follows: good, bad, busy, dim, head or empty."""

    text: str
    kind: str = ""


def moment(at: datetime | float, now: datetime) -> str:
    """Return a time in the zone of `now`: `14:05` today, `Thu 14:05` within six days, `2031-03-01 14:05`."""
    at = _local(at, now)
    if at.date() == now.date():
        return f"{at:%H:%M}"
    return f"{at:%a %H:%M}" if abs(at.date() - now.date()) <= WEEKDAYS else f"{at:%Y-%m-%d %H:%M}"


def brief(at: datetime | float, now: datetime) -> str:
    """Return a time as `moment`, in at most 12 characters: beyond six days `21 Dec 14:05` or `2031-03-01`."""
    at = _local(at, now)
    distance = abs(at.date() - now.date())
    if distance <= WEEKDAYS:
        return moment(at, now)
    return f"{at.day} {at:%b %H:%M}" if distance <= MONTHS else f"{at:%Y-%m-%d}"


def period(first: float, last: float | None, now: datetime) -> str:
    """Return a time, or two with a dash between them, the second without its day if the day is the same."""
    begin, end = _local(first, now), _local(last or first, now)
    if brief(begin, now) == brief(end, now):
        return brief(begin, now)
    return f"{brief(begin, now)}{DASH}{f'{end:%H:%M}' if begin.date() == end.date() else brief(end, now)}"


def _local(at: datetime | float, now: datetime) -> datetime:
    """Return a time, given also as Unix seconds, in the zone of `now`."""
    return (at if isinstance(at, datetime) else clock.at(at)).astimezone(now.tzinfo)


def distance(seconds: float) -> str:
    """Return how far away a fire time is; from a minute on in whole minutes, as a schedule has no seconds."""
    return duration(seconds if abs(seconds) < 60 else 60 * round(seconds / 60))


def ending(run: RunRow) -> Cell:
    """Return how a run ended, in one or two words."""
    if run.state != State.FAILED:
        return Cell("ok" if run.state == State.SUCCEEDED else run.state, KINDS.get(run.state, ""))
    if run.exit_status is not None:
        return Cell(f"exit {run.exit_status}", "bad")
    return Cell("not started" if run.signal is None else f"signal {run.signal}", "bad")


def ending_and_count(run: RunRow) -> Cell:
    """Return how a run ended and, if its row stands for several, their number."""
    end = ending(run)
    return Cell(f"{end.text} {TIMES}{run.folded}", end.kind) if run.folded and run.folded > 1 else end


def paused(pause: PauseRow, now: datetime) -> str:
    """Return `paused until 14:00: maintenance`; the end and the reason only if they are known."""
    until = "" if pause.until is None else f" until {moment(pause.until, now)}"
    return joined(f"paused{until}", pause.reason)


def joined(*texts: str | None) -> str:
    """Join explanations by colons, without empty ones."""
    return ": ".join(text for text in texts if text)


def last_line(data: bytes) -> str | None:
    """Return the last line of output that is not blank."""
    lines = [line for line in data.splitlines() if line.strip()]
    return visible(lines[-1].strip()) if lines else None


def log_head(run: RunRow, at: float, now: datetime) -> str:
    """Return the prefix of a line that a run printed: the time at which it was read, and its job."""
    at = at or run.started_at or run.fire
    return f"{moment(at, now)}:{_local(at, now):%S} {run.title[:LOG_NAME_WIDTH]} | "


def problem_json(problem: Problem) -> ProblemDocument:
    """Return a problem as every `--json` prints it."""
    return cast("ProblemDocument", problem._asdict())


def file_problem_json(problem: Problem) -> FileProblemDocument:
    """Return a problem of a file that the document names already."""
    values = problem._asdict()
    del values["file"]
    return cast("FileProblemDocument", values)


def daemon_json(daemon: DaemonRow | None, presence: Presence) -> DaemonDocument:
    """Return the daemon as `list --json` prints it."""
    return {
        "running": presence.runs,
        "pid": daemon.pid if daemon and presence.runs else None,
        "started_at": rfc3339(daemon.started_at) if daemon else None,
        "loaded_at": rfc3339(daemon.loaded_at) if daemon else None,
        "jobs_left": presence.jobs_left,
    }
