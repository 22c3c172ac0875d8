"""An anacrontab, and the lines of a crontab that do the same: on a schedule, and caught up when missed."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from pycrond.crontab.syntax import split_command

HOUR_OF_CRONIE, HOUR_OF_DEBIAN = 3, 7  # where START_HOURS_RANGE says nothing: when anacron is first started
_JOB = re.compile(r"(?P<period>@\w+|\d+)[ \t]+(?P<delay>\d+)[ \t]+(?P<name>[^ \t/]+)[ \t]+(?P<command>.+)")
_ASSIGNMENT = re.compile(r"(?P<name>[^\s=#]+)[ \t]*=[ \t]*(?P<value>.*)")
_PERIODS = {"@daily": 1, "@weekly": 7, "@monthly": 30, "@yearly": 365, "@annually": 365}
_DAYS = {1: "* * *", 7: "* * 7", 30: "1 * *", 31: "1 * *", 365: "1 1 *", 366: "1 1 *"}
"""Day of month, month and day of week for periods that a schedule can name."""


@dataclass(frozen=True, slots=True)
class Period:
    """A job of anacron's: every so many days, so many minutes after anacron is started."""

    line: int
    text: str
    days: int
    delay: int
    name: str
    command: str
    hour: int
    """When anacron is first started on a day."""
    random_delay: int
    """Minutes, at most, that are added to the delay."""


@dataclass(frozen=True, slots=True)
class Variable:
    """An assignment, which holds for what follows."""

    line: int
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Anacrontab:
    """What the file says, in its order."""

    file: str
    items: tuple[Period | Variable, ...]
    remarks: tuple[tuple[int, str], ...]
    """Line and text: what cannot be read, or is not quite the same to us."""


def parse(data: bytes, file: str, *, hour: int = HOUR_OF_CRONIE) -> Anacrontab:
    """Read one; `hour` is when the machine's own anacron is started without START_HOURS_RANGE."""
    items: list[Period | Variable] = []
    remarks = []
    random_delay = 0
    for number, line in _lines(data.decode("utf-8", "surrogateescape")):
        if found := _ASSIGNMENT.fullmatch(line):
            name, value = found["name"], found["value"]
            if name == "START_HOURS_RANGE" and (range_ := re.match(r"(\d{1,2})-", value)):
                hour = min(int(range_[1]), 23)
                remarks.append(
                    (number, "jobs are due in its first hour; what was missed is caught up at any")
                )
            elif name == "RANDOM_DELAY" and value.isdecimal():
                random_delay = int(value)
            else:
                items.append(Variable(number, name, value))
        elif (job := _JOB.fullmatch(line)) and (days := _days(job["period"])):
            delay, command = int(job["delay"]), job["command"]
            items.append(Period(number, line, days, delay, job["name"], command, hour, random_delay))
            if days not in _DAYS:
                remarks.append((number, f"every {days} days, counted from 1970 on, at midnight UTC"))
        else:
            remarks.append((number, "left out: anacron cannot read it either"))
    return Anacrontab(file, tuple(items), tuple(remarks))


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Those that say something, with the number of the first of those that a backslash joins."""
    begun, number = "", 0
    for at, line in enumerate(text.split("\n"), 1):
        number = number if begun else at
        if line.endswith("\\"):
            begun += line[:-1]
            continue
        whole, begun = (begun + line).strip(" \t"), ""
        if whole and not whole.startswith("#"):
            yield number, whole


def _days(text: str) -> int:
    return _PERIODS.get(text, 0) if text.startswith("@") else int(text)


def crontab_lines(table: Anacrontab, dialect: str) -> Iterator[tuple[Period | None, str]]:
    """The lines of a system crontab, each with the job that it stands for, its options before it."""
    for one in table.items:
        if isinstance(one, Variable):
            quoted = f'"{one.value}"' if one.value == "" or one.value != one.value.strip() else one.value
            yield None, f"{one.name}={quoted}\n"
            continue
        command = _escaped(one.command, dialect)
        if command is None:
            said = f"# Not taken, a crontab cannot say \\% here: {one.text}\n"
        else:
            said = f"# {table.file}:{one.line}\n#: {_options(one)}\n{_schedule(one)} root {command}\n"
        yield one, said


def _schedule(one: Period) -> str:
    if one.days not in _DAYS:
        return f"@every {one.days}d"
    minutes = min(one.hour * 60 + one.delay, 24 * 60 - 1)
    return f"{minutes % 60} {minutes // 60} {_DAYS[one.days]}"


def _options(one: Period) -> str:
    """Caught up once, as long as the next one is not due; one at a time, as ``anacron -s`` runs them."""
    name = re.sub(r"[^\w.:@+-]", "_", one.name)[:100].lstrip(".:@+-") or "job"
    options = f"name={name} missed=once within={one.days}d lock=anacron"
    return f"{options} jitter={one.random_delay}m" if one.random_delay else options


def _escaped(command: str, dialect: str) -> str | None:
    """To anacron a % is nothing special. None where no escaping leads back to the same command."""
    text = re.sub(r"[%\\]" if dialect == "debian" else "%", r"\\\g<0>", command)
    return text if split_command(text, dialect) == (command, "") else None
