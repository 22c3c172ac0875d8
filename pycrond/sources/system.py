"""The system's crontabs: /etc/crontab, /etc/cron.d and the users' crontabs in the spool (semantics.md,
section 4).
"""

import os
import stat

from pycrond.errors import Problem, os_reason
from pycrond.host import machine, safe_paths
from pycrond.host.names import NAMES
from pycrond.settings import Settings
from pycrond.sources.file_rules import RULES, SystemCrontab


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
