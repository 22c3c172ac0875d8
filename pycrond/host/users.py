"""Users of this machine: who runs a job, and whether they may."""

import contextlib
import os
import pwd

from pycrond.jobs.job import Account


def by_uid(uid: int) -> Account:
    """The user as whom the daemon runs; one without a password entry (in a container) gets a bare one."""
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return Account(str(uid), uid, os.getgid(), os.environ.get("HOME", "/"))
    return _account(entry)


def by_name(name: str) -> Account | None:
    """A user by name; None for one the machine does not know."""
    try:
        return _account(pwd.getpwnam(name))
    except (KeyError, ValueError):  # ValueError: a NUL or what no locale can write
        return None


def _account(entry: pwd.struct_passwd) -> Account:
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid, entry.pw_dir)


def group_ids(account: Account) -> list[int]:
    """All groups of a user, as a login would give them."""
    return os.getgrouplist(account.name, account.gid)


def is_expired(name: str, today: int, shadow: str = "/etc/shadow") -> bool:
    """Whether the account is closed: on `today`, in days since 1970, its expiry date (shadow(5)) has come.

    Where the file cannot be read, as by others than root, nobody is.
    """
    with contextlib.suppress(OSError, ValueError, IndexError), open(shadow, "rb") as file:
        begin = name.encode("utf-8", "surrogateescape") + b":"
        for line in file:
            if line.startswith(begin):
                day = line.split(b":")[7]
                return bool(day) and int(day) <= today
    return False
