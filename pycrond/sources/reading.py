"""A reading of all crontabs: changed files are parsed, unchanged files keep their sources."""

import os
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from pycrond import clock
from pycrond.errors import MissingDirectoryError, Problem, TooLargeError, UnreadableError, os_reason
from pycrond.host.names import NAMES
from pycrond.jobs.job import Account
from pycrond.sources import file_rules
from pycrond.sources import files as crontab_files
from pycrond.sources.last_good import LastGood
from pycrond.sources.limits import NO_LIMITS, CrontabLimits
from pycrond.sources.source import Source, SourceParser, unknown_user_problems, without_users
from pycrond.sources.system import list_system_crontabs, system_directories
from pycrond.sources.watch import FileStamp, file_stamp

TIMESTAMP_TICK = 0.05  # seconds, several ticks of the clock of file times
SETTLE_TIME = 0.02  # seconds for which a changed file must stay the same before it is read
EMPTY_TIME = 0.5  # seconds; the same for a file that had jobs and is empty: its writer may be slow

UNFINISHED_TIME = 10.0  # seconds; the same for a file whose last line has no newline: it may be incomplete


@dataclass(slots=True)
class Reading:
    """The result of one reading of all crontabs so far."""

    last_good: LastGood
    account: Account
    parser: SourceParser
    before: Mapping[str, Source]
    """The sources of the previous reading, by file."""
    unstable: Collection[str]
    """Files that are being written and must not be read now."""
    waiting: Collection[str]
    """Files that are read later."""
    limits: CrontabLimits
    """The limits of crontabs that belong neither to root nor to the daemon's user."""
    accounts_before: Mapping[str, Account]
    """The accounts of users with jobs in the previous reading, by name."""
    known: set[str]
    """Users that had an account when a daemon loaded their jobs; the reading adds to them."""
    asked: set[str]
    """The users that this reload has looked up; the reading adds to them."""
    sources: dict[str, Source] = field(default_factory=dict)
    """The sources as they were read, by file."""
    loaded: list[Source] = field(default_factory=list)
    """The sources without the jobs of users that never had an account."""
    problems: list[Problem] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)
    """Crontabs of unknown users."""
    accounts: dict[str, Account] = field(default_factory=dict)
    """The accounts of users with jobs, by name; a deleted user keeps its last account."""
    unknown: set[str] = field(default_factory=set)
    """Names for which there is no account."""
    complete: bool = True
    """No directory is missing."""

    def __post_init__(self) -> None:
        self.accounts[self.account.name] = self.account

    def read_directory(self, directory: str) -> None:
        try:
            files, skipped = crontab_files.list_crontabs(directory)
        except MissingDirectoryError as error:
            count = self._keep_jobs_of(directory, self.account.name)
            self.complete = False
            self._add_missing(directory, str(error), count)
        except UnreadableError as error:
            self._add_error(directory, "refused", str(error))
        else:
            self.problems += skipped
            for file in files:
                self._read_file(file, self.account.name, file_rules.OWN_CHECK)

    def _keep_jobs_of(self, directory: str, owner: str | None) -> int:
        """Keep the jobs of a directory that cannot be read now; return their number. `owner` is the user of
        its crontabs; None: they have a user column; empty: the name of each crontab is its user.
        """
        # Only a daemon that starts does not know them yet.
        files = [*self.before] or [file.rstrip("\0") for file in self.last_good.files()]
        read = {os.path.basename(file) for file in self.files}
        count = 0
        for file in sorted({*files}):
            name = os.path.basename(file)
            if os.path.dirname(file) != directory or (owner == "" and name in read):  # in another spool
                continue
            source = self._last_source(file, name if owner == "" else owner)
            if source:
                self.complete = False
                self._add(source._replace(file_stamp=None, problems=()))
                count += len(source.jobs)
        return count

    def _last_source(self, file: str, owner: str | None) -> Source | None:
        """Return a crontab as last read by this daemon or the previous one; None if none has read it."""
        if source := self.before.get(file):
            return source
        text = self.last_good.load(f"{file}\0") or self.last_good.load(file)
        if text is None:
            return None
        account = None if owner in {None, self.account.name} else self._look_up(owner or "")
        source = self.parser.parse(text, file, owner, None, limits=self._limits_of(owner))
        return source._replace(owner=account)

    def read_system(self, root: str) -> None:
        """Read the crontabs that the system's own cron would read."""
        crontabs, skipped = list_system_crontabs(root, self.parser.dialect)
        self.problems += skipped
        for problem in skipped:
            if problem.code == "orphan":
                self._keep_orphan(problem.file)
        for crontab in crontabs:
            self._read_file(crontab.file, crontab.user, crontab.check)
        unreadable = {problem.file for problem in skipped if problem.code == "missing"}
        for directory, has_user_column in system_directories(root):
            if directory in unreadable or not os.path.isdir(directory):
                count = self._keep_jobs_of(directory, None if has_user_column else "")
                if count and directory not in unreadable:
                    self._add_missing(directory, "cannot be read: No such file or directory", count)

    def _keep_orphan(self, file: str) -> None:
        """Keep the jobs of a crontab whose user had an account earlier and has none now. The file is read
        again as soon as the user has an account.
        """
        name, source = os.path.basename(file), self.before.get(file)
        self._look_up(name)
        self.unknown.add(name)
        self.orphans.append(file)
        if source or name in self.known:
            source = self._last_source(file, name)
        if source:
            self.files.append(file)
            self._add(source._replace(file_stamp=None, problems=()))

    def _look_up(self, name: str) -> Account | None:
        """Return a user's account from the name service's last answer; ask again once in a reload."""
        if name not in self.asked:
            self.asked.add(name)
            NAMES.is_settled(name)
        user = NAMES.user(name)
        return user.account if user else None

    def _read_file(self, file: str, owner: str | None, check: file_rules.PermissionCheck) -> None:
        """Read a crontab of the user `owner`; None stands for a crontab with a user column."""
        self.files.append(file)
        account = None if owner in {None, self.account.name} else self._look_up(owner or "")
        before, stamp = self._before(file, account), _lasting_stamp(file)
        if before and file in self.unstable:
            self._add(before)
            message = "is being written all the time: its previous jobs continue to run until it can be read"
            self._add_error(file, "written", message)
        elif before and (file in self.waiting or before.file_stamp == stamp is not None):
            self._add(before)
        elif file not in self.waiting or file in self.before:  # or it was read for another account
            self._read_changed_file(file, owner, check, stamp, account)

    def _before(self, file: str, account: Account | None) -> Source | None:
        """Return a file's source of the previous reading; None if it belonged to another account."""
        before = self.before.get(file)
        return before if before and before.owner == account else None

    def _read_changed_file(
        self,
        file: str,
        owner: str | None,
        check: file_rules.PermissionCheck,
        stamp: FileStamp | None,
        account: Account | None,
    ) -> None:
        before = self._before(file, account)
        max_size = self._limits_of(owner).size
        try:
            text, uid = crontab_files.read_with_owner(file, check, max_size=max_size)
            if not (before or text.strip()) and self.last_good.load(self._saved_name(file, uid)):
                give_up_at = clock.elapsed() + EMPTY_TIME  # only at a start, when this delays nothing else
                while not text.strip() and clock.elapsed() < give_up_at:
                    time.sleep(SETTLE_TIME)
                    text, uid = crontab_files.read_with_owner(file, check, max_size=max_size)
        except TooLargeError as error:
            setting = "" if max_size == crontab_files.MAX_BYTES else " (setting max-crontab-size)"
            problems = (_file_error(file, "beyond-limit", f"{error}{setting}"),)
            new = Source(file, stamp, (), problems, frozenset(), "")
            self._add(self._with_last_good(new, error.uid, owner)._replace(owner=account))
        except UnreadableError as error:
            kept = self._last_source(file, owner) if _is_there(file, check, error) else None
            if kept and kept.owner == account:
                self._add(kept._replace(file_stamp=None))
                self._add_error(file, "not-read", f"{error}: its previous jobs continue to run")
            else:
                self._add_error(file, "refused", str(error))
        else:
            self._add(self._parse(text, uid, file, owner, stamp)._replace(owner=account))

    def _saved_name(self, file: str, uid: int) -> str:
        """Return the name of a last good text: root's file does not use a text that its user has written."""
        return file if uid == self.account.uid else f"{file}\0"

    def _limits_of(self, owner: str | None) -> CrontabLimits:
        """Return the limits of a crontab: those of root and of the daemon's user have none."""
        if owner in {None, self.account.name}:
            return NO_LIMITS
        account = self._look_up(owner or "")
        return self.limits if account is None or account.uid else NO_LIMITS

    def _parse(self, text: bytes, uid: int, file: str, owner: str | None, stamp: FileStamp | None) -> Source:
        """Parse the text of a file that belongs to `uid`; after errors, its owner's last good text."""
        limits, before = self._limits_of(owner), self.before.get(file)
        if (
            before
            and before.is_good
            and before.stamp == self.parser.stamp(text, owner, limits, are_shared=before.depends_on_identity)
        ):
            new = before._replace(file_stamp=stamp)  # only its times have changed
        else:
            new = self.parser.parse(text, file, owner, stamp, limits=limits)
        if not new.is_good:
            return self._with_last_good(new, uid, owner)
        if owner not in {None, self.account.name} and not NAMES.is_answered(owner or ""):
            return new._replace(file_stamp=None)  # the owner's account is not certain: read it again
        try:
            self.last_good.save(self._saved_name(file, uid), text)
        except OSError as error:
            message = f"cannot be saved as the last good version: {os_reason(error)}"
            problem = _file_error(file, "not-kept", message)
            return new._replace(file_stamp=None, problems=(*new.problems, problem))
        return new

    def _with_last_good(self, new: Source, uid: int, owner: str | None) -> Source:
        """Return the last good version of a crontab with the errors of `new`; `new` if there is none."""
        good = self.last_good.load(self._saved_name(new.file, uid))
        if good is None:
            return new
        message = "has errors: its last good version continues to run until it is repaired"
        problems = (*new.problems, Problem(new.file, 0, 0, "warning", "kept", message))
        old = self.parser.parse(good, new.file, owner, new.file_stamp, limits=self._limits_of(owner))
        return old._replace(problems=problems, further_errors=new.further_errors, uses_last_good=True)

    def _add(self, source: Source) -> None:
        """Add a source, with an error for each job of an unknown user. Jobs of users that never had an
        account are left out.
        """
        self.sources[source.file] = source
        reasons = {}
        users = source.users - {self.account.name}
        NAMES.look_up(users - self.asked)
        for name in users:
            account = self._look_up(name)
            if account is None:
                self.unknown.add(name)
                reasons[name] = NAMES.unknown_reason(name)
                account = self.accounts_before.get(name)
            else:
                self.known.add(name)
            if account:
                self.accounts[name] = account
        left_out = {name for name in reasons if name not in self.known and NAMES.is_answered(name)}
        self.loaded.append(without_users(source, left_out) if left_out else source)
        self.problems += [*source.problems, *unknown_user_problems(source.jobs, reasons)]

    def _add_missing(self, directory: str, reason: str, count: int) -> None:
        kept = "job continues to run" if count == 1 else f"{count} jobs continue to run"
        note = f"; its {kept}" if count else ""
        self._add_error(directory, "missing", f"{reason}{note}")

    def _add_error(self, file: str, code: str, message: str) -> None:
        self.problems.append(_file_error(file, code, message))


def _is_there(file: str, check: file_rules.PermissionCheck, error: UnreadableError) -> bool:
    """Return whether a file that cannot be read still exists and was not refused for its owner or mode: it is
    not a regular file, is a link to nothing, or is on a disk with errors.
    """
    cause = error.__cause__
    if os.path.islink(file):
        return check.follows_links and cause is not None
    return cause is not None and not isinstance(cause, FileNotFoundError | PermissionError)


def _file_error(file: str, code: str, message: str) -> Problem:
    return Problem(file, 0, 0, "error", code, message)


def _lasting_stamp(file: str) -> FileStamp | None:
    """Return the stamp of a file; None if it is so new that another change could leave the stamp the same."""
    stamp = file_stamp(file)
    age = clock.now().timestamp() - stamp.ctime_ns / 1e9
    return None if 0 <= age < TIMESTAMP_TICK else stamp
