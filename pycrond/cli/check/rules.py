"""What is legal in a crontab and surely not meant, or means something else to another cron. Pure.

What must be known of the machine comes as `CheckFacts`, gathered for what `wanted` asks.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise

from pycrond.cli.check.dst_effects import DstEffects
from pycrond.cli.check.positions import Layout, layout, unescaped_percent
from pycrond.cli.check.program_name import SHELLS, program
from pycrond.cli.check.variables import of_variables
from pycrond.crontab.field import DAY_OF_MONTH, DAY_OF_WEEK, HOUR, MINUTE, shown
from pycrond.crontab.parser import Crontab
from pycrond.errors import Problem
from pycrond.jobs.job import SEARCH_PATHS, Entry
from pycrond.jobs.options import BY_NAME, to_json
from pycrond.schedule.schedule import Schedule

LOOKED_AT, SOME_MINUTE = 300, 29_000_000  # fire times, from a wall minute on: distances hardly change
DEBIANS_LONGEST = 998
"""Bytes of a command that Debian cron takes."""

_IGNORE = re.compile(r"^[ \t]*#[ \t]*pycrond: ignore ([\w, -]+)$", re.MULTILINE)
_STEP = re.compile(r"\*/([0-9]+)")


@dataclass(frozen=True, slots=True)
class CheckFacts:
    """What is known of the machine."""

    nights: DstEffects
    missing: frozenset[tuple[str, str]] = frozenset()
    """PATHs and programs that are not in them."""
    strangers: frozenset[str] = frozenset()
    """Users that the machine does not know."""
    path: str = SEARCH_PATHS["cronie"]
    """The PATH of a job that sets none."""
    other: str = ""
    """The cron whose reading is asked for as well: `debian`, `cronie` or none."""
    mailer: bool = False
    """Whether mail can be sent."""
    took: Mapping[int, float] = field(default_factory=dict)
    """By line of the file, the median of how long the job's latest runs took, in seconds."""


@dataclass(frozen=True, slots=True)
class NeededFacts:
    """What is to be found out."""

    programs: set[tuple[str, str]] = field(default_factory=set)
    """PATH and name, or path from the root."""
    users: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class _Place:
    """An entry and where its parts stand."""

    entry: Entry
    line: str
    layout: Layout
    facts: CheckFacts


def wanted(crontab: Crontab, path: str) -> NeededFacts:
    """What `lint` must know about this crontab's entries; `path` as in `CheckFacts`."""
    found = NeededFacts()
    for entry in crontab.entries:
        if one := _program(entry, path):
            found.programs.add(one)
        if entry.user is not None:
            found.users.add(entry.user)
    return found


def _program(entry: Entry, path: str) -> tuple[str, str] | None:
    environment = dict(entry.environment)
    if environment.get("SHELL", "sh").rpartition("/")[2] not in SHELLS:
        return None
    name = program(entry.command)
    return (environment.get("PATH", path), name) if name else None


def lint(crontab: Crontab, text: str, facts: CheckFacts, ignored: Iterable[str] = ()) -> list[Problem]:
    """The crontab's own problems and all that is found beside them, in the order of the lines.

    An unknown option is an error here. `ignored` are codes of warnings that are left out, as are those that a
    comment ``# pycrond: ignore CODE`` names, anywhere in the file.
    """
    lines = text.replace("\r\n", "\n").split("\n")
    silent = set(ignored)
    for comment in _IGNORE.finditer(text):
        silent.update(re.split(r"[, \t]+", comment[1].strip()))
    found = [_stricter(problem) for problem in crontab.problems]
    for entry in crontab.entries:
        line = lines[entry.line - 1]
        place = _Place(entry, line, layout(line, entry), facts)
        for rule in RULES:
            for column, code, message in rule(place):
                found.append(Problem(entry.file, entry.line, column + 1, "warning", code, message))
    found += of_variables(crontab, lines, facts.other, mailer=facts.mailer)
    found = [one for one in found if one.severity == "error" or one.code not in silent]
    return sorted(found, key=lambda one: (one.line, one.column))


def _stricter(problem: Problem) -> Problem:
    return replace(problem, severity="error") if problem.code == "unknown-option" else problem


Found = Iterator[tuple[int, str, str]]
"""Offset in the line, code, message."""


def _day_union(place: _Place) -> Found:
    words = place.entry.schedule_text.split(" ")
    if len(words) != 5 or words[2][0] == "*" or words[4][0] == "*":
        return
    message = (
        f"runs on each day that {DAY_OF_MONTH.name} {words[2]} or {DAY_OF_WEEK.name} {words[4]} names:"
        " one is enough, as neither begins with *"
    )
    yield place.layout.words[2], "day-union", message


def _steps(place: _Place) -> Found:
    words = place.entry.schedule_text.split(" ")
    if len(words) != 5:
        return
    for index, (one, size) in enumerate(((MINUTE, 60), (HOUR, 24), (DAY_OF_MONTH, 31))):
        step = _STEP.fullmatch(words[index])
        every = int(step[1]) if step else 1
        if every >= size:
            message = f"{words[index]} names {one.first} alone: its steps begin anew each time"
            yield place.layout.words[index], "large-step", message
        elif size % every:
            last = one.first + (size - 1) // every * every
            message = f"uneven: after {one.name} {last} comes {one.first} again, not {every} later"
            yield place.layout.words[index], "uneven-step", message


def _clock_change(place: _Place) -> Found:
    if place.entry.schedule and (text := place.facts.nights.effect(place.entry.schedule, place.entry.zone)):
        yield place.layout.words[0], "clock-change", text


def _percent(place: _Place) -> Found:
    at = unescaped_percent(place.line, place.layout.command) if "%" in place.line else -1
    if at >= 0:
        yield at, "percent", "an unescaped % ends the command, what follows is its standard input (write \\%)"


def _missing_program(place: _Place) -> Found:
    one = _program(place.entry, place.facts.path)
    if one in place.facts.missing:
        path, name = one
        where = "there is no program" if name.startswith("/") else f"not found in PATH ({path}):"
        yield place.layout.command, "missing-program", f"{where} {shown(name)}"


def _stranger(place: _Place) -> Found:
    if place.entry.user in place.facts.strangers:
        yield (
            place.layout.user,
            "unknown-user",
            f"there is no user {shown(place.entry.user or '')}",
        )


def _without_effect(place: _Place) -> Found:
    idle = [
        name for name in to_json(place.entry.options) if name in BY_NAME and not BY_NAME[name].implemented
    ]
    if idle:
        yield place.layout.words[0], "without-effect", f"without effect yet: {', '.join(idle)}"


_EXTENSION = re.compile(
    r"@every.*|(?:.*[ ,])?H.*"
    r"|(?:\S+ ){2}\S*(?:L|[0-9]W)\S*(?: \S+){2}"
    r"|(?:\S+ ){4}\S*(?:[0-9a-z]L(?![a-z])|#)\S*",
    re.IGNORECASE,
)
_OPEN_RANGE = re.compile(r".*(?:~(?![0-9])|(?:^|[ ,])~|~[0-9]+/).*")


def _extension(place: _Place) -> Found:
    text = place.entry.schedule_text
    if _EXTENSION.fullmatch(text) or _OPEN_RANGE.fullmatch(text):
        yield (
            place.layout.words[0],
            "extension",
            f"{shown(text)} is an extension, which other crons refuse",
        )


def _elsewhere(place: _Place) -> Found:
    """Semantics of the other daemon where it reads a line otherwise."""
    entry, at = place.entry, place.layout
    text = place.line[at.command :]
    if place.facts.other == "cronie" and "\\\\" in text and "%" in text:
        yield at.command, "other-cron", "cronie keeps both of two backslashes"
    if place.facts.other != "debian":
        return
    if "~" in entry.schedule_text and not _OPEN_RANGE.fullmatch(entry.schedule_text):
        yield at.words[0], "other-cron", "Debian cron refuses ~, and with it the whole file"
    if at.quiet:
        yield (
            at.words[0],
            "other-cron",
            "Debian cron refuses the - before the minute, and the whole file with it",
        )
    if at.flags != at.command:
        yield at.flags, "other-cron", "Debian cron takes the flag for a part of the command"
    if "\\\\" in text:
        yield at.command, "other-cron", "Debian cron makes one of two backslashes"
    if len(text.encode("utf-8", "surrogateescape")) > DEBIANS_LONGEST:
        message = f"Debian cron refuses commands of more than {DEBIANS_LONGEST} bytes"
        yield at.command, "other-cron", message


def _too_slow(place: _Place) -> Found:
    """A job that takes longer than it is from one fire time to the next, and starts beside itself."""
    schedule, took = place.entry.schedule, place.facts.took.get(place.entry.line)
    if schedule is None or took is None or place.entry.options.overlap != "allow":
        return
    shortest = min(pairwise_distances(schedule), default=0) * 60
    if 0 < shortest < took:
        message = (
            f"its runs take {took:.0f} s, and it is due again after {shortest} s: say overlap=skip or queue"
        )
        yield place.layout.words[0], "longer-than-interval", message


def pairwise_distances(schedule: Schedule) -> list[int]:
    """Wall minutes between the next few fire times of a schedule."""
    walls: list[int] = []
    wall = schedule.next_wall(SOME_MINUTE)
    while wall is not None and len(walls) < LOOKED_AT:
        walls.append(wall)
        wall = schedule.next_wall(wall)
    return [after - before for before, after in pairwise(walls)]


RULES: tuple[Callable[[_Place], Found], ...] = (
    *(_day_union, _steps, _clock_change, _percent, _missing_program, _stranger),
    *(_without_effect, _extension, _elsewhere, _too_slow),
)
