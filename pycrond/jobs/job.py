"""An entry of a crontab, and the job that is made from it when its user is known."""

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from pycrond.hashing import digest_words
from pycrond.jobs.display_name import display_name

if TYPE_CHECKING:
    from pycrond.jobs.options import Options
    from pycrond.schedule.schedule import Schedule

SEARCH_PATHS = {"debian": "/usr/bin:/bin", "cronie": "/usr/bin:/bin:/usr/sbin:/sbin"}
"""The PATH of a job that does not set it, by dialect."""


class Entry(NamedTuple):
    """A line with a schedule and a command. Text is bytes decoded as UTF-8 with surrogateescape."""

    file: str
    line: int
    user: str | None
    """From the user column or the name of a crontab in the spool; None stands for the daemon's user."""
    schedule: "Schedule | None"
    """None for @reboot."""
    schedule_text: str
    """The text in the crontab, with single blanks: ``*/5 * * * *``, ``@daily``."""
    zone: str | None
    """The time zone of the schedule; None stands for the daemon's. UTC for a schedule that counts in UTC."""
    command: str
    stdin: str
    environment: tuple[tuple[str, str], ...]
    """The assignments before the entry. Entries without an assignment between them share one object."""
    options: "Options"


class Job(NamedTuple):
    """An entry that the daemon has loaded."""

    key: str
    """``user/name``, or ``user/`` and the 12 hexadecimal digits of `entry_hash`."""
    user: str
    entry: Entry

    @property
    def display_name(self) -> str:
        """The name for people, without the user."""
        return display_name(self.key, self.entry.options.name, self.entry.command)

    @property
    def has_own_name(self) -> bool:
        """Return whether the key contains the entry's name, and not a hash of the entry."""
        return self.key == f"{self.user}/{self.entry.options.name}"

    @property
    def label(self) -> str:
        """The user and the name for people."""
        return f"{self.user}/{self.display_name}"


def make_jobs(entries: Iterable[Entry], user: str) -> list[Job]:
    """Return a job for each entry. `user` is the user of entries without a user column.

    The key of a second entry with the same user and name contains the hash of the entry. Further entries with
    the same key get ``-2``, ``-3`` appended.
    """
    keys: set[str] = set()
    copies: Counter[str] = Counter()
    jobs = []
    for entry in entries:
        owner = user if entry.user is None else entry.user
        key = f"{owner}/{entry.options.name}"
        if entry.options.name is None or key in keys:
            base = key = f"{owner}/{entry_hash(owner, entry)}"
            while key in keys:
                copies[base] += 1
                key = f"{base}-{copies[base] + 1}"
        keys.add(key)
        jobs.append(Job(key, owner, entry))
    return jobs


def entry_hash(user: str, entry: Entry) -> str:
    """Return 12 hexadecimal digits made from user, schedule, command and standard input."""
    parts = [user, entry.schedule_text, entry.command]
    if entry.stdin:
        parts.append(entry.stdin)
    return digest_words(*parts, size=6)


class Account(NamedTuple):
    """A user's entry in the password file."""

    name: str
    uid: int
    gid: int
    home: str
