"""From the crontab directories to jobs: reads everything, keeps what ran where an edit is broken."""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from pycrond import crontab, machine, sources, systemtabs, users
from pycrond.account import Account
from pycrond.errors import MissingError, Problem, RefusedError
from pycrond.job import Entry, Job, jobs
from pycrond.lastgood import LastGood
from pycrond.logtext import counted
from pycrond.options import from_json, to_json
from pycrond.rows import JobRow, storable
from pycrond.settings import Settings
from pycrond.stored import from_text, to_text
from pycrond.watch import Watch


@dataclass(frozen=True, slots=True)
class Loaded:
    """What one reading of all crontabs led to."""

    jobs: tuple[Job, ...]
    problems: tuple[Problem, ...]
    files: int  # that were read
    kept: tuple[str, ...]  # files with errors that keep their last good version
    accounts: Mapping[str, Account] = field(default_factory=dict)  # of every user that has a job, by name

    def __str__(self) -> str:
        return f"{counted(len(self.jobs), 'job')} from {counted(self.files, 'file')}"


def load(
    directories: Iterable[str],
    last_good: LastGood,
    account: Account,
    seed: str,
    running: Iterable[Job] = (),
    *,
    dialect: str = "cronie",
    root: str | None = None,
) -> Loaded:
    """Read every crontab there is. Never raises for what the files say, are, or forbid.

    `seed` tells this machine from others (hashed schedules). `running` are the jobs until now: those of a
    directory that has vanished stay. With a `root` the system's crontabs below it are read as well.
    """
    reading = _Reading(last_good, account, seed, dialect)
    if root is not None:
        reading.system(root)
    for directory in directories:
        reading.directory(os.path.normpath(directory), running)
    if reading.complete:
        last_good.forget_all_but(reading.files)
    made = tuple(jobs(reading.entries, account.name))
    problems = tuple(reading.problems)
    return Loaded(made, problems, len(reading.files), tuple(reading.kept), reading.accounts)


@dataclass(slots=True)
class _Reading:
    """What has been found so far."""

    last_good: LastGood
    account: Account
    seed: str
    dialect: str
    entries: list[Entry] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    accounts: dict[str, Account] = field(default_factory=dict)
    complete: bool = True
    _is_roots: bool = False  # the file that is being read

    def __post_init__(self) -> None:
        self.accounts[self.account.name] = self.account

    def directory(self, directory: str, running: Iterable[Job]) -> None:
        try:
            found, skipped = sources.find(directory)
        except MissingError as error:
            stay = [job.entry for job in running if os.path.dirname(job.entry.file) == directory]
            self.entries += stay
            self.complete = False
            note = f"; its {len(stay)} jobs go on as they were" if stay else ""
            self._trouble(directory, "missing", f"{error}{note}")
        except RefusedError as error:
            self._trouble(directory, "refused", str(error))
        else:
            self.problems += skipped
            for file in found:
                self._file(file, self.account.name)

    def system(self, root: str) -> None:
        """What the system's own cron would read."""
        rules = systemtabs.RULES[self.dialect]
        found, skipped = systemtabs.find(root, rules)
        self.problems += skipped
        for tab in found:
            self._file(tab.file, tab.user, systemtabs.refusal(tab, rules))

    def _file(self, file: str, owner: str | None, why_not: sources.Refusal | None = None) -> None:
        """A file of a user's, or with None one that has a user column."""
        self.files.append(file)
        try:
            text = sources.read(file, why_not)
        except RefusedError as error:
            self._trouble(file, "refused", str(error))
            return
        self._is_roots = os.stat(file).st_uid == 0
        new = self._parse(text, file, owner)
        self.problems += new.problems
        if all(problem.severity == "warning" for problem in new.problems):
            self._keep(file, text)
            self._add(new.entries, owner)
            return
        before = self.last_good.text(file)
        if before is None:
            self._add(new.entries, owner)
            return
        self.kept.append(file)
        self._trouble(file, "kept", "has errors: its last good version goes on running until it is repaired")
        self._add(self._parse(before, file, owner).entries, owner)

    def _add(self, entries: Iterable[Entry], owner: str | None) -> None:
        """An entry whose user the machine does not know is left out, with an error, until it does."""
        for entry in entries:
            name = entry.user or owner or ""
            account = self.accounts.get(name) or users.named(name)
            if account:
                self.accounts[name] = account
                known = entry.user or account is self.account
                self.entries.append(self._with_own_lock(entry if known else replace(entry, user=name)))
            else:
                message = f"not run, there is no user '{name}'"
                self.problems.append(Problem(entry.file, entry.line, 0, "error", "unknown-user", message))

    def _with_own_lock(self, entry: Entry) -> Entry:
        """A lock of all users is for crontabs that belong to root."""
        lock = entry.options.lock
        if not lock or not lock.startswith("global:") or self._is_roots:
            return entry
        own = lock.removeprefix("global:")
        message = f"lock={lock} is for crontabs that belong to root: this is the user's own lock {own}"
        self.problems.append(Problem(entry.file, entry.line, 0, "warning", "bad-lock", message))
        return replace(entry, options=replace(entry.options, lock=own))

    def _keep(self, file: str, text: bytes) -> None:
        try:
            self.last_good.keep(file, text)
        except OSError as error:
            message = f"cannot be kept as the last good version: {error.strerror}"
            self._trouble(file, "not-kept", message)

    def _parse(self, text: bytes, file: str, owner: str | None) -> crontab.Crontab:
        return crontab.parse(
            text,
            file,
            system=owner is None,
            dialect=self.dialect,
            user=owner or "",
            seed=self.seed,
        )

    def _trouble(self, file: str, code: str, message: str) -> None:
        self.problems.append(Problem(file, 0, 0, "error", code, message))


class Crontabs:
    """The crontabs that a daemon is to read, and how they looked when it read them."""

    def __init__(self, settings: Settings, account: Account, *, read_only: bool = False) -> None:
        """`account` is the daemon's own; with `read_only` no last good version is kept."""
        self.account = account
        self.watched = settings.watch or settings.system
        self.dialect = settings.dialect
        if settings.dialect == "auto":
            self.dialect = machine.dialect(settings.root) if settings.system else "cronie"
        self._directories = settings.crontabs
        self._root = settings.root if settings.system else None
        self._last_good = LastGood(os.path.join(settings.state_dir, "crontabs"), read_only=read_only)
        self._seed = machine.identity()
        self._watch = Watch()

    def load(self, running: Iterable[Job]) -> Loaded:
        """Read them all; `running` are the jobs until now."""
        self.have_changed()  # what changes while we read is read once more
        return load(
            self._directories,
            self._last_good,
            self.account,
            self._seed,
            running,
            dialect=self.dialect,
            root=self._root,
        )

    def have_changed(self) -> bool:
        """Since this was asked last, or since they were read."""
        system = [] if self._root is None else systemtabs.places(self._root)
        return self.watched and self._watch.has_changed([*self._directories, *system])


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


def job_of(row: JobRow) -> Job:
    """The job again, as far as the ledger has it: not its environment nor its standard input."""
    entry = Entry(
        row.file,
        row.line,
        row.user,
        from_text(row.canonical) if row.canonical else None,
        row.schedule,
        row.zone,
        row.command,
        "",
        (),
        from_json(json.loads(row.options)),
    )
    return Job(row.key, row.user, entry)
