"""The ledger's form of jobs: their schedules are plain numbers, readable without the crontab."""

import contextlib
import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from pycrond.errors import PycrondError
from pycrond.jobs.job import Entry, Job
from pycrond.jobs.options import Options, from_json, to_json
from pycrond.ledger.rows import JobRow
from pycrond.schedule.days import DayPart
from pycrond.schedule.schedule import Schedule, intern_schedule
from pycrond.text import storable

RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
"""The first and the last minute, hour, day, month and weekday."""


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
        # Most jobs share options and schedules. Options are found by id, because comparing them is slow.
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
        _known_schedule(row.canonical),
        row.schedule,
        row.zone,
        row.command,
        "",
        (),
        decode_options(row.options),
    )
    return Job(row.key, row.user, entry)


def _known_schedule(text: str | None) -> Schedule | None:
    with contextlib.suppress(PycrondError):
        return decode_schedule(text) if text else None
    return None


def decode_json(text: str) -> dict[str, Any]:
    """Return the members of a stored object; none if the text is not an object."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def decode_options(text: str) -> Options:
    """Return stored options; invalid ones have their defaults."""
    return from_json(decode_json(text))


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
    """Return the schedule of a text; equal schedules that are in use are one object.

    Raises PycrondError for an invalid text.
    """
    try:
        schedule = _decoded(text)
        if schedule.part.specials or schedule.part.special_weekdays:
            schedule.next_wall(0)  # the special terms are parsed only now
    except (ValueError, LookupError, TypeError) as error:
        raise PycrondError(f"the ledger has a schedule that cannot be read: {text[:100]!r}") from error
    return schedule


def _decoded(text: str) -> Schedule:
    minutes, hours, days, months, weekdays, day_or, kind, period, specials, special_weekdays = text.split()
    words = (minutes, hours, days, months, weekdays)
    bits = [_bits(word, first, last) for word, (first, last) in zip(words, RANGES, strict=True)]
    part = DayPart(bits[2], bits[3], bits[4], day_or == "or", _words(specials), _words(special_weekdays))
    if int(period) < 0:
        raise ValueError("a period below 0")
    return intern_schedule(bits[0], bits[1], part, wildcard=kind == "wildcard", period=int(period))


def _bits(word: str, first: int, last: int) -> int:
    """Return a bit mask of numbers from `first` to `last`."""
    bits = int(word, 16)
    if bits < 0 or bits >> last + 1 or bits & (1 << first) - 1:
        raise ValueError("beyond the field")
    return bits


def _words(text: str) -> tuple[str, ...]:
    return () if text == "-" else tuple(text.split(","))
