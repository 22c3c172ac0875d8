"""The rules that hold for any input of the parser, checked by code that shares nothing with it."""

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
"""An entry whose environment has all settings of the lines before it; a time zone that is wrong must not reject it."""

NOW = int(datetime(2025, 3, 1, tzinfo=UTC).timestamp()) // 60


def examine(data: bytes) -> None:
    """Check a crontab, read both as a user's and as the system's."""
    dialect = "debian" if zlib.crc32(data) & 1 else "cronie"
    for system in (False, True):
        account(data, system=system, dialect=dialect)


def account(data: bytes, *, system: bool, dialect: str) -> parser.Crontab:
    """Check that each line is blank, a comment, an option line, a setting in force, an entry, or an error."""
    table = parser.parse(data, "f", system=system, dialect=dialect)
    lines = [line.removesuffix("\r") for line in data.decode("utf-8", "surrogateescape").split("\n")]
    entries = {entry.line for entry in table.entries}
    errors: dict[int, set[str]] = {}
    for problem in table.problems:
        _check_message(problem, lines)
        if problem.severity == "error":
            errors.setdefault(problem.line, set()).add(problem.code)
    assert len(entries) == len(table.entries), "one line, two entries"
    assert not entries & set(errors), "an entry with an error"
    assert list(table.problems) == sorted(table.problems, key=lambda p: (p.line, p.column))
    settings = []
    for number, line in enumerate(lines, 1):
        kind = _kind(number, line)
        result = (number in entries, errors.get(number, set()))
        _check_line(kind, result, line)
        if kind == "other" and (pair := setting(line)):
            settings.append(pair)
    _check_settings(data, system, settings)
    _check_jobs(table)
    return table


def _kind(number: int, line: str) -> str:
    start = line.lstrip(" \t")
    if not start:
        return "blank"
    if start[0] == "#":
        return "comment"
    long = len(line.encode("utf-8", "surrogateescape")) > LONGEST_LINE
    return "error" if "\0" in line or long or (number == 1 and line[0] == "\ufeff") else "other"


def _check_line(kind: str, result: tuple[bool, set[str]], line: str) -> None:
    entry, errors = result
    if kind in {"blank", "comment"}:
        assert result == (False, set()), (kind, line)
    elif kind == "error":
        assert errors, line
    elif setting(line):
        assert not entry, line
        assert errors <= SETTING_ERRORS, line
    else:
        assert entry or errors, ("neither a setting nor an entry nor an error", line)


def setting(line: str) -> tuple[str, str] | None:
    """Return name and value of a setting, read byte by byte like cron does; None if the line is no setting."""
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
    return _unquoted(name, rest[1:].lstrip(SPACE))


def _unquoted(name: str, text: str) -> tuple[str, str] | None:
    if text[:1] not in {"'", '"'}:
        return name, text.rstrip(SPACE)
    value, closed, after = text[1:].partition(text[0])
    return (name, value) if closed and not after.strip(SPACE) else None


def _check_settings(data: bytes, system: bool, settings: Iterable[tuple[str, str]]) -> None:
    """Check that an entry after the settings has them in its environment."""
    expected = {name: value for name, value in settings if name and not name.startswith("PYCROND_")}
    if len(expected) > MANY_NAMES:
        return
    table = parser.parse(data + PROBE.format("me " if system else "").encode(), "f", system=system)
    assert dict(table.entries[-1].environment) == expected | {"CRON_TZ": ""}


def _check_message(problem: Problem, lines: list[str]) -> None:
    """Check that a message is one line of printable characters, for a position that exists."""
    assert 1 <= problem.line <= len(lines), problem
    assert 1 <= problem.column <= len(lines[problem.line - 1]) + 2, problem
    assert problem.message, problem
    assert not any(ord(char) < 32 or 127 <= ord(char) < 160 for char in problem.message), problem


def _check_jobs(table: parser.Crontab) -> None:
    loaded = make_jobs(table.entries, "me")
    assert len({job.key for job in loaded}) == len(loaded)
    for schedule in {entry.schedule for entry in table.entries if entry.schedule is not None}:
        coming = schedule.next_wall(NOW)
        assert coming is None or (coming > NOW and schedule.matches(coming))
        assert not (schedule.is_empty and coming)


def cpu(data: bytes) -> float:
    """Return the CPU seconds that one parsing takes as a system crontab, the more expensive form; the least of three."""
    least = float("inf")
    for _ in range(3):
        before = time.thread_time()
        parser.parse(data, "f", system=True)
        least = min(least, time.thread_time() - before)
    return least
