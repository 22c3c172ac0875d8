"""The system's own crontabs, where and as Debian cron and cronie take them: /etc/crontab, /etc/cron.d and the
users' in the spool (semantics.md, section 4).
"""

import os
import pwd
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass

from pycrond.errors import Problem


@dataclass(frozen=True, slots=True)
class SystemCrontab:
    """A file that is to be read."""

    file: str
    user: str | None
    """Whose it is, of one in the spool. None: it has a user column."""


@dataclass(frozen=True, slots=True)
class SystemRules:
    """What one of the two daemons asks of a file."""

    names: re.Pattern[str]
    """Names in /etc/cron.d."""
    mode: Callable[[int], bool]
    """Modes of system files."""
    spool_mode: Callable[[int], bool]
    modes: tuple[str, str]
    """The modes allowed, in words."""
    links: bool
    """Symbolic links in the spool."""
    several_names: bool
    """Hard links to system files. Those to files in the spool are refused by both."""


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


def system_paths(root: str) -> list[str]:
    """/etc/crontab, /etc/cron.d and the spool, below `root`."""
    spool = os.path.join(root, "var/spool/cron")
    debian = os.path.join(spool, "crontabs")
    return [
        os.path.join(root, "etc/crontab"),
        os.path.join(root, "etc/cron.d"),
        debian if os.path.isdir(debian) else spool,
    ]


def list_system_crontabs(root: str, rules: SystemRules) -> tuple[list[SystemCrontab], list[Problem]]:
    """The files that are to be read, and a problem for each name that is not. What is not there is no error:
    a machine may have any of them.
    """
    table, folder, spool = system_paths(root)
    found = [SystemCrontab(table, None)] if os.path.lexists(table) else []
    problems: list[Problem] = []
    for name in _names(folder, problems):
        file = os.path.join(folder, name)
        if rules.names.fullmatch(name):
            found.append(SystemCrontab(file, None))
        else:
            problems.append(_skipped(file, "not read: a name that cron does not take"))
    for name in _names(spool, problems):
        file = os.path.join(spool, name)
        if name.startswith(".") or (os.path.isdir(file) and not os.path.islink(file)):
            continue  # at's folders lie there, too
        if _uid(name) is None:
            problems.append(_skipped(file, f"not read: an orphan, there is no user '{name}'"))
        else:
            found.append(SystemCrontab(file, name))
    return found, problems


def has_user_column(file: str) -> bool:
    """Whether a path is one of system crontabs: /etc/crontab, or in a folder called cron.d."""
    path = os.path.abspath(file)
    return path == "/etc/crontab" or os.path.basename(os.path.dirname(path)) == "cron.d"


def _names(folder: str, problems: list[Problem]) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except FileNotFoundError:
        return []
    except OSError as error:
        problems.append(Problem(folder, 0, 0, "error", "missing", f"cannot be read: {error.strerror}"))
        return []


def _skipped(file: str, message: str) -> Problem:
    return Problem(file, 0, 0, "warning", "skipped", message)


def _uid(name: str) -> int | None:
    try:
        return pwd.getpwnam(name).pw_uid
    except (KeyError, ValueError):
        return None


def permission_check(tab: SystemCrontab, rules: SystemRules) -> Callable[[os.stat_result], str | None]:
    """What says of the file's owner, mode and links why they forbid its use; None where they do not."""

    def say(status: os.stat_result) -> str | None:
        mode = stat.S_IMODE(status.st_mode)
        spool = tab.user is not None
        owners = {0, _uid(tab.user)} if tab.user is not None else {0}
        if spool and not rules.links and os.path.islink(tab.file):
            return "it is a symbolic link"
        if status.st_uid not in owners:
            return f"wrong file owner (uid {status.st_uid}), it must belong to {tab.user or 'root'}"
        if not (rules.spool_mode if spool else rules.mode)(mode):
            return f"its mode {mode:04o} is not allowed ({rules.modes[spool]})"
        if status.st_nlink > 1 and (spool or not rules.several_names):
            return f"it has {status.st_nlink} names (hard links)"
        return None

    return say
