"""The limits on the size of a crontab, which keep a single user from overloading the daemon."""

from collections.abc import Iterable
from typing import NamedTuple

from pycrond.jobs.job import Entry
from pycrond.jobs.options import Options, to_json
from pycrond.settings import Settings
from pycrond.sources.files import MAX_BYTES

MAX_REPETITION = 4
"""All entries of a crontab, each with its own options, have at most this many times the allowed size."""


class CrontabLimits(NamedTuple):
    """The limits of one crontab; 0 entries stand for no limit."""

    size: int = MAX_BYTES
    """Bytes."""
    entries: int = 0
    """The most entries; the same limit holds for assignments with `#:` lines, and for problems."""

    def size_problem(self, text: bytes) -> str | None:
        """Return an error if a crontab is too large."""
        if len(text) <= self.size:
            return None
        setting = "" if self.size == MAX_BYTES else " (setting max-crontab-size)"
        return f"the crontab has {len(text)} bytes, at most {self.size}{setting}"

    def repetition_problem(self, entries: Iterable[Entry]) -> str | None:
        """Return an error if the entries are too large, else None. An option set by an assignment
        (PYCROND_ON_FAILURE) counts for each entry that it applies to, because it is stored with each of them.
        """
        sizes: dict[int, int] = {}  # by the id of the options, which most entries share
        total, limit = 0, MAX_REPETITION * self.size
        for entry in entries:
            options = entry.options
            if id(options) not in sizes:
                sizes[id(options)] = _size(options)
            total += len(entry.command) + len(entry.stdin) + sizes[id(options)]
        if total <= limit:
            return None
        text = f"its entries, each with the options that apply to it, have {total} bytes"
        return f"{text}, at most {limit} ({MAX_REPETITION} times the setting max-crontab-size)"


NO_LIMITS = CrontabLimits()


def limits_of_users(settings: Settings) -> CrontabLimits:
    """Return the limits of the crontabs of users other than root, in the spool."""
    return CrontabLimits(settings.max_crontab_size << 10 or MAX_BYTES, settings.max_crontab_entries)


def _size(options: Options) -> int:
    return sum(len(str(value)) for value in to_json(options).values())
