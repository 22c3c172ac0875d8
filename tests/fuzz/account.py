"""What must hold of any input of the parser, told by a reader of lines that shares no code with it."""

import time
import zlib
from collections.abc import Iterable
from datetime import UTC, datetime

from pycrond.crontab import parser
from pycrond.errors import Problem
from pycrond.jobs.job import make_jobs

LONGEST_LINE = 131_071
SPACE = " \t\r\v\f"  # C's isspace, the newline apart
MANY_NAMES = 990  # from here on a file may have more than the parser keeps
SETTING_ERRORS = {"bad-zone", "too-many-names"}
PROBE = "\n\nCRON_TZ=\n* * * * * {0}true\n"
"""An entry that sees everything the lines before it have set, whatever their last zone."""

NOW = int(datetime(2025, 3, 1, tzinfo=UTC).timestamp()) // 60


def examine(data: bytes) -> None:
    """Read it in both forms and hold every line against what it is."""
    dialect = "debian" if zlib.crc32(data) & 1 else "cronie"
    for system in (False, True):
        account(data, system=system, dialect=dialect)


def account(data: bytes, *, system: bool, dialect: str) -> parser.Crontab:
    """Every line is blank, a comment, an option line, a setting with its effect, an entry, or an error."""
    table = parser.parse(data, "f", system=system, dialect=dialect)
    lines = [line.removesuffix("\r") for line in data.decode("utf-8", "surrogateescape").split("\n")]
    entries = {entry.line for entry in table.entries}
    errors: dict[int, set[str]] = {}
    for problem in table.problems:
        _said_well(problem, lines)
        if problem.severity == "error":
            errors.setdefault(problem.line, set()).add(problem.code)
    assert len(entries) == len(table.entries), "one line, two entries"
    assert not entries & set(errors), "an entry with an error"
    assert list(table.problems) == sorted(table.problems, key=lambda p: (p.line, p.column))
    settings = []
    for number, line in enumerate(lines, 1):
        kind = _kind(number, line)
        found = (number in entries, errors.get(number, set()))
        _as_it_is(kind, found, line)
        if kind == "other" and (pair := setting(line)):
            settings.append(pair)
    _in_force(data, system, settings)
    _usable(table)
    return table


def _kind(number: int, line: str) -> str:
    start = line.lstrip(" \t")
    if not start:
        return "blank"
    if start[0] == "#":
        return "comment"
    long = len(line.encode("utf-8", "surrogateescape")) > LONGEST_LINE
    return "error" if "\0" in line or long or (number == 1 and line[0] == "\ufeff") else "other"


def _as_it_is(kind: str, found: tuple[bool, set[str]], line: str) -> None:
    entry, errors = found
    if kind in {"blank", "comment"}:
        assert found == (False, set()), (kind, line)
    elif kind == "error":
        assert errors, line
    elif setting(line):
        assert not entry, line
        assert errors <= SETTING_ERRORS, line
    else:
        assert entry or errors, ("neither a setting nor an entry nor an error", line)


def setting(line: str) -> tuple[str, str] | None:
    """Name and value, read byte by byte as cron does; None: the line is no setting."""
    text = line.lstrip(" \t")
    quote = text[:1] if text[:1] in {"'", '"'} else ""
    ends = quote + "=" if quote else SPACE + "="
    end = len(quote)
    while end < len(text) and text[end] not in ends:
        end += 1
    name, rest = text[len(quote) : end], text[end:]
    if quote and rest[:1] == quote:
        rest = rest[1:]
    rest = rest.lstrip(SPACE)
    if not rest.startswith("="):
        return None
    return _valued(name, rest[1:].lstrip(SPACE))


def _valued(name: str, text: str) -> tuple[str, str] | None:
    if text[:1] not in {"'", '"'}:
        return name, text.rstrip(SPACE)
    value, closed, after = text[1:].partition(text[0])
    return (name, value) if closed and not after.strip(SPACE) else None


def _in_force(data: bytes, system: bool, settings: Iterable[tuple[str, str]]) -> None:
    """What the settings lead to is what an entry after them sees, and in that order."""
    wanted = {name: value for name, value in settings if name and not name.startswith("PYCROND_")}
    if len(wanted) > MANY_NAMES:
        return
    table = parser.parse(data + PROBE.format("me " if system else "").encode(), "f", system=system)
    assert dict(table.entries[-1].environment) == wanted | {"CRON_TZ": ""}


def _said_well(problem: Problem, lines: list[str]) -> None:
    """In one line of printable characters, pointing at a place that exists."""
    assert 1 <= problem.line <= len(lines), problem
    assert 1 <= problem.column <= len(lines[problem.line - 1]) + 2, problem
    assert problem.message, problem
    assert not any(ord(char) < 32 or 127 <= ord(char) < 160 for char in problem.message), problem


def _usable(table: parser.Crontab) -> None:
    made = make_jobs(table.entries, "me")
    assert len({job.key for job in made}) == len(made)
    for schedule in {entry.schedule for entry in table.entries if entry.schedule is not None}:
        coming = schedule.next_wall(NOW)
        assert coming is None or (coming > NOW and schedule.matches(coming))
        assert not (schedule.is_empty and coming)


def cpu(data: bytes) -> float:
    """CPU seconds of one reading in the dearer form; the least of three, since others want the machine too."""
    least = float("inf")
    for _ in range(3):
        before = time.thread_time()
        parser.parse(data, "f", system=True)
        least = min(least, time.thread_time() - before)
    return least
