"""The users and groups of this machine, by the last answers of the name service.

A name service (LDAP) may take seconds to answer, and the daemon has one thread. So after a call of `open`,
other processes ask the name service, and each call here returns the last answer; only a daemon that is
starting waits for answers. Without `open`, as in the command line, each call asks the name service.
"""

import math
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from pycrond import clock
from pycrond.errors import UnknownUserError, UnusableAccountError
from pycrond.host import lookup_program
from pycrond.host.lookup_program import Fields
from pycrond.host.lookups import MAX_WAIT, SLOW_TIME, Lookups
from pycrond.host.poller import Poller
from pycrond.jobs.job import Account

MAX_AGE = 2.0  # seconds; a start uses an answer up to this age, unless a local file has changed since
MAX_NUMBER_AGE = 60.0  # seconds; the same for the names of uids and gids
STAMP_AGE = 0.01  # seconds between two checks of the local files
FIRST_WAIT = 1.0  # seconds that a starting daemon waits at most at once; in all `lookups.MAX_WAIT`
MIN_REPORTED_TIME = 1.0  # seconds; a lookup that takes longer is reported
LOCAL_FILES = ("/etc/passwd", "/etc/group", "/etc/shadow", "/etc/nsswitch.conf")
Stamp = tuple[tuple[int, int, int], ...]


class User(NamedTuple):
    """An account, its expiry and its groups."""

    account: Account
    expires: int | None = None
    """The day since 1970 on which the account expires (shadow(5)); None: never, or not known."""
    groups: tuple[int, ...] = ()

    def is_expired(self, now: datetime) -> bool:
        return self.expires is not None and self.expires <= now.timestamp() // 86400


class Group(NamedTuple):
    """A group, its members, and the uids of its members and of the users whose primary group it is."""

    name: str
    members: frozenset[str]
    uids: frozenset[int]


@dataclass(slots=True)
class _Entry:
    """A query and its last answer. Times are by clock.elapsed; 0: never."""

    fields: Fields | None = None
    """The fields of the last answer; empty: there is no such name or number; None: no answer yet."""
    asked_at: float = 0.0
    answered_at: float = 0.0
    stamp: Stamp = ()
    """The stamp of the local files when the query was sent."""
    is_overdue: bool = False
    """The answer takes too long: nothing waits for it any more."""
    uid: int = -1
    """The uid of the last account with this name; -1: none so far."""

    @property
    def is_pending(self) -> bool:
        return self.asked_at > self.answered_at


class Names:
    """The name service of this process."""

    def __init__(self) -> None:
        self._lookups: Lookups | None = None
        self._entries: dict[str, _Entry] = {}
        self._pending: set[str] = set()  # queries that are not answered yet
        self._wait_left = 0.0  # seconds that a starting daemon may still wait for answers
        self._stamp: tuple[float, Stamp] = (-STAMP_AGE, ())
        self.messages: list[str] = []
        """Texts about slow lookups; the code that logs them removes them."""
        self._changed: set[str] = set()

    # The daemon

    def open(self, poller: Poller) -> None:
        """Have other processes ask from now on, except about the uids of root and of this process."""
        self.close()
        self._lookups = Lookups(self._answered)
        for query in {f"uid {uid}" for uid in (0, os.geteuid())}:
            self._entries[query] = _Entry(lookup_program.answer(query), answered_at=math.inf)
        self._wait_left = MAX_WAIT
        poller.register(self._lookups.poller, self._read)

    def close(self) -> None:
        """End the other processes, and forget their answers."""
        if self._lookups:
            self._lookups.close()
        Names.__init__(self)

    def stop_waiting(self) -> None:
        """Wait for no answer any more: the loop begins."""
        self._wait_left = 0.0

    def _read(self) -> None:
        if self._lookups:
            self._lookups.wait(0.0)

    def step(self) -> None:
        """Send queries, and report answers that take too long."""
        if self._lookups is None:
            return
        self._lookups.step()
        elapsed = clock.elapsed()
        for query in self._pending:
            entry = self._entries[query]
            if not entry.is_overdue and elapsed - entry.asked_at >= MAX_WAIT:
                entry.is_overdue = True
                known = "unknown until it does" if entry.fields is None else "its last answer is used"
                text = f"the name service has not answered about {query} for {MAX_WAIT:g} s: {known}"
                self.messages.append(text)

    def retry_in(self, elapsed: float) -> float | None:
        """Return the seconds until `step` has something to do; None if no query is pending."""
        if self._lookups is None or not self._pending:
            return None
        waits = [
            entry.asked_at + MAX_WAIT - elapsed
            for entry in map(self._entries.__getitem__, self._pending)
            if not entry.is_overdue
        ]
        retry = self._lookups.retry_in(elapsed)
        return max(0.0, min([*waits, MAX_WAIT if retry is None else retry]))

    def take_changed(self) -> set[str]:
        """Return the names of users that appeared, vanished or changed since the last call."""
        changed, self._changed = self._changed, set()
        return changed

    def _answered(self, query: str, fields: Fields | None) -> None:
        entry, elapsed = self._entries[query], clock.elapsed()
        self._pending.discard(query)
        if fields is None:  # given up
            entry.asked_at = 0.0
            return
        if entry.is_pending and (duration := elapsed - entry.asked_at) >= MIN_REPORTED_TIME:
            late = "starts and reloads that needed it were late"
            self.messages.append(f"the name service took {duration:.1f} s to answer about {query}: {late}")
        kind, _, name = query.partition(" ")
        if kind == "user" and (entry.fields is None or entry.fields[:4] != fields[:4]):
            self._changed.add(name)
        entry.fields, entry.answered_at, entry.is_overdue = fields, elapsed, False
        if fields and kind == "user":
            entry.uid = int(fields[1])

    # Queries

    def _entry(self, query: str, max_age: float = math.inf, *, waits: bool = True) -> _Entry:
        """Return an entry. Send its query if it has no answer or, with a finite `max_age`, if the answer is
        older or a local file has changed.
        """
        if self._lookups is None or "\0" in query:
            return _Entry(lookup_program.answer(query))
        entry = self._entries.setdefault(query, _Entry())
        if entry.is_pending or entry.answered_at == math.inf:
            return entry
        elapsed = clock.elapsed()
        is_old = elapsed - entry.answered_at > max_age or entry.stamp != self._local_stamp(elapsed)
        if entry.fields is None or (is_old and max_age != math.inf):
            entry.asked_at, entry.stamp = elapsed, self._local_stamp(elapsed)
            self._pending.add(query)
            self._lookups.ask(query)
            if waits:
                self._wait_for([entry])
        return entry

    def look_up(self, names: Iterable[str]) -> None:
        """Look up users together, before their crontabs are loaded."""
        self._wait_for([self._entry(f"user {name}", MAX_AGE, waits=False) for name in names])

    def _wait_for(self, entries: Iterable[_Entry]) -> None:
        """Wait for answers while the daemon starts, at most a second."""
        before = began = clock.elapsed()
        while self._lookups and self._wait_left > 0 and before - began < FIRST_WAIT:
            if not any(entry.is_pending for entry in entries):
                return
            self._lookups.step()
            self._lookups.wait(min(self._wait_left, SLOW_TIME))
            now = clock.elapsed()
            self._wait_left -= now - before
            before = now

    def _local_stamp(self, elapsed: float) -> Stamp:
        """Return values that change when a local file of the name service changes."""
        if elapsed - self._stamp[0] >= STAMP_AGE:
            self._stamp = (elapsed, tuple(map(_file_stamp, LOCAL_FILES)))
        return self._stamp[1]

    def is_settled(self, name: str) -> bool:
        """Look up a user, unless the last answer is recent. Return whether the answer has arrived or is
        overdue.
        """
        return self._is_settled(self._entry(f"user {name}", MAX_AGE))

    def is_owner_settled(self, uid: int) -> bool:
        """Look up the name of a uid; see `is_settled`."""
        return self._is_settled(self._entry(f"uid {uid}", MAX_NUMBER_AGE))

    def is_answered(self, name: str) -> bool:
        """Return whether the name service has answered about a user."""
        return self._entry(f"user {name}").fields is not None

    def is_waited_for(self, name: str) -> bool:
        """Return whether an answer about a user is pending and not overdue."""
        entry = self._entries.get(f"user {name}")
        return entry is not None and not self._is_settled(entry)

    def _is_settled(self, entry: _Entry) -> bool:
        return not entry.is_pending or entry.is_overdue or clock.elapsed() - entry.asked_at >= MAX_WAIT

    # The last answers

    def user(self, name: str) -> User | None:
        """Return a user; None if it is unknown."""
        fields = self._entry(f"user {name}").fields
        if not fields:
            return None
        groups = tuple(map(int, fields[5].split()))
        return User(_account(fields), int(fields[4]) if fields[4] else None, groups)

    def uid_of(self, name: str) -> int:
        """Return the uid of a user, also if it was removed or has no password entry; -1 if it is unknown."""
        own = self.owner(os.geteuid())
        if name == (own.name if own else str(os.geteuid())):
            return os.geteuid()
        entry = self._entry(f"user {name}")
        return int(entry.fields[1]) if entry.fields else entry.uid

    def owner(self, uid: int) -> Account | None:
        """Return the account with a uid; None if it is unknown."""
        fields = self._entry(f"uid {uid}", MAX_NUMBER_AGE).fields
        if fields is None:  # no answer yet; an answer about the user's name may exist
            answers = [entry.fields for query, entry in self._entries.items() if query.startswith("user ")]
            fields = next((answer for answer in answers if answer and answer[1] == str(uid)), None)
        return _account(fields) if fields else None

    def owner_name(self, uid: int) -> str:
        """Return the name of the user with a uid, for messages."""
        account = self.owner(uid)
        return account.name if account else f"uid {uid}"

    def group(self, gid: int) -> Group | None:
        """Return a group; None if it is unknown."""
        fields = self._entry(f"group {gid}", MAX_NUMBER_AGE).fields
        if not fields:
            return None
        members = frozenset(filter(None, fields[1].split(",")))
        return Group(fields[0], members, frozenset(map(int, fields[2].split())))

    def unknown_reason(self, name: str) -> str:
        """Return the reason why a name has no account."""
        if not self.is_answered(name):
            return f"the name service has not answered about the user '{name}'"
        return f"there is no user '{name}'"

    def usable_user(self, name: str, uid: int | None, now: datetime) -> User:
        """Return the user for a job, hook, ping or mail that starts now.

        Raises UnknownUserError if there is no such user. Raises UnusableAccountError if the account has
        expired, or if its uid is not `uid` or `uid` is not known: then it may be another user.
        """
        user = self.user(name)
        if user is None:
            raise UnknownUserError(self.unknown_reason(name))
        if uid is None:
            raise UnusableAccountError(f"the uid that the user '{name}' had before is not known")
        if uid != user.account.uid:
            new = user.account.uid
            raise UnusableAccountError(f"the user '{name}' had uid {uid}, and has {new} now: reload")
        if user.is_expired(now):
            raise UnusableAccountError(f"the account of {name} has expired")
        return user


def _account(fields: Fields) -> Account:
    return Account(fields[0], int(fields[1]), int(fields[2]), fields[3])


def _file_stamp(path: str) -> tuple[int, int, int]:
    try:
        status = os.stat(path)
    except OSError:
        return (0, 0, 0)
    return status.st_ino, status.st_size, status.st_mtime_ns


NAMES = Names()
"""The name service of this process. A forked process must not use it."""
