"""The users of this machine, from the password database, and whether an account has expired."""

import contextlib
import os
import pwd
from datetime import datetime

from pycrond.errors import UnusableAccountError
from pycrond.jobs.job import Account


def by_uid(uid: int) -> Account:
    """Return a user; without a password entry (in a container) its home is HOME of the environment."""
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return Account(str(uid), uid, os.getgid(), os.environ.get("HOME", "/"))
    return _account(entry)


def by_name(name: str) -> Account | None:
    """Return a user; None for an unknown name."""
    try:
        return _account(pwd.getpwnam(name))
    except (KeyError, ValueError):  # ValueError: a NUL, or bytes that the locale cannot encode
        return None


def uid_of(name: str) -> int:
    """Return the uid of a user, also of this process's user without a password entry; -1 for no user."""
    account = by_name(name)
    if account is None and by_uid(os.geteuid()).name == name:
        return os.geteuid()
    return account.uid if account else -1


def _account(entry: pwd.struct_passwd) -> Account:
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid, entry.pw_dir)


def usable_account(name: str, uid: int | None, now: datetime) -> Account:
    """Return the account as which something of a user may run now: a job, a hook, a ping, a mail.

    Raises UnusableAccountError if there is no such user, if its uid is no longer `uid` (None: not known), so
    that it is another user, or if the account has expired.
    """
    account = by_name(name)
    if account is None:
        raise UnusableAccountError(f"there is no user '{name}'")
    if uid not in {None, account.uid}:
        raise UnusableAccountError(f"the user '{name}' had uid {uid}, and has {account.uid} now: reload")
    if is_expired(name, int(now.timestamp() // 86400)):
        raise UnusableAccountError(f"the account of {name} has expired")
    return account


def group_ids(account: Account) -> list[int]:
    """Return all groups of a user, as a login sets them."""
    return os.getgrouplist(account.name, account.gid)


def is_expired(name: str, today: int, shadow: str = "/etc/shadow") -> bool:
    """Return whether the expiry date (shadow(5)) of an account is `today`, in days since 1970, or before.

    False if the file cannot be read, as by users other than root.
    """
    with contextlib.suppress(OSError, ValueError, IndexError), open(shadow, "rb") as file:
        prefix = name.encode("utf-8", "surrogateescape") + b":"
        for line in file:
            if line.startswith(prefix):
                day = line.split(b":")[7]
                return bool(day) and int(day) <= today
    return False
