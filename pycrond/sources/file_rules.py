"""The rules for crontab files: names, owners, modes and links. pycrond has its own; the system's crontabs
follow those of Debian's cron or cronie (semantics.md, section 4).
"""

import os
import re
import stat
from collections.abc import Callable
from typing import NamedTuple

from pycrond.host import safe_paths
from pycrond.host.names import NAMES

SKIPPED = re.compile(r"^[.#]|~$|\.(?:bak|swp|orig|rej)$|\.dpkg-[^.]*$|\.rpm[^.]*$")
"""Names that editors and package managers leave behind."""


def permission_problem(status: os.stat_result) -> str | None:
    """Return the reason why an owner or a mode forbids the use of a file or directory; None if they allow it.
    A user who can write a crontab can run commands as the daemon's user.
    """
    if safe_paths.TRUST.others:
        return None
    if status.st_uid not in {0, os.geteuid()}:
        owner, own = NAMES.owner_name(status.st_uid), NAMES.owner_name(os.geteuid())
        return f"it belongs to {owner}, " + (
            f"neither to root nor to {own}" if os.geteuid() else "not to root"
        )
    if status.st_mode & stat.S_IWOTH:
        return f"everyone may write it (mode {stat.S_IMODE(status.st_mode):04o})"
    if status.st_mode & stat.S_IWGRP and not _is_private_group(status.st_gid, status.st_uid):
        return f"its group may write it (mode {stat.S_IMODE(status.st_mode):04o})"
    return None


def _is_private_group(gid: int, uid: int) -> bool:
    """Return whether a group is the user's own, without other members (umask 002 lets it write files)."""
    if gid == 0 == uid:
        return True
    user, group = NAMES.owner(uid), NAMES.group(gid)
    if user is None or group is None:
        return False
    return user.gid == gid and group.name == user.name and group.members <= {user.name}


class PermissionCheck(NamedTuple):
    """The conditions under which a crontab is read."""

    problem: Callable[[os.stat_result], str | None]
    """Returns the reason why the owner or mode of the open file forbids its use; None if they allow it."""
    follows_links: bool = True
    """The file may be a symbolic link; the target is checked."""


OWN_CHECK = PermissionCheck(permission_problem)
NO_CHECK = PermissionCheck(lambda _: None)


def skip_reason(name: str) -> str:
    """Return the reason why a file with this name is not read; empty if it is."""
    match = SKIPPED.search(name)
    if not match:
        return ""
    return f"not read, its name {'begins with' if match.start() == 0 else 'ends in'} '{match.group()}'"


class SystemRules(NamedTuple):
    """The conditions under which Debian's cron or cronie reads a file."""

    names: re.Pattern[str]
    """Allowed names in /etc/cron.d."""
    mode: Callable[[int], bool]
    """Returns whether a mode of a system file is allowed."""
    spool_mode: Callable[[int], bool]
    """The same for a file in the spool."""
    modes: tuple[str, str]
    """The allowed modes in words: of system files, and of files in the spool."""
    links: bool
    """Symbolic links in the spool are allowed."""
    several_names: bool
    """System files may have hard links. Both daemons refuse a file with hard links in the spool."""


DEBIAN = SystemRules(
    re.compile(r"[A-Za-z0-9_-]+"),
    lambda mode: not mode & 0o022,
    lambda mode: mode == 0o600,
    ("writable by root alone", "0600"),
    links=False,
    several_names=False,
)
CRONIE = SystemRules(
    re.compile(r"(?![.#])(?!.*(?:~|\.rpmsave|\.rpmorig|\.rpmnew)\Z).+", re.DOTALL),
    lambda mode: mode & 0o7533 == 0o400,
    lambda mode: mode & 0o7533 == 0o400,
    ("readable by its owner, writable by nobody else, not executable",) * 2,
    links=True,
    several_names=True,
)
RULES = {"debian": DEBIAN, "cronie": CRONIE}


class SystemCrontab(NamedTuple):
    """A file of the system's cron."""

    file: str
    user: str | None
    """The owner of a crontab in the spool; None: the file has a user column."""
    rules: SystemRules

    @property
    def check(self) -> PermissionCheck:
        """The check of its owner, mode and links."""
        return PermissionCheck(self._problem, follows_links=self.rules.links or self.user is None)

    def _problem(self, status: os.stat_result) -> str | None:
        mode, spool = stat.S_IMODE(status.st_mode), self.user is not None
        user = None if self.user is None else NAMES.user(self.user)
        is_looked_up = self.user is None or NAMES.is_answered(self.user)  # else its jobs do not start
        if is_looked_up and status.st_uid not in {0, user.account.uid if user else 0}:
            owner = NAMES.owner_name(status.st_uid)
            return f"wrong file owner ({owner}), it must belong to {self.user or 'root'}"
        if not (self.rules.spool_mode if spool else self.rules.mode)(mode):
            return f"its mode {mode:04o} is not allowed ({self.rules.modes[spool]})"
        if status.st_nlink > 1 and (spool or not self.rules.several_names):
            return f"it has {status.st_nlink} names (hard links)"
        return None
