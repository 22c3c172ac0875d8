"""Loading jobs from crontab files: changed files are read, files with errors keep their last good version."""

import errno
import os
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from pycrond import clock
from pycrond.errors import MissingDirectoryError, Problem, TooLargeError, UnreadableError, os_reason
from pycrond.host import machine, users
from pycrond.jobs.job import Account
from pycrond.settings import Settings
from pycrond.sources import files as crontab_files
from pycrond.sources import system as system_crontabs
from pycrond.sources.last_good import LastGood
from pycrond.sources.limits import NO_LIMITS, CrontabLimits
from pycrond.sources.load_result import LoadResult
from pycrond.sources.source import Source, SourceParser, merge, without_users
from pycrond.sources.watch import FileStamp, Watch, file_stamp

TIMESTAMP_TICK = 0.05  # seconds, several ticks of the clock of file times
PASSING_ERRORS = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO}  # they say nothing about a crontab
SETTLE_TIME = 0.02  # seconds for which a changed file must stay the same before it is read


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
        self.dialect = system_crontabs.dialect_of(settings)
        self.directories = [os.path.normpath(directory) for directory in settings.crontabs]
        self._root = settings.root if settings.system else None
        self._last_good = LastGood(settings.last_good_dir, read_only=read_only)
        self._parser = SourceParser(
            self.dialect, machine.machine_id() if seed is None else seed, self.account.name
        )
        self._limits = CrontabLimits(
            settings.max_crontab_size << 10 or crontab_files.MAX_BYTES, settings.max_crontab_entries
        )
        """Of the crontabs of users other than root, in the spool."""
        self.watch = Watch()
        self._sources: dict[str, Source] = {}  # by file
        self._changed: frozenset[FileStamp] = frozenset()  # when they were last compared
        self._changed_at = 0.0  # by clock.elapsed, the last time that `_changed` became different
        self._unstable: set[str] = set()  # files that changed since the comparison before
        self._done: set[str] = set()  # files that were read since all changes were known to be read

    def has_changes(self) -> bool:
        """Return whether any file or directory has changed since it was read."""
        return bool(self.watch.changed(self._paths))

    def seconds_until_stable(self, elapsed: float, at: datetime | None = None) -> float:
        """Return the seconds until all changed files have stayed the same for `SETTLE_TIME`, if they do so.

        A file that an editor or a script writes in place is for a moment empty or incomplete. With `at`,
        files whose own times are old enough at that time need no second comparison.
        """
        changed = self.watch.changed(self._paths)
        if changed != self._changed:
            self._unstable = {stamp.path for stamp in changed ^ self._changed}
            self._changed, self._changed_at = changed, elapsed
        latest = max((stamp.ctime_ns for stamp in changed), default=0) / 1e9
        is_old = at is not None and latest <= at.timestamp() - SETTLE_TIME
        wait = max(0.0, self._changed_at + SETTLE_TIME - elapsed) if changed and not is_old else 0.0
        if not wait:
            self._unstable = set()
        return wait

    def begin_again(self) -> None:
        """Have the next calls of `load` also read files that were read by the calls before, and changed."""
        self._done = set()

    def changed_size(self, most: int) -> int:
        """Return the bytes of the changed files that `load` reads with this limit."""
        chosen, _ = self._choose(most)
        return sum(file_stamp(file).size for file in chosen)

    def _choose(self, most: int | None) -> tuple[list[str], set[str]]:
        """Return the changed files that are read now, the smallest up to `most` bytes, and the others."""
        changed = {stamp.path for stamp in self.watch.changed(self._paths)} - {*self._paths}
        new = sorted((file_stamp(file).size, file) for file in changed - self._done)
        if most is None:
            return [file for _, file in new], set()
        total, chosen = 0, list[str]()
        for size, file in new:
            total += size
            if chosen and total > most:
                break
            chosen.append(file)
        return chosen, changed.difference(chosen)

    def load(self, most: int | None = None) -> LoadResult:
        """Read the files that have changed and, as far as `seconds_until_stable` knows, are complete.

        With `most`, read so many bytes, but at least one file; the next calls read the rest, and no file a
        second time. Never raises for the content, the kind or the permissions of a file.
        """
        chosen, waiting = self._choose(most)
        # Before reading: later changes are seen next time.
        self.watch.record(self._paths, self._unstable | waiting)
        is_complete = waiting <= self._done
        waiting |= self._done & self._sources.keys()
        self._done = set() if is_complete else self._done.union(chosen)
        reading = _Reading(
            self._last_good, self.account, self._parser, self._sources, self._unstable, waiting, self._limits
        )
        self._changed, self._unstable = frozenset(), set()
        if self._root is not None:
            reading.read_system(self._root)
        for directory in self.directories:
            reading.read_directory(directory)
        if reading.complete:
            self._last_good.prune([name for file in reading.files for name in (file, f"{file}\0")])
        self._sources = reading.sources
        sources, by_key = merge(reading.with_known_users, self.account.name)
        return LoadResult(
            *(by_key, tuple(reading.problems), len(reading.files), tuple(sources), reading.accounts),
            is_complete=is_complete,
        )

    @property
    def _paths(self) -> list[str]:
        system = [] if self._root is None else system_crontabs.system_paths(self._root)
        return [*self.directories, *system]


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
    waiting: Collection[str]
    """Files that are read later."""
    limits: CrontabLimits
    """Of the crontabs of users other than the daemon's and root."""
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
            count = self._keep_jobs_of(directory)
            note = f"; its {count} jobs go on as they were" if count else ""
            self._add_error(directory, "missing", f"{error}{note}")
        except UnreadableError as error:
            self._add_error(directory, "refused", str(error))
        else:
            self.problems += skipped
            for file in files:
                self._read_file(file, self.account.name, crontab_files.OWN_CHECK)

    def _keep_jobs_of(self, directory: str) -> int:
        """Keep the jobs of a directory that cannot be read now; return their number."""
        remaining = [source for file, source in self.before.items() if os.path.dirname(file) == directory]
        self.complete = False
        for source in remaining:
            self._add(replace(source, file_stamp=None, problems=()))
        return sum(len(source.jobs) for source in remaining)

    def read_system(self, root: str) -> None:
        """Read the crontabs that the system's own cron would read."""
        rules = system_crontabs.RULES[self.parser.dialect]
        crontabs, skipped = system_crontabs.list_system_crontabs(root, rules)
        self.problems += skipped
        for problem in (problem for problem in skipped if problem.code == "missing"):
            self._keep_jobs_of(problem.file)
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
        elif before and (file in self.waiting or before.file_stamp == stamp is not None):
            self._add(before)
        elif file not in self.waiting:
            self._read_changed_file(file, owner, check, stamp)

    def _read_changed_file(
        self,
        file: str,
        owner: str | None,
        check: crontab_files.PermissionCheck,
        stamp: FileStamp | None,
    ) -> None:
        before = self.before.get(file)
        max_size = self._limits_of(owner).size
        try:
            text, uid = crontab_files.read_with_owner(file, check, max_size=max_size)
            if not (before or text.strip()) and self.last_good.load(self._saved_name(file, uid)):
                time.sleep(SETTLE_TIME)  # it may be being written; at a start nothing else is delayed by this
                text, uid = crontab_files.read_with_owner(file, check, max_size=max_size)
        except TooLargeError as error:
            setting = "" if max_size == crontab_files.MAX_BYTES else " (setting max-crontab-size)"
            problems = (_file_error(file, "beyond-limit", f"{error}{setting}"),)
            new = Source(file, stamp, (), problems, frozenset(), "")
            self._add(self._with_last_good(new, error.uid, owner))
        except UnreadableError as error:
            cause = error.__cause__
            if before and isinstance(cause, OSError) and cause.errno in PASSING_ERRORS:
                self._add(replace(before, file_stamp=None))
                self._add_error(file, "not-read", f"{error}: its previous content runs on")
            else:
                self._add_error(file, "refused", str(error))
        else:
            self._add(self._parse(text, uid, file, owner, stamp))

    def _saved_name(self, file: str, uid: int) -> str:
        """Return the name of a last good text: a text of the job's user is not that of root's file."""
        return file if uid == self.account.uid else f"{file}\0"

    def _limits_of(self, owner: str | None) -> CrontabLimits:
        """Return the limits of a crontab: root's own, and those of the daemon's user, have none."""
        if owner in {None, self.account.name}:
            return NO_LIMITS
        account = users.by_name(owner or "")
        return self.limits if account is None or account.uid else NO_LIMITS

    def _parse(self, text: bytes, uid: int, file: str, owner: str | None, stamp: FileStamp | None) -> Source:
        """Parse the text of a file that belongs to `uid`, or the last good one of the same owner."""
        limits, before = self._limits_of(owner), self.before.get(file)
        if before and before.is_good and before.stamp == self.parser.stamp(text, owner, limits):
            return replace(before, file_stamp=stamp)  # it was touched
        new = self.parser.parse(text, file, owner, stamp, limits=limits)
        if not new.is_good:
            return self._with_last_good(new, uid, owner)
        try:
            self.last_good.save(self._saved_name(file, uid), text)
        except OSError as error:
            message = f"cannot be saved as the last good version: {os_reason(error)}"
            problem = _file_error(file, "not-kept", message)
            return replace(new, file_stamp=None, problems=(*new.problems, problem))
        return new

    def _with_last_good(self, new: Source, uid: int, owner: str | None) -> Source:
        """Return the last good version of a crontab with errors, and these errors; else `new`."""
        good = self.last_good.load(self._saved_name(new.file, uid))
        if good is None:
            return new
        message = "has errors: its last good version goes on running until it is repaired"
        problems = (*new.problems, Problem(new.file, 0, 0, "warning", "kept", message))
        old = self.parser.parse(good, new.file, owner, new.file_stamp, limits=self._limits_of(owner))
        return replace(old, problems=problems, further_errors=new.further_errors, uses_last_good=True)

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
