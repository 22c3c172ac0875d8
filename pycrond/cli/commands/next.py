"""next: what will run when."""

import argparse
import json
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from pycrond import clock
from pycrond.cli.commands.show import find_job, print_problems, print_table
from pycrond.cli.render.formatting import Cell
from pycrond.cli.settings_layers import configured
from pycrond.cli.time_input import moment
from pycrond.crontab import expression as crontab_expression
from pycrond.crontab import parser
from pycrond.errors import PycrondError
from pycrond.host import machine, users
from pycrond.jobs.job import make_jobs
from pycrond.ledger import codec
from pycrond.ledger.reader import Reader
from pycrond.ledger.rows import JobRow
from pycrond.schedule.dst import fire_times
from pycrond.schedule.schedule import Schedule
from pycrond.schedule.timezone import Zone
from pycrond.sources import files, system
from pycrond.text import rfc3339, rough_duration

COUNT = 5  # fire times of a job where no end is given
MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class ComingFires:
    """What has fire times: a job, a line of a file, or an expression."""

    text: str
    schedule: Schedule | None
    zone: Zone
    key: str | None = None
    name: str | None = None
    file: str | None = None
    line: int | None = None

    @property
    def title(self) -> str:
        return self.name or (self.key or "").partition("/")[2][:6] or self.text

    def fires(self, start: datetime, until: datetime | None, most: int | None) -> list[datetime]:
        if self.schedule is None:
            return []
        return [one.at for one in islice(fire_times(self.schedule, self.zone, start, until), most)]


def next(wanted: argparse.Namespace) -> int:  # noqa: A001 -- as the command is called
    """The coming fire times; 1 if a file given with --file has errors."""
    now = clock.now()
    zone = Zone.of(wanted.tz) if wanted.tz else machine.load_zone(machine.local_zone_name(os.environ))
    start = whole_minute(wanted.since, now, zone)
    until = moment(wanted.until, now, zone).at if wanted.until else None
    most = wanted.count or (None if until else COUNT)
    planned, status = _planned(wanted, zone)
    found = [(one, one.fires(start, until, most)) for one in planned]
    if wanted.json:
        print(json.dumps(_document(found, start, until, zone)))
    else:
        _print(found, now)
    return status


def whole_minute(text: str | None, now: datetime, zone: Zone) -> datetime:
    """A whole minute; of a running one the next."""
    start = moment(text, now, zone).at if text else now
    return (
        start if start.second == start.microsecond == 0 else start.replace(second=0, microsecond=0) + MINUTE
    )


def _planned(wanted: argparse.Namespace, zone: Zone) -> tuple[Sequence[ComingFires], int]:
    if wanted.file:
        if wanted.what:
            raise PycrondError("--file and a job or an expression: only one of them")
        return _of_file(wanted.file, zone)
    expression = crontab_expression.parse_cached(" ".join(wanted.what)) if wanted.what else None
    if expression and (len(wanted.what[0].split()) > 1 or wanted.what[0].startswith("@") or expression.valid):
        return [_of_expression(" ".join(wanted.what), zone)], 0
    reader = Reader(configured(wanted).state_dir)
    keys = {find_job(reader, word) for word in wanted.what}
    rows = reader.jobs()
    return [_of_row(row, zone, fixed=bool(wanted.tz)) for row in rows if not keys or row.key in keys], 0


def _of_expression(text: str, zone: Zone) -> ComingFires:
    return ComingFires(text, schedule_of(text), zone)


def schedule_of(text: str) -> Schedule:
    """An expression's schedule; raises PycrondError with a caret below the place."""
    try:
        return crontab_expression.parse_schedule(text, seed=machine.machine_id())
    except crontab_expression.ExpressionError as error:
        raise PycrondError(f"{error}\n    {text}\n    {' ' * (error.column - 1)}^") from error


def _of_row(row: JobRow, zone: Zone, *, fixed: bool) -> ComingFires:
    """With `fixed`, a job of the daemon's own zone is taken to be in another one."""
    own = machine.local_zone_name(os.environ)
    schedule = codec.from_text(row.canonical) if row.canonical else None
    where = zone if fixed and row.zone == own else machine.load_zone(row.zone)
    return ComingFires(row.schedule, schedule, where, row.key, row.name, row.file, row.line)


def _of_file(file: str, zone: Zone) -> tuple[Sequence[ComingFires], int]:
    own = users.by_uid(os.geteuid()).name
    parsed = parser.parse(
        files.read_crontab(file, lambda _: None),
        file,
        system=system.has_user_column(file),
        user=own,
        seed=machine.machine_id(),
    )
    errors = [one for one in parsed.problems if one.severity == "error"]
    print_problems(errors, sys.stderr)
    planned = [
        ComingFires(
            job.entry.schedule_text,
            job.entry.schedule,
            Zone.of(job.entry.zone) if job.entry.zone else zone,
            job.key,
            job.entry.options.name,
            file,
            job.entry.line,
        )
        for job in make_jobs(parsed.entries, own)
    ]
    return planned, 1 if errors else 0


def _document(
    found: Iterable[tuple[ComingFires, list[datetime]]], start: datetime, until: datetime | None, zone: Zone
) -> dict[str, object]:
    return {
        "from": rfc3339(start.timestamp()),
        "until": rfc3339(until.timestamp()) if until else None,
        "zone": zone.name,
        "jobs": [
            {
                "key": one.key,
                "name": one.name,
                "file": one.file,
                "line": one.line,
                "schedule": one.text,
                "fires": [rfc3339(at.timestamp()) for at in times],
            }
            for one, times in found
        ],
    }


def _print(found: Sequence[tuple[ComingFires, list[datetime]]], now: datetime) -> None:
    """All of them in the order of time, each by the clock of its zone; what never comes last."""
    rows = [[Cell("TIME"), Cell("ZONE"), Cell("IN"), Cell("JOB"), Cell("SCHEDULE")]]
    coming = sorted(((at, one) for one, times in found for at in times), key=lambda pair: pair[0])
    for at, one in coming:
        rows.append([*clock_cells(at, one.zone, now), Cell(one.title), Cell(one.text)])
    for one, times in found:
        if not times:
            when = (
                "at boot" if one.schedule is None else "never" if one.schedule.next_wall(0) is None else "-"
            )
            rows.append([Cell(when), Cell(""), Cell(""), Cell(one.title), Cell(one.text)])
    print_table(rows)


def _not_coming(one: ComingFires) -> str:
    if one.schedule is None:
        return "at boot"
    return "never" if one.schedule.next_wall(0) is None else "-"


def clock_cells(at: datetime, zone: Zone, now: datetime) -> list[Cell]:
    local = zone.local(at)
    ahead = (at - now).total_seconds()
    return [
        Cell(f"{local:%a %Y-%m-%d %H:%M}"),
        Cell(f"{local:%Z}" or zone.name),
        Cell(rough_duration(ahead) if ahead >= 0 else f"{rough_duration(-ahead)} ago"),
    ]
