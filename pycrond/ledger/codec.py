"""The ledger's form of jobs: their schedules are plain numbers, readable without the crontab."""

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from pycrond.jobs.job import Entry, Job
from pycrond.jobs.options import from_json, to_json
from pycrond.ledger.rows import JobRow
from pycrond.schedule.days import DayPart
from pycrond.schedule.schedule import Schedule, intern_schedule
from pycrond.text import storable


@dataclass(frozen=True, slots=True)
class JobRows(Collection[JobRow]):
    """The rows of jobs, made during iteration: the rows of 100,000 jobs would double the daemon's memory."""

    jobs: Collection[Job]
    zone: str
    """The time zone of the daemon."""

    def __len__(self) -> int:
        return len(self.jobs)

    def __contains__(self, row: object) -> bool:
        return any(row == job_row for job_row in self)

    def __iter__(self) -> Iterator[JobRow]:
        # Most jobs share options and schedules. Options are known by id, as they take long to compare.
        options: dict[int, str] = {}
        schedules: dict[Schedule | None, str | None] = {None: None}
        for job in self.jobs:
            entry = job.entry
            if id(entry.options) not in options:
                options[id(entry.options)] = json.dumps(to_json(entry.options))
            if entry.schedule and entry.schedule not in schedules:
                schedules[entry.schedule] = encode_schedule(entry.schedule)
            yield JobRow(
                job.key,
                entry.options.name,
                job.user,
                storable(entry.file),
                entry.line,
                storable(entry.schedule_text),
                schedules[entry.schedule],
                entry.zone or self.zone,
                storable(entry.command),
                options[id(entry.options)],
            )


def decode_job(row: JobRow) -> Job:
    """Return the job of a row, without its environment and standard input, which the ledger does not keep."""
    entry = Entry(
        row.file,
        row.line,
        row.user,
        decode_schedule(row.canonical) if row.canonical else None,
        row.schedule,
        row.zone,
        row.command,
        "",
        (),
        from_json(json.loads(row.options)),
    )
    return Job(row.key, row.user, entry)


def encode_schedule(schedule: Schedule) -> str:
    """Return a schedule as bit masks in hexadecimal, day part and flags."""
    part = schedule.part
    words = [
        f"{schedule.minutes:x}",
        f"{schedule.hours:x}",
        f"{part.days_of_month:x}",
        f"{part.months:x}",
        f"{part.days_of_week:x}",
        "or" if part.day_or else "and",
        "wildcard" if schedule.wildcard else "fixed",
        str(schedule.period),
        ",".join(part.specials) or "-",
        ",".join(part.special_weekdays) or "-",
    ]
    return " ".join(words)


def decode_schedule(text: str) -> Schedule:
    """Return the schedule of a text; equal schedules that are in use are one object."""
    minutes, hours, days, months, weekdays, day_or, kind, period, specials, special_weekdays = text.split()
    part = DayPart(
        int(days, 16),
        int(months, 16),
        int(weekdays, 16),
        day_or == "or",
        _words(specials),
        _words(special_weekdays),
    )
    return intern_schedule(
        int(minutes, 16), int(hours, 16), part, wildcard=kind == "wildcard", period=int(period)
    )


def _words(text: str) -> tuple[str, ...]:
    return () if text == "-" else tuple(text.split(","))
