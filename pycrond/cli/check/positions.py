"""Where the parts of a line stand, so that a warning can point at them. Offsets count from 0."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from pycrond.crontab.syntax import parse_assignment
from pycrond.jobs.job import Entry

_WORD = re.compile(r"[^ \t]+")
_FLAGS = re.compile(r"(?:-[nqs]+(?:[ \t]+|\Z))*")


@dataclass(frozen=True, slots=True)
class Layout:
    """An entry's line, taken apart."""

    quiet: bool
    """It begins with cronie's ``-``, which stands before `words`."""
    words: tuple[int, ...]
    """Where each word of the schedule begins."""
    user: int
    """Where the user column begins; -1 without one."""
    flags: int
    """Where the flags before the command begin, or the command."""
    command: int
    """Where the command begins; it goes on to the end of the line, standard input and all."""


def layout(line: str, entry: Entry) -> Layout:
    """`line` is the one that `entry` was read from."""
    start = len(line) - len(line.lstrip(" \t"))
    quiet = line[start] == "-"
    number = len(entry.schedule_text.split(" "))
    starts, end = [], start + quiet
    for found in _WORD.finditer(line, end):
        starts.append(found.start())
        end = found.end()
        if len(starts) == number + (entry.user is not None):
            break
    flags = end + len(line[end:]) - len(line[end:].lstrip(" \t"))
    found_flags = _FLAGS.match(line, flags)
    command = found_flags.end() if found_flags else flags
    user = -1 if entry.user is None else starts.pop()
    return Layout(quiet, tuple(starts), user, flags, command)


@dataclass(frozen=True, slots=True)
class Assignment:
    """A line that sets a variable."""

    line: int
    start: int
    """Where the name begins."""
    name: str
    value: str
    text: str
    """From the name to the end of the line."""


def assignments(lines: list[str], others: set[int]) -> Iterator[Assignment]:
    """Those among the lines of a crontab; `others` are the numbers of its entries and of its bad lines."""
    for number, line in enumerate(lines, 1):
        if "=" not in line or number in others:
            continue
        text = line.lstrip(" \t")
        pair = None if text.startswith("#") else parse_assignment(text)
        if pair:
            yield Assignment(number, len(line) - len(text), *pair, text)


def unescaped_percent(line: str, start: int) -> int:
    """Where the ``%`` stands that ends the command which begins at `start`; -1 where none does."""
    at = line.find("%", start)
    while at > start:
        before = at
        while before > start and line[before - 1] == "\\":
            before -= 1
        if (at - before) % 2 == 0:
            break
        at = line.find("%", at + 1)
    return at
