"""An entry of a crontab, and the job it becomes once it is known whom it runs as."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from pycrond.hashing import digest_words
from pycrond.jobs.options import Options
from pycrond.schedule.schedule import Schedule

SEARCH_PATHS = {"debian": "/usr/bin:/bin", "cronie": "/usr/bin:/bin:/usr/sbin:/sbin"}
"""The PATH of a job that sets none, by dialect."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a crontab. Text is bytes decoded as UTF-8 with surrogateescape."""

    file: str
    line: int
    user: str | None
    """Whom it runs as, by the user column or as one of the spool; None: as whoever runs the daemon."""
    schedule: Schedule | None
    """None for @reboot."""
    schedule_text: str
    """As written, blanks folded: ``*/5 * * * *``, ``@daily``."""
    zone: str | None
    """The zone of the schedule; None is the daemon's. Where the schedule is one of UTC, UTC."""
    command: str
    stdin: str
    environment: tuple[tuple[str, str], ...]
    """The assignments in force. Entries without an assignment between them share one object."""
    options: Options


@dataclass(frozen=True, slots=True)
class Job:
    """An entry that the daemon has loaded."""

    key: str
    """``user/name``, or ``user/`` and 12 hexadecimal digits made from what the entry says."""
    user: str
    entry: Entry


def make_jobs(entries: Iterable[Entry], user: str) -> list[Job]:
    """One job for each entry. `user` is whom entries without a user column run as.

    A second entry of one user with the same name goes by its hash; further entries with the same key
    get ``-2``, ``-3`` appended.
    """
    taken: set[str] = set()
    copies: Counter[str] = Counter()
    made = []
    for entry in entries:
        owner = user if entry.user is None else entry.user
        key = f"{owner}/{entry.options.name}"
        if entry.options.name is None or key in taken:
            base = key = f"{owner}/{entry_hash(owner, entry)}"
            while key in taken:
                copies[base] += 1
                key = f"{base}-{copies[base] + 1}"
        taken.add(key)
        made.append(Job(key, owner, entry))
    return made


def entry_hash(user: str, entry: Entry) -> str:
    """Twelve hexadecimal digits for what an entry is, wherever it stands. Standard input counts, if any."""
    parts = [user, entry.schedule_text, entry.command]
    if entry.stdin:
        parts.append(entry.stdin)
    return digest_words(*parts, size=6)


@dataclass(frozen=True, slots=True)
class Account:
    """A user, as the password file has it."""

    name: str
    uid: int
    gid: int
    home: str
