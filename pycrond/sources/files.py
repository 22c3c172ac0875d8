"""Listing and reading crontab files, with checks of their names, owners and modes."""

import errno
import os
import pwd
import re
import stat
from collections.abc import Callable
from io import FileIO

from pycrond.errors import MissingDirectoryError, Problem, TooLargeError, UnreadableError

MAX_BYTES = 64 << 20  # of a crontab; more is a mistake
SKIPPED = re.compile(r"^[.#]|~$|\.(?:bak|swp|orig|rej)$|\.dpkg-[^.]*$|\.rpm[^.]*$")
"""Names that editors and package managers leave behind."""

PermissionCheck = Callable[[os.stat_result], str | None]
"""Returns the reason why the owner or the mode of a file forbids its use; None if they allow it."""


def permission_problem(status: os.stat_result) -> str | None:
    """Return the reason why an owner or a mode forbids the use of a file or directory; None if they allow it.
    A user who can write a crontab can run commands as the daemon's user.
    """
    if status.st_uid not in {0, os.geteuid()}:
        return f"it belongs to {_user_name(status.st_uid)}, neither to root nor to {_user_name(os.geteuid())}"
    if status.st_mode & stat.S_IWOTH:
        return f"everyone may write it (mode {stat.S_IMODE(status.st_mode):04o})"
    if status.st_mode & stat.S_IWGRP and not _is_private_group(status.st_gid, status.st_uid):
        return f"its group may write it (mode {stat.S_IMODE(status.st_mode):04o})"
    return None


def _is_private_group(gid: int, uid: int) -> bool:
    """Return whether a group is the user's own, without other members (umask 002 lets it write files)."""
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
    """Return whether only root and the daemon's user can write a directory and all directories above it."""
    while permission_problem(os.stat(directory)) is None:
        if directory == "/":
            return True
        directory = os.path.dirname(directory)
    return False


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
    crontabs, skipped = [], []
    for name in names:
        file = os.path.join(directory, name)
        match = SKIPPED.search(name)
        if match:
            position = "begins with" if match.start() == 0 else "ends in"
            message = f"not read, its name {position} '{match.group()}'"
            skipped.append(Problem(file, 0, 0, "warning", "skipped", message))
        else:
            crontabs.append(file)
    return crontabs, skipped


def read_crontab(
    file: str, check: PermissionCheck = permission_problem, *, max_size: int = MAX_BYTES
) -> bytes:
    """Return the bytes of a crontab, at most `max_size`; raises UnreadableError, above all for a reason that
    `check` returns, and TooLargeError.
    """
    try:
        if not stat.S_ISREG(os.stat(file).st_mode):  # before it is opened: opening a device may have effects
            raise UnreadableError("not read: it is not a regular file")
        # O_NONBLOCK: if it has become a FIFO in between, opening it must not hang the daemon.
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        dangling = error.errno == errno.ENOENT and os.path.islink(file)
        reason = "it is a link to nothing" if dangling else error.strerror
        raise UnreadableError(f"not read: {reason}") from error
    with open(descriptor, "rb", buffering=0) as crontab:
        status = os.fstat(descriptor)
        reason = check(status)
        if not stat.S_ISREG(status.st_mode):
            reason = "it is not a regular file"
        if reason:
            raise UnreadableError(f"not read: {reason}")
        try:
            return _read_up_to(crontab, status.st_size, max_size)
        except OSError as error:
            raise UnreadableError(f"not read: {error.strerror}") from error


def _read_up_to(crontab: FileIO, size: int, max_size: int) -> bytes:
    """Read a file that has `size` bytes and may grow meanwhile; raises TooLargeError before reading more."""
    data = bytearray()
    while size <= max_size:
        part = crontab.read(max_size + 1 - len(data))
        if not part:
            return bytes(data)
        data += part
        size = max(size, len(data))
    raise TooLargeError(f"not read: it has {size} bytes, at most {max_size}")
