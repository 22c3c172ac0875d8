"""Schedules with a title, their coming fire times, and how these are printed."""

import heapq
import os
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import islice, repeat
from typing import NamedTuple

from pycrond.cli.next_fire import plan_of
from pycrond.cli.render.formatting import Cell, distance
from pycrond.crontab import expression
from pycrond.errors import PycrondError
from pycrond.host import machine
from pycrond.ledger.rows import JobRow
from pycrond.schedule.fire_times import fire_times
from pycrond.schedule.schedule import Schedule
from pycrond.schedule.timezone import Zone
from pycrond.text import printable

FIRES = 5  # fire times of each job, by default
FIRES_OF_ALL = 10  # fire times of all jobs together, by default


class ComingFires(NamedTuple):
    """The schedule of a job, of a line of a file, or of an expression."""

    text: str
    schedule: Schedule | None
    """None for @reboot."""
    zone: Zone
    job: JobRow | None = None
    """None for an expression."""

    @property
    def absence(self) -> str:
        """Return the reason why no fire time is shown."""
        if self.schedule is None:
            return "at boot"
        return "never" if self.schedule.next_wall(0) is None else "-"

    def times(self, start: datetime, until: datetime | None, most: int | None) -> list[datetime]:
        return [*islice(self.fires(start, until), most)]

    def fires(self, start: datetime, until: datetime | None) -> Iterator[datetime]:
        """Return the fire times, the soonest first."""
        if self.schedule is None:
            return iter(())
        return (fire.at for fire in fire_times(self.schedule, self.zone, start, until))


def soonest(
    schedules: Sequence[ComingFires], start: datetime, until: datetime | None, most: int | None
) -> list[list[datetime]]:
    """Return the next `most` fire times of all schedules together, as a list for each schedule."""
    times: list[list[datetime]] = [[] for _ in schedules]
    coming = (zip(schedule.fires(start, until), repeat(place)) for place, schedule in enumerate(schedules))
    for at, place in islice(heapq.merge(*coming), most):
        times[place].append(at)
    return times


def parse_expression(text: str) -> Schedule:
    """Return an expression's schedule; raise PycrondError with a caret below the error."""
    try:
        return expression.parse_schedule(text, seed=machine.machine_id())
    except expression.ExpressionError as error:
        shown = PycrondError(f"{error}{expanded_star(text.split())}")
        shown.add_note(f"    {text}")
        shown.add_note(f"    {' ' * len(printable(text[: error.column - 1]))}^")
        raise shown from error


def expanded_star(words: Sequence[str]) -> str:
    """Return a remark for a message if a shell seems to have replaced a * by file names; else empty."""
    if "*" in words or not any(os.path.lexists(word) for word in words):
        return ""
    return "; the shell has replaced * by the names of files: put the expression in quotes, as in '0 3 * * *'"


def of_row(row: JobRow, zone: Zone | None = None) -> ComingFires | None:
    """Return a loaded job's schedule; `zone` replaces the daemon's own zone. None if it cannot be read."""
    plan = plan_of(row)
    if plan is None and row.canonical is not None:
        return None
    schedule, own = plan or (None, Zone.of("UTC"))
    is_own = row.zone == machine.local_zone_name(os.environ)
    return ComingFires(row.schedule, schedule, zone if zone and is_own else own, row)


def clock_cells(at: datetime, zone: Zone, now: datetime) -> list[Cell]:
    """Return a fire time by its zone's clock, the zone, and the distance from now."""
    local = zone.local(at)
    ahead = (at - now).total_seconds()
    return [
        Cell(f"{local:%a %Y-%m-%d %H:%M}"),
        Cell(f"{local:%Z}" or zone.name),
        Cell(distance(ahead) if ahead >= 0 else f"{distance(-ahead)} ago"),
    ]
