"""The positions of a line's parts, so that a warning can point at them. Offsets count from 0."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from pycrond.crontab.syntax import parse_assignment
from pycrond.jobs.job import Entry

_WORD = re.compile(r"[^ \t]+")
_FLAGS = re.compile(r"(?:-[nqs]+(?:[ \t]+|\Z))*")


class EntryPositions(NamedTuple):
    """The offsets of the parts of an entry's line."""

    quiet: bool
    """The line begins with cronie's ``-``, which stands before `words`."""
    words: tuple[int, ...]
    """The start of each word of the schedule."""
    user: int
    """The start of the user column; -1 without a user column."""
    flags: int
    """The start of the flags before the command; `command` if there are none."""
    command: int
    """The start of the command, which extends to the end of the line and includes its standard input."""


def entry_positions(line: str, entry: Entry) -> EntryPositions:
    """Return the positions in `line`, the line that `entry` was parsed from."""
    start = len(line) - len(line.lstrip(" \t"))
    quiet = line[start] == "-"
    word_count = len(entry.schedule_text.split(" ")) + (entry.user is not None)
    starts, end = [], start + quiet
    for word in _WORD.finditer(line, end):
        starts.append(word.start())
        end = word.end()
        if len(starts) == word_count:
            break
    flags = end + len(line[end:]) - len(line[end:].lstrip(" \t"))
    matched_flags = _FLAGS.match(line, flags)
    command = matched_flags.end() if matched_flags else flags
    user = -1 if entry.user is None else starts.pop()
    return EntryPositions(quiet, tuple(starts), user, flags, command)


class AssignmentLine(NamedTuple):
    """A line that sets a variable."""

    line: int
    start: int
    """The start of the name."""
    name: str
    value: str
    text: str
    """The line from the name to the end."""


def assignments(lines: list[str], excluded: set[int]) -> Iterator[AssignmentLine]:
    """Yield the assignments of a crontab; `excluded` are the numbers of its entries and bad lines."""
    for number, line in enumerate(lines, 1):
        if "=" not in line or number in excluded:
            continue
        text = line.lstrip(" \t")
        pair = None if text.startswith("#") else parse_assignment(text)
        if pair:
            yield AssignmentLine(number, len(line) - len(text), *pair, text)


def unescaped_percent(line: str, start: int) -> int:
    """Return the offset of the ``%`` that ends the command beginning at `start`; -1 if there is none."""
    at = line.find("%", start)
    while at > start:
        before = at
        while before > start and line[before - 1] == "\\":
            before -= 1
        if (at - before) % 2 == 0:
            break
        at = line.find("%", at + 1)
    return at
