"""From the crontab directories to jobs: reads everything, keeps what ran where an edit is broken."""

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field

from pycrond import crontab, sources
from pycrond.account import Account
from pycrond.errors import Problem
from pycrond.job import Entry, Job, jobs
from pycrond.lastgood import LastGood
from pycrond.logtext import counted
from pycrond.options import to_json
from pycrond.rows import JobRow, storable
from pycrond.stored import to_text


@dataclass(frozen=True, slots=True)
class Loaded:
    """What one reading of all crontabs led to."""

    jobs: tuple[Job, ...]
    problems: tuple[Problem, ...]
    files: int  # that were read
    kept: tuple[str, ...]  # files with errors that keep their last good version

    def __str__(self) -> str:
        return f"{counted(len(self.jobs), 'job')} from {counted(self.files, 'file')}"


def load(
    directories: Iterable[str], last_good: LastGood, account: Account, seed: str, running: Iterable[Job] = ()
) -> Loaded:
    """Read every crontab there is. Never raises for what the files say, are, or forbid.

    `seed` tells this machine from others (hashed schedules). `running` are the jobs until now: those of a
    directory that has vanished stay.
    """
    reading = _Reading(last_good, account, seed)
    for directory in directories:
        reading.directory(os.path.normpath(directory), running)
    if reading.complete:
        last_good.forget_all_but(reading.files)
    made = tuple(jobs(reading.entries, account.name))
    return Loaded(made, tuple(reading.problems), len(reading.files), tuple(reading.kept))


@dataclass(slots=True)
class _Reading:
    """What has been found so far."""

    last_good: LastGood
    account: Account
    seed: str
    entries: list[Entry] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    complete: bool = True

    def directory(self, directory: str, running: Iterable[Job]) -> None:
        try:
            found, skipped = sources.find(directory)
        except sources.MissingError as error:
            stay = [job.entry for job in running if os.path.dirname(job.entry.file) == directory]
            self.entries += stay
            self.complete = False
            note = f"; its {len(stay)} jobs go on as they were" if stay else ""
            self._trouble(directory, "missing", f"{error}{note}")
        except sources.RefusedError as error:
            self._trouble(directory, "refused", str(error))
        else:
            self.problems += skipped
            self.files += found
            for file in found:
                self._file(file)

    def _file(self, file: str) -> None:
        try:
            text = sources.read(file)
        except sources.RefusedError as error:
            self._trouble(file, "refused", str(error))
            return
        new = self._parse(text, file)
        self.problems += new.problems
        if all(problem.severity == "warning" for problem in new.problems):
            self._keep(file, text)
            self.entries += new.entries
            return
        before = self.last_good.text(file)
        if before is None:
            self.entries += new.entries
            return
        self.kept.append(file)
        self._trouble(file, "kept", "has errors: its last good version goes on running until it is repaired")
        self.entries += self._parse(before, file).entries

    def _keep(self, file: str, text: bytes) -> None:
        try:
            self.last_good.keep(file, text)
        except OSError as error:
            message = f"cannot be kept as the last good version: {error.strerror}"
            self._trouble(file, "not-kept", message)

    def _parse(self, text: bytes, file: str) -> crontab.Crontab:
        return crontab.parse(text, file, user=self.account.name, seed=self.seed)

    def _trouble(self, file: str, code: str, message: str) -> None:
        self.problems.append(Problem(file, 0, 0, "error", code, message))


def job_row(job: Job, zone: str) -> JobRow:
    """A job as the ledger keeps it; `zone` is the daemon's."""
    entry = job.entry
    return JobRow(
        job.key,
        entry.options.name,
        job.user,
        storable(entry.file),
        entry.line,
        storable(entry.schedule_text),
        to_text(entry.schedule) if entry.schedule else None,
        entry.zone or zone,
        storable(entry.command),
        json.dumps(to_json(entry.options)),
    )
