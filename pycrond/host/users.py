"""The users of this machine. Each call waits for the name service: a running daemon uses `names` instead."""

import contextlib
import os
import pwd

from pycrond.jobs.job import Account


def by_uid(uid: int) -> Account:
    """Return a user. Without a password entry (in a container), its home is HOME of the environment."""
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


def _account(entry: pwd.struct_passwd) -> Account:
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid, entry.pw_dir)


def set_groups(account: Account) -> None:
    """Set the groups of this process to those of its user, as a login does, if it may. Jobs inherit them."""
    with contextlib.suppress(PermissionError):
        os.setgroups(os.getgrouplist(account.name, account.gid))
        os.setgid(account.gid)
