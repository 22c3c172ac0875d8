"""The positions of a line's parts, so that a warning can point at them. Offsets count from 0."""

import re
from typing import NamedTuple

from pycrond.crontab.parser import ENTRY, SYSTEM_ENTRY
from pycrond.jobs.job import Entry

_WORD = re.compile(r"[^ \t]+")


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
    match = (ENTRY if entry.user is None else SYSTEM_ENTRY).match(line, start + quiet)
    assert match  # noqa: S101 -- the parser has found the entry by the same pattern
    words = tuple(word.start() for word in _WORD.finditer(line, *match.span("schedule")))
    user = -1 if entry.user is None else match.start("user")
    return EntryPositions(quiet, words, user, match.start("flags"), match.start("command"))
