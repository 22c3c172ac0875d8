"""What `list` tells of jobs: which of them, in which order, how each does, and what stands below it."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from pycrond.cli.render import formatting
from pycrond.cli.render.formatting import Cell
from pycrond.cli.render.table import Column, Line
from pycrond.ledger import rows
from pycrond.ledger.rows import BAD_ENDS, DaemonRow, JobRow, PauseRow, RunRow
from pycrond.text import counted, distance, rfc3339

NAME_LEAST = 20
WIDE = 120  # columns of a terminal from which on zones are spelled out
NOTHING = Cell("")
LONG = 3.0  # times what it usually takes


class Listed(NamedTuple):
    """A job with what `list` tells of it."""

    job: JobRow
    next: datetime | None
    """In the zone of the job."""
    running: tuple[RunRow, ...] = ()
    last: RunRow | None = None
    pause: PauseRow | None = None
    waiting: tuple[RunRow, ...] = ()
    median_s: float | None = None
    last_line: str | None = None
    """Of what the last run printed, if that did not end well."""

    @property
    def has_failed(self) -> bool:
        return self.last is not None and self.last.state in BAD_ENDS

    @property
    def title(self) -> str:
        return formatting.title(self.job.key, self.job.name, self.job.command)

    @property
    def latest(self) -> float:
        """When it last started, or was due to."""
        runs = [*self.running, *([self.last] if self.last else [])]
        return max((run.started_at or run.fire for run in runs), default=0.0)


ORDERS: Mapping[str, Callable[[Listed], Any]] = {
    "next": lambda one: one.next.timestamp() if one.next else float("inf"),
    "last": lambda one: -one.latest,
    "name": lambda one: one.title,
}


def heading(
    daemon: DaemonRow | None, running: bool, jobs: Sequence[Listed], now: datetime, width: int
) -> list[Line]:
    """The first line; what the jobs do on a second one where it would be too long."""
    if daemon is None:
        return [[Cell("pycrond has not run yet", "bad")]]
    about, counts = _about(daemon, running, counted(len(jobs), "job"), now), _counts(jobs)
    kind = "" if running else "bad"
    if counts and len(about) + 2 + len(counts) > width:
        return [[Cell(about, kind)], [Cell(counts, kind)]]
    return [[Cell(f"{about}: {counts}" if counts else about, kind)]]


def _about(daemon: DaemonRow, running: bool, loaded: str, now: datetime) -> str:
    if running:
        return (
            f"pycrond {daemon.version} runs, pid {daemon.pid}, since {_at(daemon.started_at, now)}, {loaded}"
        )
    stopped = "" if daemon.stopped_at is None else f" since {_at(daemon.stopped_at, now)}"
    return f"pycrond does NOT run{stopped}, so {loaded} will not start"


def _counts(jobs: Sequence[Listed]) -> str:
    """`2 failed, 1 running`."""
    counts = {
        "failed": sum(one.has_failed for one in jobs),
        "running": sum(bool(one.running) for one in jobs),
        "paused": sum(one.pause is not None for one in jobs),
    }
    return ", ".join(f"{number} {what}" for what, number in counts.items() if number)


def columns(jobs: Sequence[Listed], now: datetime, width: int) -> list[Column]:
    """The table. Name, next and last are always there; where there is room, the more the rest."""
    users = len({one.job.user for one in jobs}) > 1
    nexts, lasts = _nexts(jobs, now, width), [_last(one, now) for one in jobs]
    return [
        Column("", [_mark(one) for one in jobs], gap=1),
        Column("NAME", [Cell(one.title) for one in jobs], least=NAME_LEAST),
        Column("USER", [Cell(one.job.user if users else "") for one in jobs], rank=2, least=12),
        Column("SCHEDULE", [Cell(one.job.schedule) for one in jobs], rank=3, least=18),
        Column("NEXT", [cells[0] for cells in nexts]),
        Column("IN", [cells[1] for cells in nexts], right=True),
        Column("ZONE", [cells[2] for cells in nexts], rank=1),
        Column("LAST", [cells[0] for cells in lasts]),
        Column("ENDED", [cells[1] for cells in lasts]),
        Column("TOOK", [cells[2] for cells in lasts], right=True),
        Column("USUALLY", [Cell(formatting.took(one.median_s)) for one in jobs], rank=4, right=True),
    ]


def below(jobs: Sequence[Listed], now: datetime) -> dict[int, Line]:
    """What stands below a job, by its place: why it is paused, what is wrong with it, what it waits for."""
    told = ((place, _below(one, now)) for place, one in enumerate(jobs))
    return {place: line for place, line in told if line}


def _mark(one: Listed) -> Cell:
    """The same as colours say, for those who do not see them."""
    if one.running:
        return Cell(">", "busy")
    if one.has_failed:
        return Cell("!", "bad")
    return Cell("=", "busy") if one.pause else Cell("")


def _nexts(jobs: Sequence[Listed], now: datetime, width: int) -> list[Sequence[Cell]]:
    """When each comes, in how long, and what the clock of its zone shows then, where that is another time."""
    known: dict[int, Sequence[Cell]] = {}  # by a time that many share, for they are many
    found = []
    for one in jobs:
        if one.pause or one.next is None:
            found.append(_not_next(one, now))
            continue
        if id(one.next) not in known:
            left = max(0.0, one.next.timestamp() - now.timestamp())
            here, there = Cell(formatting.brief(one.next, now)), _there(one.next, one.job.zone, now, width)
            known[id(one.next)] = (here, Cell(distance(left)), there)
        found.append(known[id(one.next)])
    return found


def _not_next(one: Listed, now: datetime) -> Sequence[Cell]:
    if one.pause:
        left = "" if one.pause.until is None else distance(max(0.0, one.pause.until - now.timestamp()))
        return Cell("paused", "busy"), Cell(left), NOTHING
    return Cell("at boot" if one.job.canonical is None else "never", "dim"), NOTHING, NOTHING


def _there(at: datetime, zone: str, now: datetime, width: int) -> Cell:
    if at.utcoffset() == at.astimezone(now.tzinfo).utcoffset():
        return NOTHING
    if width < WIDE:
        return Cell(f"{at:%H:%M} {at.tzname()}", "dim")
    return Cell(f"{formatting.brief(at, now.astimezone(at.tzinfo))} {zone}", "dim")


def _last(one: Listed, now: datetime) -> tuple[Cell, Cell, Cell]:
    """When it started, how it ended, and how long it took."""
    if one.running:
        started = max(run.started_at or run.fire for run in one.running)
        several = f" x{len(one.running)}" if len(one.running) > 1 else ""
        took = formatting.took(max(0.0, now.timestamp() - started))
        return Cell(_at(started, now)), Cell(f"running{several}", "busy"), Cell(took, "busy")
    if one.last is None:
        return Cell("-", "dim"), Cell(""), Cell("")
    end = formatting.ended(one.last)
    return (
        Cell(_at(one.last.started_at or one.last.fire, now)),
        end,
        Cell(formatting.took(one.last.duration_s)),
    )


def _at(seconds: float, now: datetime) -> str:
    return formatting.brief(datetime.fromtimestamp(seconds, UTC), now)


def _below(one: Listed, now: datetime) -> Line:
    if not (one.pause or one.running or one.waiting or one.has_failed):
        return ()
    parts = [*_paused(one, now), *_failed(one, now), *_slow(one, now), *_waiting(one)]
    if not parts:
        return ()
    between = [Cell(" · ", "dim")] * len(parts)
    return [piece for pair in zip(parts, between, strict=True) for piece in pair][:-1]


def _paused(one: Listed, now: datetime) -> Iterable[Cell]:
    if one.pause:
        yield Cell(formatting.paused(one.pause, now), "busy")


def _failed(one: Listed, now: datetime) -> Iterable[Cell]:
    if one.last is None or not one.has_failed:
        return
    before = ""
    if one.running:
        began = _at(one.last.started_at or one.last.fire, now)
        before = f"before that, {began}: {formatting.ended(one.last).text}"
    until = "" if one.last.until is None else f"{one.last.state} until {_at(one.last.until, now)}"
    why = ": ".join(text for text in (before, until, one.last.reason, one.last_line) if text)
    yield Cell(why or "it printed nothing", "bad" if why else "dim")


def _slow(one: Listed, now: datetime) -> Iterable[Cell]:
    """What runs for much longer than it usually does."""
    if one.running and one.median_s is not None:
        took = now.timestamp() - min(run.started_at or run.fire for run in one.running)
        if took > max(60.0, LONG * one.median_s):
            yield Cell(f"it usually takes {formatting.took(one.median_s)}", "busy")


def _waiting(one: Listed) -> Iterable[Cell]:
    for run in one.waiting[:1]:
        more = f" and {len(one.waiting) - 1} more" if len(one.waiting) > 1 else ""
        what = f"attempt {run.attempt}" if run.attempt > 1 else f"run {run.id}"
        yield Cell(f"{what}{more} waits{': ' if run.reason else ''}{run.reason}", "busy")


def job_json(one: Listed) -> dict[str, object]:
    """A job as `list --json` gives it."""
    values = one.job._asdict()
    del values["canonical"]
    return {
        **values,
        "options": json.loads(one.job.options),
        "next": rfc3339(one.next.timestamp()) if one.next else None,
        "running": [run.id for run in one.running],
        "last": rows.run_json(one.last) if one.last else None,
        "paused": {"until": rfc3339(one.pause.until), "reason": one.pause.reason} if one.pause else None,
        "waiting": [run.id for run in one.waiting],
        "median_s": one.median_s,
        "last_line": one.last_line,
    }
