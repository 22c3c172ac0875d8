"""The limits of a crontab: how large it may be, so that a user has no more than its share of the daemon."""

from collections.abc import Iterable
from typing import NamedTuple

from pycrond.jobs.job import Entry
from pycrond.jobs.options import Options, to_json
from pycrond.sources.files import MAX_BYTES

MAX_REPETITION = 4
"""The most times the size of the largest allowed file that its entries have, each with its own options."""


class CrontabLimits(NamedTuple):
    """The limits of one crontab; 0 entries stand for no limit."""

    size: int = MAX_BYTES
    """Bytes."""
    entries: int = 0
    """The number of entries, and of assignments."""

    def repetition_problem(self, entries: Iterable[Entry]) -> str | None:
        """Return an error if the entries are too large. An assignment such as PYCROND_ON_FAILURE counts for
        each entry that it applies to: so it is stored.
        """
        sizes: dict[int, int] = {}  # of options by id, as most entries share them
        total, most = 0, MAX_REPETITION * self.size
        for entry in entries:
            options = entry.options
            if id(options) not in sizes:
                sizes[id(options)] = _size(options)
            total += len(entry.command) + len(entry.stdin) + sizes[id(options)]
        if total <= most:
            return None
        text = f"its entries, each with the options that apply to it, have {total} bytes"
        return f"{text}, at most {most} ({MAX_REPETITION} times the setting max-crontab-size)"


NO_LIMITS = CrontabLimits()


def _size(options: Options) -> int:
    return sum(len(str(value)) for value in to_json(options).values())
