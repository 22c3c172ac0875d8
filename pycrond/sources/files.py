"""Listing and reading crontab files, with checks of their names, owners and modes."""

import errno
import os
import re
import stat
from collections.abc import Callable
from io import FileIO
from typing import NamedTuple

from pycrond.errors import MissingDirectoryError, Problem, TooLargeError, UnreadableError, os_reason
from pycrond.host import safe_paths
from pycrond.host.names import NAMES

MAX_BYTES = 64 << 20  # of a crontab; a larger file is a mistake
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


def list_crontabs(directory: str) -> tuple[list[str], list[Problem]]:
    """List the crontabs of a directory, and a warning for each name skipped; raises UnreadableError."""
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise MissingDirectoryError(f"cannot be read: {os_reason(error)}") from error
    try:
        names = sorted(os.listdir(descriptor))
        reason = permission_problem(os.fstat(descriptor))
    finally:
        os.close(descriptor)
    if reason:
        raise UnreadableError(f"no crontab in it is read: {reason}")
    if os.geteuid() == 0:  # for an ordinary user it is enough that every file belongs to that user or root
        try:
            safe_paths.check_directory(directory)
        except safe_paths.UnsafePathError as error:
            raise UnreadableError(f"no crontab in it is read: {error}") from error
    crontabs, skipped = [], []
    for name in names:
        if name.startswith(".."):  # Kubernetes' versions of a ConfigMap, and the link to the current one
            continue
        file = os.path.join(directory, name)
        if message := skip_reason(name):
            skipped.append(Problem(file, 0, 0, "warning", "skipped", message))
        else:
            crontabs.append(file)
    return crontabs, skipped


def read_crontab(file: str, check: PermissionCheck = OWN_CHECK) -> bytes:
    """Return the bytes of a crontab; raises UnreadableError if it cannot be read or `check` refuses it."""
    return read_with_owner(file, check)[0]


def read_with_owner(
    file: str, check: PermissionCheck = OWN_CHECK, *, max_size: int = MAX_BYTES
) -> tuple[bytes, int]:
    """Return the bytes of a crontab and the uid of its owner, both read from the same open file.

    Raises UnreadableError if it cannot be read or `check` refuses it, TooLargeError beyond `max_size` bytes.
    """
    follow = 0 if check.follows_links else os.O_NOFOLLOW
    try:
        descriptor = safe_paths.open_regular(file, os.O_RDONLY | follow)
    except safe_paths.IrregularFileError as error:
        raise UnreadableError("not read: it is not a regular file") from error
    except OSError as error:
        reason = _open_error(file, error, is_link_refused=bool(follow))
        raise UnreadableError(f"not read: {reason}") from error
    with open(descriptor, "rb", buffering=0) as crontab:
        status = os.fstat(descriptor)
        if reason := check.problem(status):
            raise UnreadableError(f"not read: {reason}")
        try:
            return _read_up_to(crontab, status, max_size), status.st_uid
        except OSError as error:
            raise UnreadableError(f"not read: {os_reason(error)}") from error


def _open_error(file: str, error: OSError, *, is_link_refused: bool) -> str | None:
    if error.errno == errno.ELOOP and is_link_refused:
        return "it is a symbolic link"
    if error.errno == errno.ENOENT and os.path.islink(file):
        return "it is a link to nothing"
    return os_reason(error)


def is_unfinished(file: str) -> bool:
    """Return whether the last line of a file has no newline; False for one that cannot be read."""
    try:
        with open(safe_paths.open_regular(file, os.O_RDONLY), "rb") as crontab:
            crontab.seek(-1, os.SEEK_END)
            return crontab.read() != b"\n"
    except (OSError, safe_paths.IrregularFileError):
        return False


def _read_up_to(crontab: FileIO, status: os.stat_result, max_size: int) -> bytes:
    """Read a file that may be growing; raises TooLargeError before reading more than `max_size` bytes."""
    data, size = bytearray(), status.st_size
    while size <= max_size:
        part = crontab.read(max_size + 1 - len(data))
        if not part:
            return bytes(data)
        data += part
        size = max(size, len(data))
    raise TooLargeError(f"not read: it has {size} bytes, at most {max_size}", status.st_uid)
