"""Loading jobs from crontab files: changed files are read, files with errors keep their last good version."""

import os
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from pycrond import clock
from pycrond.errors import MissingDirectoryError, Problem, UnreadableError
from pycrond.host import machine, users
from pycrond.jobs.job import Account, Job
from pycrond.settings import Settings
from pycrond.sources import files as crontab_files
from pycrond.sources import system as system_crontabs
from pycrond.sources.last_good import LastGood
from pycrond.sources.source import Source, SourceParser, merge, without_users
from pycrond.sources.watch import FileStamp, Watch, file_stamp
from pycrond.text import counted

TIMESTAMP_TICK = 0.05  # seconds, several ticks of the clock of file times
SETTLE_TIME = 0.02  # seconds for which a changed file must stay the same before it is read


@dataclass(frozen=True, slots=True)
class LoadResult:
    """The jobs and problems of all crontabs."""

    by_key: Mapping[str, Job] = field(default_factory=dict)  # in the order of the files
    problems: tuple[Problem, ...] = ()
    files: int = 0  # the number of files read
    sources: tuple[Source, ...] = ()
    accounts: Mapping[str, Account] = field(default_factory=dict)  # of every user with a job, by name

    @property
    def jobs(self) -> tuple[Job, ...]:
        return tuple(self.by_key.values())

    @property
    def kept(self) -> tuple[str, ...]:
        """The files with errors whose last good version runs."""
        return tuple(source.file for source in self.sources if source.uses_last_good)

    def __str__(self) -> str:
        return f"{counted(len(self.by_key), 'job')} from {counted(self.files, 'file')}"


class Loader:
    """The crontabs of a daemon, and their content when they were last read."""

    def __init__(
        self, settings: Settings, account: Account, *, read_only: bool = False, seed: str | None = None
    ) -> None:
        """`account` is the daemon's user. With `read_only` no last good version is saved. `seed` replaces the
        machine's id.
        """
        self.account = account
        self.watched = settings.watch or settings.system
        self.dialect = settings.dialect
        if settings.dialect == "auto":
            self.dialect = machine.detect_dialect(settings.root) if settings.system else "cronie"
        self._directories = [os.path.normpath(directory) for directory in settings.crontabs]
        self._root = settings.root if settings.system else None
        self._last_good = LastGood(settings.last_good_dir, read_only=read_only)
        self._parser = SourceParser(
            self.dialect, machine.machine_id() if seed is None else seed, self.account.name
        )
        self._watch = Watch()
        self._sources: dict[str, Source] = {}  # by file
        self._changed: frozenset[FileStamp] = frozenset()  # when they were last compared
        self._changed_at = 0.0  # by clock.elapsed, the last time that `_changed` became different
        self._unstable: set[str] = set()  # files that changed since the comparison before

    def has_changes(self) -> bool:
        """Return whether any file or directory has changed since it was read."""
        return bool(self._watch.changed(self._paths))

    def seconds_until_stable(self, elapsed: float, at: datetime | None = None) -> float:
        """Return the seconds until all changed files have stayed the same for `SETTLE_TIME`, if they do so.

        A file that an editor or a script writes in place is for a moment empty or incomplete. With `at`,
        files whose own times are old enough at that time need no second comparison.
        """
        changed = self._watch.changed(self._paths)
        if changed != self._changed:
            self._unstable = {stamp.path for stamp in changed ^ self._changed}
            self._changed, self._changed_at = changed, elapsed
        latest = max((stamp.ctime_ns for stamp in changed), default=0) / 1e9
        is_old = at is not None and latest <= at.timestamp() - SETTLE_TIME
        wait = max(0.0, self._changed_at + SETTLE_TIME - elapsed) if changed and not is_old else 0.0
        if not wait:
            self._unstable = set()
        return wait

    def load(self) -> LoadResult:
        """Read the files that have changed and, as far as `seconds_until_stable` knows, are complete.

        Never raises for the content, the kind or the permissions of a file.
        """
        self._watch.record(self._paths, self._unstable)  # before reading: later changes are seen next time
        reading = _Reading(self._last_good, self.account, self._parser, self._sources, self._unstable)
        self._changed, self._unstable = frozenset(), set()
        if self._root is not None:
            reading.read_system(self._root)
        for directory in self._directories:
            reading.read_directory(directory)
        if reading.complete:
            self._last_good.prune([name for file in reading.files for name in (file, f"{file}\0")])
        self._sources = reading.sources
        sources, by_key = merge(reading.with_known_users, self.account.name)
        return LoadResult(
            by_key, tuple(reading.problems), len(reading.files), tuple(sources), reading.accounts
        )

    @property
    def _paths(self) -> list[str]:
        system = [] if self._root is None else system_crontabs.system_paths(self._root)
        return [*self._directories, *system]


@dataclass(slots=True)
class _Reading:
    """The result of one reading of all crontabs so far."""

    last_good: LastGood
    account: Account
    parser: SourceParser
    before: Mapping[str, Source]
    """The sources of the reading before, by file."""
    unstable: Collection[str]
    """Files that are being written and must not be read now."""
    sources: dict[str, Source] = field(default_factory=dict)
    """The sources as they were read, by file."""
    with_known_users: list[Source] = field(default_factory=list)
    """The same without jobs of unknown users."""
    problems: list[Problem] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    accounts: dict[str, Account] = field(default_factory=dict)
    complete: bool = True
    """No directory is missing."""

    def __post_init__(self) -> None:
        self.accounts[self.account.name] = self.account

    def read_directory(self, directory: str) -> None:
        try:
            files, skipped = crontab_files.list_crontabs(directory)
        except MissingDirectoryError as error:
            remaining = [source for file, source in self.before.items() if os.path.dirname(file) == directory]
            self.complete = False
            count = sum(len(source.jobs) for source in remaining)
            note = f"; its {count} jobs go on as they were" if remaining else ""
            self._add_error(directory, "missing", f"{error}{note}")
            for source in remaining:
                self._add(replace(source, file_stamp=None, problems=()))
        except UnreadableError as error:
            self._add_error(directory, "refused", str(error))
        else:
            self.problems += skipped
            for file in files:
                self._read_file(file, self.account.name, crontab_files.OWN_CHECK)

    def read_system(self, root: str) -> None:
        """Read the crontabs that the system's own cron would read."""
        rules = system_crontabs.RULES[self.parser.dialect]
        crontabs, skipped = system_crontabs.list_system_crontabs(root, rules)
        self.problems += skipped
        for crontab in crontabs:
            self._read_file(crontab.file, crontab.user, system_crontabs.permission_check(crontab, rules))

    def _read_file(self, file: str, owner: str | None, check: crontab_files.PermissionCheck) -> None:
        """Read a crontab of the user `owner`, or with None one that has a user column."""
        self.files.append(file)
        before, stamp = self.before.get(file), _lasting_stamp(file)
        if before and file in self.unstable:
            self._add(before)
            message = "is being written all the time: its previous content runs on until the next look"
            self._add_error(file, "written", message)
            return
        if before and before.file_stamp == stamp is not None:
            self._add(before)
            return
        try:
            text, uid = crontab_files.read_with_owner(file, check)
            if not (before or text.strip()) and self.last_good.load(self._saved_name(file, uid)):
                time.sleep(SETTLE_TIME)  # it may be being written; at a start nothing else is delayed by this
                text, uid = crontab_files.read_with_owner(file, check)
        except UnreadableError as error:
            self._add_error(file, "refused", str(error))
        else:
            self._add(self._parse(text, uid, file, owner, stamp))

    def _saved_name(self, file: str, uid: int) -> str:
        """Return the name of a last good text: a text of the job's user is not that of root's file."""
        return file if uid == self.account.uid else f"{file}\0"

    def _parse(self, text: bytes, uid: int, file: str, owner: str | None, stamp: FileStamp | None) -> Source:
        """Parse the text of a file that belongs to `uid`, or the last good one of the same owner."""
        new = self.parser.parse(text, file, owner, stamp)
        if new.is_good:
            try:
                self.last_good.save(self._saved_name(file, uid), text)
            except OSError as error:
                message = f"cannot be saved as the last good version: {error.strerror}"
                problem = _file_error(file, "not-kept", message)
                return replace(new, file_stamp=None, problems=(*new.problems, problem))
            return new
        good = self.last_good.load(self._saved_name(file, uid))
        if good is None:
            return new
        message = "has errors: its last good version goes on running until it is repaired"
        problems = (*new.problems, _file_error(file, "kept", message))
        old = self.parser.parse(good, file, owner, stamp)
        return replace(old, problems=problems, uses_last_good=True)

    def _add(self, source: Source) -> None:
        """Add a source; jobs of unknown users are left out, with an error for each."""
        self.sources[source.file] = source
        for name in source.users - self.accounts.keys():
            if account := users.by_name(name):
                self.accounts[name] = account
        unknown = source.users - self.accounts.keys()
        self.with_known_users.append(without_users(source, unknown) if unknown else source)
        self.problems += self.with_known_users[-1].problems

    def _add_error(self, file: str, code: str, message: str) -> None:
        self.problems.append(_file_error(file, code, message))


def _file_error(file: str, code: str, message: str) -> Problem:
    return Problem(file, 0, 0, "error", code, message)


def _lasting_stamp(file: str) -> FileStamp | None:
    """Return the stamp of a file; None if it is so new that another change could leave it the same."""
    stamp = file_stamp(file)
    age = clock.now().timestamp() - stamp.ctime_ns / 1e9
    return None if 0 <= age < TIMESTAMP_TICK else stamp
