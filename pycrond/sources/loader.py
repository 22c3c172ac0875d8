"""From the crontab directories to jobs: reads what has changed, keeps what ran where an edit is broken."""

import os
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from pycrond import clock
from pycrond.errors import MissingError, Problem, RefusedError
from pycrond.host import machine, users
from pycrond.jobs.job import Account, Job
from pycrond.settings import Settings
from pycrond.sources import files as crontab_files
from pycrond.sources import source, watch
from pycrond.sources import system as system_crontabs
from pycrond.sources.last_good import LastGood
from pycrond.sources.source import Source
from pycrond.sources.watch import FileStamp, Watch
from pycrond.text import counted

TICK = 0.05  # seconds, several of the ticks that a file's times are taken from
STILL = 0.02  # seconds for which a file that has changed has to look the same before it is read


@dataclass(frozen=True, slots=True)
class Loaded:
    """What one reading of all crontabs led to."""

    by_key: Mapping[str, Job] = field(default_factory=dict)  # in the order of the files
    problems: tuple[Problem, ...] = ()
    files: int = 0  # that were read
    tabs: tuple[Source, ...] = ()
    accounts: Mapping[str, Account] = field(default_factory=dict)  # of every user that has a job, by name

    @property
    def jobs(self) -> tuple[Job, ...]:
        return tuple(self.by_key.values())

    @property
    def kept(self) -> tuple[str, ...]:
        """Files with errors that keep their last good version."""
        return tuple(tab.file for tab in self.tabs if tab.kept)

    def __str__(self) -> str:
        return f"{counted(len(self.by_key), 'job')} from {counted(self.files, 'file')}"


class Loader:
    """The crontabs that a daemon is to read, and what it read of them."""

    def __init__(
        self, settings: Settings, account: Account, *, read_only: bool = False, seed: str | None = None
    ) -> None:
        """`account` is the daemon's own; with `read_only` no last good version is kept. `seed` tells this
        machine from others.
        """
        self.account = account
        self.watched = settings.watch or settings.system
        self.dialect = settings.dialect
        if settings.dialect == "auto":
            self.dialect = machine.dialect(settings.root) if settings.system else "cronie"
        self._directories = [os.path.normpath(directory) for directory in settings.crontabs]
        self._root = settings.root if settings.system else None
        self._last_good = LastGood(settings.last_good_dir, read_only=read_only)
        self._rules = source.ParseRules(
            self.dialect, machine.identity() if seed is None else seed, self.account.name
        )
        self._watch = Watch()
        self._tabs: dict[str, Source] = {}
        self._changed: frozenset[FileStamp] = frozenset()
        self._changed_at = 0.0  # by clock.elapsed, when it came to look so
        self._written: set[str] = set()  # what has changed again just now

    def have_changed(self) -> bool:
        """Whether any file, or a folder of them, looks other than when they were read."""
        return bool(self._watch.changed(self._places))

    def still_in(self, elapsed: float, at: datetime | None = None) -> float:
        """Seconds until nothing that has changed has been written for a moment, if that goes on. With `at`,
        what by its own times had not been written for a moment then need not be looked at twice.

        What an editor or a script is writing in place is for that moment an empty file, or half of one.
        """
        changed = self._watch.changed(self._places)
        if changed != self._changed:
            self._written = {mark.path for mark in changed ^ self._changed}
            self._changed, self._changed_at = changed, elapsed
        latest = max((mark.ctime_ns for mark in changed), default=0) / 1e9
        is_old = at is not None and latest <= at.timestamp() - STILL
        wait = max(0.0, self._changed_at + STILL - elapsed) if changed and not is_old else 0.0
        if not wait:
            self._written = set()
        return wait

    def load(self) -> Loaded:
        """Read what has changed and, as far as `still_in` knows, is whole.

        Never raises for what the files say, are, or forbid.
        """
        self._watch.note(self._places, self._written)  # what changes while we read is read once more
        reading = _Reading(self._last_good, self.account, self._rules, self._tabs, self._written)
        self._changed, self._written = frozenset(), set()
        if self._root is not None:
            reading.system(self._root)
        for directory in self._directories:
            reading.directory(directory)
        if reading.complete:
            self._last_good.forget_all_but(reading.files)
        self._tabs = reading.tabs
        found, by_key = source.in_force(reading.known, self.account.name)
        return Loaded(by_key, tuple(reading.problems), len(reading.files), tuple(found), reading.accounts)

    @property
    def _places(self) -> list[str]:
        return [*self._directories, *([] if self._root is None else system_crontabs.places(self._root))]


@dataclass(slots=True)
class _Reading:
    """What has been found so far."""

    last_good: LastGood
    account: Account
    rules: source.ParseRules
    before: Mapping[str, Source]
    written: Collection[str]
    """Files that are not to be read just now."""
    tabs: dict[str, Source] = field(default_factory=dict)
    """As they were read, whether or not there are such users."""
    known: list[Source] = field(default_factory=list)
    """The same without the jobs of users that there are not."""
    problems: list[Problem] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    accounts: dict[str, Account] = field(default_factory=dict)
    complete: bool = True

    def __post_init__(self) -> None:
        self.accounts[self.account.name] = self.account

    def directory(self, directory: str) -> None:
        try:
            found, skipped = crontab_files.find(directory)
        except MissingError as error:
            stay = [tab for file, tab in self.before.items() if os.path.dirname(file) == directory]
            self.complete = False
            count = sum(len(tab.jobs) for tab in stay)
            note = f"; its {count} jobs go on as they were" if stay else ""
            self._trouble(directory, "missing", f"{error}{note}")
            for tab in stay:
                self._use(replace(tab, mark=None, problems=()))
        except RefusedError as error:
            self._trouble(directory, "refused", str(error))
        else:
            self.problems += skipped
            for file in found:
                self._file(file, self.account.name)

    def system(self, root: str) -> None:
        """What the system's own cron would read."""
        rules = system_crontabs.RULES[self.rules.dialect]
        found, skipped = system_crontabs.find(root, rules)
        self.problems += skipped
        for tab in found:
            self._file(tab.file, tab.user, system_crontabs.refusal(tab, rules))

    def _file(self, file: str, owner: str | None, why_not: crontab_files.Refusal | None = None) -> None:
        """A file of a user's, or with None one that has a user column."""
        self.files.append(file)
        before, mark = self.before.get(file), _lasting(watch.mark(file))
        if before and file in self.written:
            self._use(before)
            self._trouble(
                file,
                "written",
                "is written all the time: what was read of it before goes on until the next look",
            )
            return
        if before and before.mark == mark is not None:
            self._use(before)
            return
        try:
            text = crontab_files.read(file, why_not)
            if not (before or text.strip()) and self.last_good.text(file):
                time.sleep(STILL)  # at a start there is nothing yet to be late with
                text = crontab_files.read(file, why_not)
        except RefusedError as error:
            self._trouble(file, "refused", str(error))
        else:
            self._use(self._tab(text, file, owner, mark))

    def _tab(self, text: bytes, file: str, owner: str | None, mark: FileStamp | None) -> Source:
        is_roots = os.stat(file).st_uid == 0
        new = self.rules.read(text, file, owner, mark, is_roots=is_roots)
        if new.is_good:
            try:
                self.last_good.keep(file, text)
            except OSError as error:
                message = f"cannot be kept as the last good version: {error.strerror}"
                problem = _of_file(file, "not-kept", message)
                return replace(new, mark=None, problems=(*new.problems, problem))
            return new
        good = self.last_good.text(file)
        if good is None:
            return new
        message = "has errors: its last good version goes on running until it is repaired"
        problems = (*new.problems, _of_file(file, "kept", message))
        old = self.rules.read(good, file, owner, mark, is_roots=is_roots)
        return replace(old, problems=problems, kept=True)

    def _use(self, tab: Source) -> None:
        """The jobs of a user whom the machine does not know are left out, with an error, until it does."""
        self.tabs[tab.file] = tab
        for name in tab.users - self.accounts.keys():
            if account := users.named(name):
                self.accounts[name] = account
        unknown = tab.users - self.accounts.keys()
        self.known.append(source.without(tab, unknown) if unknown else tab)
        self.problems += self.known[-1].problems

    def _trouble(self, file: str, code: str, message: str) -> None:
        self.problems.append(_of_file(file, code, message))


def _of_file(file: str, code: str, message: str) -> Problem:
    return Problem(file, 0, 0, "error", code, message)


def _lasting(mark: FileStamp) -> FileStamp | None:
    """None if the file could be written again and look the same: the clock of its times has coarse ticks."""
    changed_at = mark.ctime_ns / 1e9
    return None if 0 <= clock.now().timestamp() - changed_at < TICK else mark
