"""Finding and reading crontab files, under the rules for their names, owners and modes."""

import errno
import os
import pwd
import re
import stat
from collections.abc import Callable

from pycrond.errors import MissingDirectoryError, Problem, UnreadableError

LARGEST = 64 << 20  # bytes of a crontab; more is a mistake
SKIPPED = re.compile(r"^[.#]|~$|\.(?:bak|swp|orig|rej)$|\.dpkg-[^.]*$|\.rpm[^.]*$")
"""Names that editors and package managers leave behind."""

PermissionCheck = Callable[[os.stat_result], str | None]
"""Says of a file's owner and mode why they forbid its use; None where they do not."""


def list_crontabs(directory: str) -> tuple[list[str], list[Problem]]:
    """List the crontabs of a directory, and a warning for each name skipped; raises UnreadableError."""
    try:
        status = os.stat(directory)
        names = sorted(os.listdir(directory))
    except OSError as error:
        raise MissingDirectoryError(f"cannot be read: {error.strerror}") from error
    reason = permission_problem(status)
    if reason:
        raise UnreadableError(f"no crontab in it is read: {reason}")
    found, skipped = [], []
    for name in names:
        file = os.path.join(directory, name)
        match = SKIPPED.search(name)
        if match:
            place = "begins with" if match.start() == 0 else "ends in"
            skipped.append(
                Problem(file, 0, 0, "warning", "skipped", f"not read, its name {place} '{match.group()}'")
            )
        else:
            found.append(file)
    return found, skipped


def read_crontab(file: str, why_not: PermissionCheck | None = None) -> bytes:
    """The bytes of a crontab; raises UnreadableError if it is not a file that may tell us what to run.

    `why_not` is asked of its owner and mode; by default they are judged by `refusal`.
    """
    try:
        if not stat.S_ISREG(os.stat(file).st_mode):  # looked at first: opening a device may do something
            raise UnreadableError("not read: it is not a regular file")
        # O_NONBLOCK: if it has become a FIFO meanwhile, opening it must not hang the daemon.
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        reason = (
            "it is a link to nothing"
            if error.errno == errno.ENOENT and os.path.islink(file)
            else error.strerror
        )
        raise UnreadableError(f"not read: {reason}") from error
    with open(descriptor, "rb", buffering=0) as opened:
        status = os.fstat(descriptor)
        reason = (why_not or permission_problem)(status)
        if not stat.S_ISREG(status.st_mode):
            reason = "it is not a regular file"
        if status.st_size > LARGEST:
            reason = f"it has {status.st_size} bytes, more than {LARGEST}"
        if reason:
            raise UnreadableError(f"not read: {reason}")
        try:
            return opened.readall() or b""
        except OSError as error:
            raise UnreadableError(f"not read: {error.strerror}") from error


def permission_problem(status: os.stat_result) -> str | None:
    """Why its owner or mode forbids its use: whoever can write a crontab can run commands as us."""
    if status.st_uid not in {0, os.geteuid()}:
        return f"it belongs to {_user_name(status.st_uid)}, neither to root nor to {_user_name(os.geteuid())}"
    if status.st_mode & stat.S_IWOTH:
        return f"everyone may write it (mode {stat.S_IMODE(status.st_mode):04o})"
    if status.st_mode & stat.S_IWGRP and not _is_private_group(status.st_gid, status.st_uid):
        return f"its group may write it (mode {stat.S_IMODE(status.st_mode):04o})"
    return None


def _is_private_group(gid: int, uid: int) -> bool:
    """Whether the group is the user's own, with nobody else in it (umask 002 makes files writable by it)."""
    import grp  # noqa: PLC0415 -- rarely needed

    if gid == 0 == uid:
        return True
    try:
        user, group = pwd.getpwuid(uid), grp.getgrgid(gid)
    except KeyError:
        return False
    alone = set(group.gr_mem) <= {user.pw_name}
    return user.pw_gid == gid and group.gr_name == user.pw_name and alone


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def is_safe_directory(directory: str) -> bool:
    """Whether a folder and all above it may be written by root and the daemon's user alone."""
    while permission_problem(os.stat(directory)) is None:
        if directory == "/":
            return True
        directory = os.path.dirname(directory)
    return False
