"""The users and groups of this machine, as the name service answered last.

A name service may take seconds to answer (LDAP), and the daemon has one thread. So once `open` was called,
other processes ask it, and a user or a group is what was answered last; only a daemon that starts waits for
answers. Without `open`, as in the command line, each call asks the name service.
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
from pycrond.host.lookups import MAX_WAIT, SLOW, Lookups
from pycrond.host.poller import Poller
from pycrond.jobs.job import Account

MAX_AGE = 2.0  # seconds: a start needs no new answer if one is no older, and no local file has changed
MAX_NUMBER_AGE = 60.0  # seconds; the same for the names behind uids and gids
STAMP_AGE = 0.01  # seconds: how often the local files are looked at
FIRST_WAIT = 1.0  # seconds that a starting daemon waits for users at most, and `lookups.MAX_WAIT` in all
LONG = 1.0  # seconds: a lookup that takes longer is reported
LOCAL_FILES = ("/etc/passwd", "/etc/group", "/etc/shadow", "/etc/nsswitch.conf")
Stamp = tuple[tuple[int, int, int], ...]


class User(NamedTuple):
    """An account and what belongs to it."""

    account: Account
    expires: int | None = None
    """The day since 1970 on which the account expires (shadow(5)); None: never, or not known."""
    groups: tuple[int, ...] = ()

    def is_expired(self, now: datetime) -> bool:
        return self.expires is not None and self.expires <= now.timestamp() // 86400


class Group(NamedTuple):
    """A group, its members, and the uids of these and of the users whose group it is."""

    name: str
    members: frozenset[str]
    uids: frozenset[int]


@dataclass(slots=True)
class _Entry:
    """A query and its last answer. Times are by clock.elapsed; 0: never."""

    fields: Fields | None = None
    """Of the last answer; empty: there is no such name or number."""
    asked_at: float = 0.0
    answered_at: float = 0.0
    stamp: Stamp = ()
    """Of the local files, when it was asked."""
    is_overdue: bool = False
    """Its answer took too long, and there was none since: it is not waited for."""
    uid: int = -1
    """That of the last account that there was."""

    @property
    def is_pending(self) -> bool:
        return self.asked_at > self.answered_at


class Names:
    """The name service of this process."""

    def __init__(self) -> None:
        self._lookups: Lookups | None = None
        self._entries: dict[str, _Entry] = {}
        self._pending: set[str] = set()  # queries that are not answered yet
        self._patience = 0.0  # seconds that all first lookups may still wait for their answers
        self._stamp: tuple[float, Stamp] = (-STAMP_AGE, ())
        self.messages: list[str] = []
        """Texts about slow lookups; who logs them removes them."""
        self._changed: set[str] = set()

    # The daemon

    def open(self, poller: Poller) -> None:
        """From now on have other processes ask, but for the names of root and of this process's user."""
        self.close()
        self._lookups = Lookups(self._answered)
        for query in {f"uid {uid}" for uid in (0, os.geteuid())}:
            self._entries[query] = _Entry(lookup_program.answer(query), answered_at=math.inf)
        self._patience = MAX_WAIT
        poller.register(self._lookups.poller, self._read)

    def close(self) -> None:
        """End the other processes, and forget their answers."""
        if self._lookups:
            self._lookups.close()
        Names.__init__(self)

    def stop_waiting(self) -> None:
        """From now on wait for no answer: the loop begins."""
        self._patience = 0.0

    def _read(self) -> None:
        if self._lookups:
            self._lookups.wait(0.0)

    def step(self) -> None:
        """Send queries, and note what takes too long."""
        if self._lookups is None:
            return
        self._lookups.step()
        elapsed = clock.elapsed()
        for query in self._pending:
            entry = self._entries[query]
            if not entry.is_overdue and elapsed - entry.asked_at >= MAX_WAIT:
                entry.is_overdue = True
                known = "unknown until it does" if entry.fields is None else "what it answered last is used"
                text = f"the name service has not answered about {query} for {MAX_WAIT:g} s: {known}"
                self.messages.append(text)

    def retry_in(self, elapsed: float) -> float | None:
        """Seconds until `step` has something to do, or an answer is late; None if nothing is asked."""
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
        if entry.is_pending and (duration := elapsed - entry.asked_at) >= LONG:
            text = (
                f"the name service took {duration:.1f} s to answer about {query}: what needed that was late"
            )
            self.messages.append(text)
        kind, _, name = query.partition(" ")
        if kind == "user" and (entry.fields is None or entry.fields[:4] != fields[:4]):
            self._changed.add(name)
        entry.fields, entry.answered_at, entry.is_overdue = fields, elapsed, False
        if fields and kind == "user":
            entry.uid = int(fields[1])

    # Asking

    def _entry(self, query: str, max_age: float = math.inf, *, waits: bool = True) -> _Entry:
        """Return an entry, and have it asked again if the answer is older, or there is none."""
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
        """Have users looked up that are to be loaded, together."""
        self._wait_for([self._entry(f"user {name}", MAX_AGE, waits=False) for name in names])

    def _wait_for(self, entries: Iterable[_Entry]) -> None:
        """Wait for answers while the daemon starts, for a second at most."""
        before = began = clock.elapsed()
        while self._lookups and self._patience > 0 and before - began < FIRST_WAIT:
            if not any(entry.is_pending for entry in entries):
                return
            self._lookups.step()
            self._lookups.wait(min(self._patience, SLOW))
            now = clock.elapsed()
            self._patience -= now - before
            before = now

    def _local_stamp(self, elapsed: float) -> Stamp:
        """Return what changes with the local files of the name service."""
        if elapsed - self._stamp[0] >= STAMP_AGE:
            self._stamp = (elapsed, tuple(map(_file_stamp, LOCAL_FILES)))
        return self._stamp[1]

    def is_settled(self, name: str) -> bool:
        """Have a user looked up, unless that was done just now. Return whether the answer has come, or has
        taken so long that it is no longer waited for.
        """
        return self._is_settled(self._entry(f"user {name}", MAX_AGE))

    def is_owner_settled(self, uid: int) -> bool:
        """The same for the name of a uid."""
        return self._is_settled(self._entry(f"uid {uid}", MAX_NUMBER_AGE))

    def is_answered(self, name: str) -> bool:
        """Return whether there has been an answer about a user."""
        return self._entry(f"user {name}").fields is not None

    def is_waited_for(self, name: str) -> bool:
        """Return whether an answer about a user has not come yet, and is waited for."""
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
        """Return the uid of a user, also of one that is gone or has no password entry; -1 for no user."""
        own = self.owner(os.geteuid())
        if name == (own.name if own else str(os.geteuid())):
            return os.geteuid()
        entry = self._entry(f"user {name}")
        return int(entry.fields[1]) if entry.fields else entry.uid

    def owner(self, uid: int) -> Account | None:
        """Return the account with a uid; None if it is unknown."""
        fields = self._entry(f"uid {uid}", MAX_NUMBER_AGE).fields
        if fields is None:  # not answered, but perhaps the user's name was
            answers = [entry.fields for query, entry in self._entries.items() if query.startswith("user ")]
            fields = next((answer for answer in answers if answer and answer[1] == str(uid)), None)
        return _account(fields) if fields else None

    def owner_name(self, uid: int) -> str:
        """Return the name of the user with a uid, for people."""
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
        """Return why there is no account for a name."""
        if not self.is_answered(name):
            return f"the name service has not answered about the user '{name}'"
        return f"there is no user '{name}'"

    def usable_user(self, name: str, uid: int | None, now: datetime) -> User:
        """Return the user as which something may run now: a job, a hook, a ping, a mail.

        Raises UnknownUserError if there is no such user, and UnusableAccountError if its uid is no longer
        `uid` or that was not known, so that it may be another user, or if the account has expired.
        """
        user = self.user(name)
        if user is None:
            raise UnknownUserError(self.unknown_reason(name))
        if uid is None:
            raise UnusableAccountError(f"it is not known which uid the user '{name}' had before")
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
