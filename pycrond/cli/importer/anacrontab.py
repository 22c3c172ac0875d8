"""The conversion of an anacrontab to lines of a crontab: the same jobs, with catch-ups of missed fires."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from pycrond.cli.importer.report import Remark
from pycrond.crontab.command import split_command

START_HOURS = {"cronie": 3, "debian": 7}  # hour of anacron's first start on a day, without START_HOURS_RANGE
_JOB = re.compile(r"(?P<period>@\w+|\d+)[ \t]+(?P<delay>\d+)[ \t]+(?P<name>[^ \t/]+)[ \t]+(?P<command>.+)")
_ASSIGNMENT = re.compile(r"(?P<name>[^\s=#]+)[ \t]*=[ \t]*(?P<value>.*)")
_DAYS_BY_NAME = {"@daily": 1, "@weekly": 7, "@monthly": 30, "@yearly": 365, "@annually": 365}
_DAY_FIELDS = {1: "* * *", 7: "* * 7", 30: "1 * *", 31: "1 * *", 365: "1 1 *", 366: "1 1 *"}
"""Day of month, month and day of week, by days of a period that a schedule can name."""


class Period(NamedTuple):
    """A job of anacron: due every `days`, `delay` minutes after anacron is started."""

    line: int
    text: str
    days: int
    delay: int
    name: str
    command: str
    hour: int
    """The hour of anacron's first start on a day."""
    random_delay: int
    """The maximum number of minutes added to the delay."""


class Conversion(NamedTuple):
    """The lines of a system crontab that replace an anacrontab."""

    text: str
    """Its assignments and jobs in the same order, each job below its source."""
    jobs: tuple[Period, ...]
    remarks: tuple[Remark, ...]
    """Remarks on lines that cannot be read, or that pycrond treats slightly differently."""


def convert(data: bytes, file: str, dialect: str) -> Conversion:
    """Convert an anacrontab to the `dialect` of a cron, `debian` or `cronie`."""
    hour, random_delay = START_HOURS[dialect], 0
    text, jobs, remarks = "", list[Period](), []
    for number, line in _logical_lines(data.decode("utf-8", "surrogateescape")):
        if assigned := _ASSIGNMENT.fullmatch(line):
            name, value = assigned["name"], assigned["value"]
            if name == "START_HOURS_RANGE" and (hours := re.match(r"(\d{1,2})-", value)):
                hour = min(int(hours[1]), 23)
                remark = "jobs are due in its first hour; missed runs are caught up at any hour"
                remarks.append(Remark(number, remark))
            elif name == "RANDOM_DELAY" and value.isdecimal():
                random_delay = int(value)
            else:
                quoted = f'"{value}"' if value == "" or value != value.strip() else value
                text += f"{name}={quoted}\n"
        elif (job := _JOB.fullmatch(line)) and (days := _days(job["period"])):
            delay, command = int(job["delay"]), job["command"]
            jobs.append(Period(number, line, days, delay, job["name"], command, hour, random_delay))
            text += _crontab_lines(jobs[-1], file, dialect)
            if days not in _DAY_FIELDS:
                remarks.append(Remark(number, f"every {days} days, counted from 1970-01-01, at midnight UTC"))
        else:
            remarks.append(Remark(number, "left out: anacron cannot read it either"))
    return Conversion(text, tuple(jobs), tuple(remarks))


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield each line that is not blank or a comment, with its number; lines joined by a backslash are one
    line with the number of the first.
    """
    begun, number = "", 0
    for at, line in enumerate(text.split("\n"), 1):
        number = number if begun else at
        if line.endswith("\\"):
            begun += line[:-1]
            continue
        joined, begun = (begun + line).strip(" \t"), ""
        if joined and not joined.startswith("#"):
            yield number, joined


def _days(period: str) -> int:
    return _DAYS_BY_NAME.get(period, 0) if period.startswith("@") else int(period)


def _crontab_lines(job: Period, file: str, dialect: str) -> str:
    command = _escaped(job.command, dialect)
    if command is None:
        return f"# Not converted, a crontab cannot express \\% here: {job.text}\n"
    return f"# {file}:{job.line}\n#: {_options(job)}\n{_schedule(job)} root {command}\n"


def _schedule(job: Period) -> str:
    if job.days not in _DAY_FIELDS:
        return f"@every {job.days}d"
    minutes = min(job.hour * 60 + job.delay, 24 * 60 - 1)
    return f"{minutes % 60} {minutes // 60} {_DAY_FIELDS[job.days]}"


def _options(job: Period) -> str:
    """Return options that catch up a missed fire before the next, one job at a time as `anacron -s`."""
    name = re.sub(r"[^\w.:@+-]", "_", job.name)[:100].lstrip(".:@+-") or "job"
    options = f"name={name} missed=once within={job.days}d lock=anacron"
    return f"{options} jitter={job.random_delay}m" if job.random_delay else options


def _escaped(command: str, dialect: str) -> str | None:
    """Escape the ``%`` of a command, which anacron reads literally; None if a crontab cannot express it."""
    text = re.sub(r"[%\\]" if dialect == "debian" else "%", r"\\\g<0>", command)
    return text if split_command(text, dialect) == (command, "") else None
