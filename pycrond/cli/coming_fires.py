"""Schedules with a title, their coming fire times, and how these are printed."""

import os
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from pycrond.cli.next_fire import plan_of
from pycrond.cli.render.formatting import Cell
from pycrond.crontab import expression
from pycrond.errors import PycrondError
from pycrond.host import machine
from pycrond.ledger.rows import JobRow
from pycrond.schedule.dst import fire_times
from pycrond.schedule.schedule import Schedule
from pycrond.schedule.timezone import Zone
from pycrond.text import printable, rough_duration

FIRES = 5  # of each job, unless options say how many


@dataclass(frozen=True, slots=True)
class ComingFires:
    """The schedule of a job, of a line of a file, or of an expression."""

    text: str
    schedule: Schedule | None
    """None for @reboot."""
    zone: Zone
    key: str | None = None
    name: str | None = None
    file: str | None = None
    line: int | None = None

    @property
    def title(self) -> str:
        return self.name or (self.key or "").partition("/")[2][:6] or self.text

    @property
    def absence(self) -> str:
        """Return the reason why no fire time is shown."""
        if self.schedule is None:
            return "at boot"
        return "never" if self.schedule.next_wall(0) is None else "-"

    def times(self, start: datetime, until: datetime | None, most: int | None) -> list[datetime]:
        if self.schedule is None:
            return []
        return [fire.at for fire in islice(fire_times(self.schedule, self.zone, start, until), most)]


def parse_expression(text: str) -> Schedule:
    """Return an expression's schedule; raise PycrondError with a caret below the error."""
    try:
        return expression.parse_schedule(text, seed=machine.machine_id())
    except expression.ExpressionError as error:
        shown = PycrondError(str(error))
        shown.add_note(f"    {text}")
        shown.add_note(f"    {' ' * len(printable(text[: error.column - 1]))}^")
        raise shown from error


def of_row(row: JobRow, zone: Zone | None = None) -> ComingFires | None:
    """Return a loaded job's schedule; `zone` replaces the daemon's own zone. None if it cannot be read."""
    plan = plan_of(row)
    if plan is None and row.canonical is not None:
        return None
    schedule, own = plan or (None, Zone.of("UTC"))
    is_own = row.zone == machine.local_zone_name(os.environ)
    return ComingFires(
        row.schedule,
        schedule,
        zone if zone and is_own else own,
        row.key,
        row.name,
        row.file,
        row.line,
    )


def clock_cells(at: datetime, zone: Zone, now: datetime) -> list[Cell]:
    """Return a fire time by its zone's clock, the zone, and the rough_duration from now."""
    local = zone.local(at)
    ahead = (at - now).total_seconds()
    return [
        Cell(f"{local:%a %Y-%m-%d %H:%M}"),
        Cell(f"{local:%Z}" or zone.name),
        Cell(rough_duration(ahead) if ahead >= 0 else f"{rough_duration(-ahead)} ago"),
    ]
