"""What people name on the command line: jobs, also by patterns of names, stretches of time, states."""

import os
import re
from argparse import ArgumentTypeError, Namespace
from collections.abc import Sequence

from pycrond import clock
from pycrond.cli import time_input
from pycrond.control.records import Records
from pycrond.errors import PycrondError
from pycrond.host import machine
from pycrond.jobs.run import State
from pycrond.ledger.rows import BAD_ENDS, JobRow, matching_keys, require_one

_AGO = re.compile(r"(?:[0-9]{1,9}[smhdw])+")


def is_pattern(word: str) -> bool:
    return any(char in word for char in "*?[")


def loaded(word: str, jobs: Sequence[JobRow]) -> list[str]:
    """The keys of all loaded jobs that a word or a pattern names; raises PycrondError where it is none."""
    if not is_pattern(word):
        found = matching_keys(word, ((job.key, job.name, f"{job.file}:{job.line}") for job in jobs))
    else:
        from fnmatch import fnmatchcase

        with_user = "/" in word
        called = ((job.key, job.key if with_user else job.name or job.key.partition("/")[2]) for job in jobs)
        found = [key for key, name in called if fnmatchcase(name, word)]
    if not found:
        raise PycrondError(f"no job is called '{word}' (see 'pycrond list')")
    return found


def jobs_meant(read: Records, word: str | None) -> list[str] | None:
    """The key of the one job a word names, also one that is gone; the keys of those that a pattern names."""
    if word is None:
        return None
    return loaded(word, read.jobs()) if is_pattern(word) else [require_one(word, read.find_jobs(word))]


def seconds_of(text: str | None) -> float | None:
    """A time as Unix seconds; a distance without a sign is one ago."""
    if text is None:
        return None
    text = f"-{text}" if _AGO.fullmatch(text) else text
    return time_input.moment(
        text, clock.now(), machine.load_zone(machine.local_zone_name(os.environ))
    ).at.timestamp()


def span(wanted: Namespace) -> tuple[float | None, float | None]:
    """From --since up to --until."""
    return seconds_of(wanted.since), seconds_of(wanted.until)


def states(text: str) -> tuple[str, ...]:
    """States by their names, `failed` being any that is not well, `ok` succeeded."""
    meant = {"failed": BAD_ENDS, "ok": {"succeeded"}}
    known = [state.value for state in State]
    found: set[str] = set()
    for word in text.split(","):
        if word not in meant and word not in known:
            raise ArgumentTypeError(f"'{word}' is no state (known: {', '.join(known)})")
        found |= meant.get(word, {word})
    return tuple(sorted(found))
