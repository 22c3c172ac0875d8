"""Loading jobs from crontab files: changed files are read, files with errors keep their last good version."""

import os
from datetime import datetime

from pycrond.host import machine
from pycrond.host.names import NAMES
from pycrond.jobs.job import Account
from pycrond.jobs.shared_identity import SharedIdentity
from pycrond.settings import Settings
from pycrond.sources import files as crontab_files
from pycrond.sources import system as system_crontabs
from pycrond.sources.last_good import LastGood
from pycrond.sources.limits import limits_of_users
from pycrond.sources.load_result import LoadResult
from pycrond.sources.reading import EMPTY_TIME, SETTLE_TIME, UNFINISHED_TIME, Reading
from pycrond.sources.source import Source, SourceParser, merge
from pycrond.sources.watch import FileStamp, file_stamp, stamps_of
from pycrond.text import counted


class Loader:
    """The crontabs of a daemon, and their content when they were last read."""

    def __init__(self, settings: Settings, account: Account, *, read_only: bool = False) -> None:
        """`account` is the daemon's user. With `read_only` no last good version is saved."""
        self.account = account
        self.watched = settings.watch or settings.system
        self.dialect = system_crontabs.dialect_of(settings)
        self.directories = [os.path.normpath(directory) for directory in settings.crontabs]
        self._root = settings.root if settings.system else None
        self._last_good = LastGood(settings.last_good_dir, read_only=read_only)
        identity = SharedIdentity() if settings.cluster else None
        self._parser = SourceParser(self.dialect, machine.machine_id(), account.name, identity)
        self._is_stale = False  # files were parsed for another identity of the cluster
        self._limits = limits_of_users(settings)
        self.recorded: frozenset[FileStamp] = frozenset()
        """The stamps of directories and files when they were last read."""
        self._sources: dict[str, Source] = {}  # by file
        self._changed: frozenset[FileStamp] = frozenset()  # the stamps that differed at the last comparison
        self._changed_at = 0.0  # clock.elapsed() when `_changed` last changed
        self._unstable: set[str] = set()  # files that changed between the last two comparisons
        self.has_more = False
        """True while changed files remain to be read."""
        self._done: set[str] = set()  # files read by earlier calls of `load` while others remain
        self._accounts: dict[str, Account] = {}  # of users with jobs, including deleted users
        self.known: set[str] = set()
        """Users that had an account when this daemon or the previous one loaded their jobs."""
        self._asked: set[str] = set()  # users that this reload has looked up

    @property
    def identity(self) -> SharedIdentity | None:
        """The identity of the cluster; None without a cluster. After it has changed, the next `load` reads
        the files with shared jobs again, and until then `has_changes` returns True.
        """
        return self._parser.cluster

    @identity.setter
    def identity(self, identity: SharedIdentity | None) -> None:
        if identity == self.identity:
            return
        self._parser = self._parser._replace(cluster=identity)
        for file, source in self._sources.items():
            if source.depends_on_identity:
                self._sources[file] = source._replace(file_stamp=None)
                self._is_stale = True

    def has_changes(self) -> bool:
        """Return whether a file, a directory or the cluster's identity has changed since the last reading."""
        return self._is_stale or bool(self._changes())

    def _changes(self) -> frozenset[FileStamp]:
        """Return the old and the new stamps of files and directories that changed since the last reading."""
        return stamps_of(self._paths) ^ self.recorded

    def seconds_until_stable(self, elapsed: float, at: datetime | None = None) -> float:
        """Return the seconds until the changed files can be read: they must not change for `SETTLE_TIME`, or
        for `EMPTY_TIME` if one of them had jobs and is empty.

        A file that an editor or a script writes in place is empty or incomplete for a moment. With `at`, the
        current time, files whose own change times are old enough can be read at once.
        """
        changed = self._changes()
        if changed != self._changed:
            self._unstable = {stamp.path for stamp in changed ^ self._changed}
            self._changed, self._changed_at = changed, elapsed
        latest = max((stamp.ctime_ns for stamp in changed), default=0) / 1e9
        settle_time = EMPTY_TIME if any(map(self._is_emptied, changed)) else SETTLE_TIME
        is_old = at is not None and latest <= at.timestamp() - settle_time
        wait = max(0.0, self._changed_at + settle_time - elapsed) if changed and not is_old else 0.0
        if not wait:
            self._unstable = set()
        return wait

    def _is_emptied(self, stamp: FileStamp) -> bool:
        source = self._sources.get(stamp.path)
        return not (stamp.error or stamp.size) and source is not None and bool(source.jobs)

    def begin_again(self) -> None:
        """Let the next calls of `load` read files again that changed after earlier calls had read them."""
        self._done = set()
        self._asked = set()

    @property
    def waited_for(self) -> frozenset[str]:
        """The users that `load` has looked up, and for which the name service has not answered yet."""
        return frozenset(filter(NAMES.is_waited_for, self._asked))

    def changed_size(self, max_size: int) -> int:
        """Return the bytes of the changed files that `load(max_size)` would read."""
        chosen, _ = self._choose(max_size)
        return sum(file_stamp(file).size for file in chosen)

    def _choose(self, max_size: int | None) -> tuple[list[str], set[str]]:
        """Return the changed files to read now, the smallest up to `max_size` bytes, and those for later."""
        changed = {stamp.path for stamp in self._changes()} - {*self._paths}
        new = sorted((file_stamp(file).size, file) for file in changed - self._done)
        if max_size is None:
            return [file for _, file in new], set()
        total, chosen = 0, list[str]()
        for size, file in new:
            total += size
            if chosen and total > max_size:
                break
            chosen.append(file)
        return chosen, changed.difference(chosen)

    def refusal(self) -> str:
        """Read all crontabs; return the reason why none of them is accepted, or empty if one is."""
        loaded = self.load()
        if any(source.jobs or source.is_good for source in loaded.sources):
            return ""
        errors = [problem for problem in loaded.problems if problem.severity == "error"]
        if not errors:
            return f"there is no crontab in {', '.join(self.directories)}"
        more = f", and {counted(len(errors) - 1, 'more error')}" if errors[1:] else ""
        hint = "; see the setting trust-crontabs" if errors[0].code == "refused" else ""
        return f"no crontab is accepted: {errors[0]}{more}{hint}"

    def _unfinished(self, at: datetime) -> set[str]:
        """Return the changed files without a newline at their end that are newer than `UNFINISHED_TIME`."""
        oldest = (at.timestamp() - UNFINISHED_TIME) * 1e9
        new = {stamp.path for stamp in self._changes() if stamp.size and stamp.ctime_ns > oldest}
        return {file for file in new if crontab_files.is_unfinished(file)}

    def load(self, max_size: int | None = None, *, finished_at: datetime | None = None) -> LoadResult:
        """Read the files that have changed and, as far as `seconds_until_stable` knows, are complete.

        With `max_size`, read at most that many bytes, but at least one file; the next calls read the rest, no
        file twice. With `finished_at`, the current time, files with an incomplete last line are not read yet.
        Accounts are those of the name service's last answers; while a new answer is missing, the result is
        not complete. Never raises for the content, the kind or the permissions of a file.
        """
        chosen, waiting = self._choose(max_size)
        # The stamps are taken before reading, so that the next comparison shows later changes.
        unfinished = self._unfinished(finished_at) if finished_at else set()
        unread = self._unstable | waiting | unfinished
        self.recorded = frozenset(stamp for stamp in stamps_of(self._paths) if stamp.path not in unread)
        self.has_more = not waiting <= self._done
        waiting |= unfinished | (self._done & self._sources.keys())
        self._done = self._done.union(chosen) if self.has_more else set()
        reading = Reading(
            *(self._last_good, self.account, self._parser, self._sources, self._unstable, waiting),
            *(self._limits, self._accounts, self.known, self._asked),
        )
        self._changed, self._unstable, self._is_stale = frozenset(), set(), False
        if self._root is not None:
            reading.read_system(self._root)
        for directory in self.directories:
            reading.read_directory(directory)
        if reading.complete:
            files = [*reading.files, *reading.orphans]
            self._last_good.prune([name for file in files for name in (file, f"{file}\0")])
        self._sources, self._accounts = reading.sources, reading.accounts
        is_clustered = self.identity is not None
        sources, by_key, clashes = merge(reading.loaded, self.account.name, is_clustered=is_clustered)
        is_complete = not self.has_more and not self.waited_for
        if is_complete:
            self._asked = set()
        return LoadResult(
            *(by_key, (*reading.problems, *clashes), len(reading.files)),
            *(tuple(sources), reading.accounts, frozenset(reading.unknown)),
            is_complete=is_complete,
        )

    @property
    def _paths(self) -> list[str]:
        system = [] if self._root is None else system_crontabs.system_paths(self._root)
        return [*self.directories, *system]
