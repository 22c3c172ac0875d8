"""The selection of jobs, runs and periods by words of the command line."""

import re
from argparse import ArgumentTypeError, Namespace
from collections.abc import Sequence

from pycrond import clock
from pycrond.cli import time_input
from pycrond.control.records import Records
from pycrond.errors import PycrondError
from pycrond.host import machine
from pycrond.jobs.run import BAD_ENDS, State
from pycrond.ledger.job_words import matching_keys, require_one
from pycrond.ledger.rows import JobRow
from pycrond.ledger.shared_reader import SharedReader

_AGO = re.compile(r"(?:[0-9]{1,9}[smhdw])+")


def is_pattern(word: str) -> bool:
    return any(char in word for char in "*?[")


def matching_jobs(word: str, jobs: Sequence[JobRow]) -> list[str]:
    """Return the keys of all loaded jobs that a word or a pattern names; raise PycrondError if none."""
    if not is_pattern(word):
        keys = matching_keys(
            word, ((job.key, job.name, f"{job.file}:{job.line}", job.command) for job in jobs)
        )
    else:
        from fnmatch import fnmatchcase

        with_user = "/" in word
        keys = [
            job.key
            for job in jobs
            if fnmatchcase(job.label if with_user else job.title, word)
            or (not job.name and fnmatchcase(job.key if with_user else job.key.partition("/")[2], word))
        ]
    if not keys:
        raise PycrondError(f"no job is called '{word}' (see 'pycrond list')")
    return keys


def find_job(records: SharedReader, word: str) -> str:
    """Return the key of the job that a word names, loaded or not; raise PycrondError unless it is a single
    job.
    """
    keys = records.find_jobs(word)
    labels = {job.key: job.label for job in records.jobs()} if len(keys) > 1 else {}
    return require_one(word, keys, [labels.get(key, key) for key in keys])


def find_jobs(records: Records, word: str | None) -> list[str] | None:
    """Return the key of the job that a word names, or the keys that a pattern matches; None for all jobs."""
    if word is None:
        return None
    return matching_jobs(word, records.jobs()) if is_pattern(word) else [find_job(records, word)]


def unix_time(text: str | None) -> float | None:
    """Return a time as Unix seconds; a distance without a sign lies in the past."""
    if text is None:
        return None
    text = f"-{text}" if _AGO.fullmatch(text) else text
    return time_input.moment(text, clock.now(), machine.local_zone()).at.timestamp()


def period(options: Namespace) -> tuple[float | None, float | None]:
    """Return --since and --until as Unix seconds."""
    return unix_time(options.since), unix_time(options.until)


def states(text: str) -> tuple[str, ...]:
    """Parse names of states, as the `type` of an argument; `failed` is every bad end, `ok` is succeeded."""
    groups = {"failed": BAD_ENDS, "ok": {State.SUCCEEDED}}
    selected: set[str] = set()
    for word in text.split(","):
        if word not in groups and word not in [*State]:
            raise ArgumentTypeError(f"'{word}' is no state (known: {', '.join(State)})")
        selected |= groups.get(word, {word})
    return tuple(sorted(selected))
