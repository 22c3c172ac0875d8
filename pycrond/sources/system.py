"""The system's crontabs: /etc/crontab, /etc/cron.d and the users' crontabs in the spool, under the rules of
Debian's cron or cronie (semantics.md, section 4).
"""

import os
import re
import stat
from collections.abc import Callable
from typing import NamedTuple

from pycrond.errors import Problem, os_reason
from pycrond.host import machine, safe_paths
from pycrond.host.names import NAMES
from pycrond.settings import Settings
from pycrond.sources.files import PermissionCheck


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


def dialect_of(settings: Settings) -> str:
    """Return the dialect by which crontabs are read with these settings: `debian` or `cronie`."""
    if settings.dialect != "auto":
        return settings.dialect
    return machine.detect_dialect(settings.root) if settings.system else "cronie"


def system_paths(root: str) -> list[str]:
    """Return the paths of /etc/crontab, /etc/cron.d and the spool below `root`."""
    spool = os.path.join(root, "var/spool/cron")
    debian = os.path.join(spool, "crontabs")
    return [
        os.path.join(root, "etc/crontab"),
        os.path.join(root, "etc/cron.d"),
        debian if os.path.isdir(debian) else spool,
    ]


def system_directories(root: str) -> list[tuple[str, bool]]:
    """Return the directories of crontabs below `root` under either dialect, and whether their files have a
    user column.
    """
    names = (("etc/cron.d", True), ("var/spool/cron", False), ("var/spool/cron/crontabs", False))
    return [(os.path.join(root, name), has_user_column) for name, has_user_column in names]


def list_system_crontabs(root: str, dialect: str) -> tuple[list[SystemCrontab], list[Problem]]:
    """List the system's crontabs, and a problem for each name not read. Missing files are no error."""
    rules = RULES[dialect]
    table, directory, spool = system_paths(root)
    crontabs = [SystemCrontab(table, None, rules)] if os.path.lexists(table) else []
    problems: list[Problem] = []
    for name in _names(directory, problems):
        file = os.path.join(directory, name)
        if rules.names.fullmatch(name):
            crontabs.append(SystemCrontab(file, None, rules))
        elif not name.startswith("."):  # Debian's packages put a .placeholder there
            message = "not read: cron does not read files with such a name"
            problems.append(Problem(file, 0, 0, "warning", "skipped", message))
    # Debian's spool is writable by the group of crontab(1), and sticky.
    for name in _names(spool, problems, sticky=stat.S_IWGRP):
        file = os.path.join(spool, name)
        if name.startswith(".") or (os.path.isdir(file) and not os.path.islink(file)):
            continue  # at's directories are there, too
        if NAMES.user(name) is None and NAMES.is_answered(name):
            message = f"not read: an orphan, {NAMES.unknown_reason(name)}"
            problems.append(Problem(file, 0, 0, "warning", "orphan", message))
        else:
            crontabs.append(SystemCrontab(file, name, rules))
    return crontabs, problems


def has_user_column(file: str) -> bool:
    """Return whether a path is that of a system crontab: /etc/crontab, or in a directory named cron.d."""
    path = os.path.abspath(file)
    return path == "/etc/crontab" or os.path.basename(os.path.dirname(path)) == "cron.d"


def _names(directory: str, problems: list[Problem], *, sticky: int = 0) -> list[str]:
    """Return the names in a directory that only root can change; for another one, none and a problem."""
    try:
        return sorted(safe_paths.list_directory(directory, sticky=sticky))
    except FileNotFoundError:
        return []
    except safe_paths.UnsafePathError as error:
        problems.append(Problem(directory, 0, 0, "error", "refused", f"no crontab in it is read: {error}"))
        return []
    except OSError as error:
        problems.append(Problem(directory, 0, 0, "error", "missing", f"cannot be read: {os_reason(error)}"))
        return []
