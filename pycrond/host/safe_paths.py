"""Safe access to files and directories, also for root, where other users can write nearby.

A path is walked from `/` by descriptors. Every directory on it must belong to root or to this process's user,
and no other user may write to it; then nobody else can change where the path leads. A sticky directory that
others may write to, such as /tmp, is accepted as the parent of an entry that belongs to root or to this user.
A symbolic link is followed under the same conditions. A file is replaced by a rename, never written through.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from pycrond.errors import PycrondError
from pycrond.host.names import NAMES

MAX_LINKS = 40  # symbolic links that are followed in a path, as by the kernel
OWN_FILE = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
"""Flags to open a file of pycrond's own: no link is followed, and a FIFO does not block."""
_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(slots=True)
class Trust:
    """The administrator's decision whether other users of this machine or container are trusted."""

    others: bool = False
    """True: any owner and any mode is accepted (setting `trust-crontabs`)."""


TRUST = Trust()
"""Set by the command line and by the daemon's program, from flags, variables and pycrond.toml alone."""


class UnsafePathError(PycrondError):
    """A path that another user could redirect."""


class IrregularFileError(PycrondError):
    """A directory, link, FIFO, socket or device in place of a regular file."""


class Place(NamedTuple):
    """An entry of a safe directory; it need not exist."""

    directory: int
    """The directory's descriptor."""
    name: str
    path: str
    """The path without symbolic links."""
    status: os.stat_result | None
    """The entry's status; None if there is none."""
    is_shared: bool
    """Other users may write to the directory, but it is sticky."""


class _Step(NamedTuple):
    """A directory on a path."""

    descriptor: int
    path: str
    is_shared: bool
    """Other users may write to it, but it is sticky: an entry must belong to root or to this user."""


@contextlib.contextmanager
def place(path: str, *, follow: bool = True) -> Iterator[Place]:
    """A context with the entry that a path leads to. With `follow`, the last name may be a link, too.

    Raises UnsafePathError if another user could redirect the path, OSError if a directory cannot be entered.
    """
    with contextlib.ExitStack() as opened:
        steps = [_Step(os.open("/", _DIRECTORY), "/", is_shared=False)]
        opened.callback(os.close, steps[0].descriptor)
        names = _names(path if os.path.isabs(path) else os.path.join(os.getcwd(), path))
        links = 0
        while True:
            name = names.pop(0) if names else "."
            if name == "..":
                steps = steps[: max(1, len(steps) - 1)]
                continue
            status = _entry_status(steps[-1], name)
            if status and stat.S_ISLNK(status.st_mode) and (names or follow):
                links += 1
                if links > MAX_LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
                target = os.readlink(name, dir_fd=steps[-1].descriptor)
                names = _names(target) + names
                steps = steps[:1] if os.path.isabs(target) else steps
            elif names:
                steps.append(_enter(steps[-1], name))
                opened.callback(os.close, steps[-1].descriptor)
            else:
                directory, above, is_shared = steps[-1]
                yield Place(directory, name, os.path.join(above, name), status, is_shared)
                return


def _names(path: str) -> list[str]:
    return [name for name in path.split("/") if name not in {"", "."}]


def _entry_status(step: _Step, name: str) -> os.stat_result | None:
    """Return the status of an entry; None if there is none. In a shared directory it must be trusted."""
    try:
        status = os.stat(name, dir_fd=step.descriptor, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if step.is_shared and name != "." and not _is_trusted(status.st_uid):
        path = os.path.join(step.path, name)
        raise UnsafePathError(_refusal(path, f"it belongs to {NAMES.owner_name(status.st_uid)}"))
    return status


def _enter(step: _Step, name: str) -> _Step:
    path = os.path.join(step.path, name)
    descriptor = os.open(name, _DIRECTORY, dir_fd=step.descriptor)
    status = os.fstat(descriptor)
    is_shared = _others_can_write(status)
    reason = None
    if not _is_trusted(status.st_uid):
        reason = f"it belongs to {NAMES.owner_name(status.st_uid)}"
    elif is_shared and not status.st_mode & stat.S_ISVTX:
        reason = f"others may write to it (mode {stat.S_IMODE(status.st_mode):04o})"
    if reason:
        os.close(descriptor)
        raise UnsafePathError(_refusal(path, reason))
    return _Step(descriptor, path, is_shared)


def _refusal(path: str, reason: str) -> str:
    return f"{path} is not used: {reason}, so that another user could replace what is in it"


def _is_trusted(uid: int) -> bool:
    return TRUST.others or uid in {0, os.geteuid()}


def _others_can_write(status: os.stat_result) -> bool:
    if TRUST.others:
        return False
    if status.st_mode & stat.S_IWOTH:
        return True
    return bool(status.st_mode & stat.S_IWGRP) and _has_other_members(status.st_gid, status.st_uid)


def _has_other_members(gid: int, uid: int) -> bool:
    """Return whether a group has members other than root and a user; `staff` of /usr/local has none."""
    group = NAMES.group(gid)
    return group is None or not group.uids <= {0, uid}


def check_directory(path: str) -> None:
    """Raise UnsafePathError if another user could redirect the path, or can write to the directory.

    A directory that does not exist, or that this user cannot enter, is no error here: its use fails later.
    """
    with contextlib.suppress(OSError), place(os.path.join(path, "entry")) as entry:
        if entry.is_shared:
            raise UnsafePathError(_refusal(path, "everyone may write to it"))


def make_directory(path: str, mode: int) -> None:
    """Make a directory, and missing parents with mode 0755, whatever the umask. Existing ones do not change.

    Raises UnsafePathError or OSError.
    """
    missing: list[str] = []
    existing = path = os.path.abspath(path)
    while not os.path.lexists(existing):
        missing.append(existing)
        existing = os.path.dirname(existing)
    for directory in reversed(missing):
        with place(directory) as entry:
            try:
                os.mkdir(entry.name, 0o700, dir_fd=entry.directory)
            except FileExistsError:  # another start has made it in between
                continue
            made = os.open(entry.name, os.O_RDONLY | os.O_DIRECTORY | OWN_FILE, dir_fd=entry.directory)
            try:
                os.fchmod(made, mode if directory == missing[0] else 0o755)
            finally:
                os.close(made)
    if not os.path.isdir(path):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
    with place(os.path.join(path, "entry")):
        pass  # this checks an existing directory, too


def list_directory(path: str, *, sticky: int = 0) -> list[str]:
    """Return the names in a directory. Raises UnsafePathError or OSError.

    `sticky` has the permissions to write that others may have if the directory is sticky: S_IWGRP, S_IWOTH.
    """
    with place(os.path.join(path, "entry")) as entry:
        listed = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=entry.directory)
        try:
            if entry.is_shared and os.fstat(listed).st_mode & (stat.S_IWGRP | stat.S_IWOTH) & ~sticky:
                raise UnsafePathError(_refusal(path, "others may write to it"))
            return os.listdir(listed)
        finally:
            os.close(listed)


def read(entry: Place) -> bytes:
    """Return the content of a regular file. Raises OSError, and PycrondError for anything else."""
    if entry.status is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), entry.path)
    if not stat.S_ISREG(entry.status.st_mode):
        raise IrregularFileError(f"{entry.path} is not a regular file")
    with open(open_regular(entry.name, os.O_RDONLY | os.O_NOFOLLOW, entry.directory), "rb") as file:
        return file.read()


def read_file(path: str) -> bytes:
    """Return the content of a regular file at a path. Raises UnsafePathError, PycrondError or OSError."""
    with place(path) as entry:
        return read(entry)


def open_regular(path: str, flags: int, directory: int | None = None) -> int:
    """Open an existing regular file. Anything else, such as a device or FIFO, is not opened: PycrondError.

    `flags` are those of open(2): O_NOFOLLOW refuses a symbolic link with ELOOP.
    """
    node = os.open(path, os.O_PATH | os.O_CLOEXEC | flags & os.O_NOFOLLOW, dir_fd=directory)
    try:
        mode = os.fstat(node).st_mode
        if stat.S_ISLNK(mode):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        if not stat.S_ISREG(mode):
            raise IrregularFileError(f"{path} is not a regular file")
        # Without O_NONBLOCK, a lease of the file's owner would block the open for 45 s.
        flags = flags & ~os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        return os.open(f"/proc/self/fd/{node}", flags)
    finally:
        os.close(node)


def write_file(
    path: str, data: bytes, mode: int, *, owner: tuple[int, int] | None = None, is_new: bool = False
) -> None:
    """Write a file as `replace` does; with `is_new`, raise FileExistsError if there is an entry."""
    with place(path) as entry:
        if is_new and entry.status:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
        replace(entry, data, mode, owner)


def replace(entry: Place, data: bytes, mode: int, owner: tuple[int, int] | None = None) -> None:
    """Write a new file and rename it to the entry's name: readers see either the old or the new content.

    `owner` is the uid and gid of the file; without the right to set them, the file belongs to this user. An
    entry that is not a regular file is refused. Raises PycrondError or OSError.
    """
    if entry.status and not stat.S_ISREG(entry.status.st_mode):
        raise IrregularFileError(f"{entry.path} is not a regular file")
    new = f".{entry.name[:200]}.{os.urandom(8).hex()}"
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | OWN_FILE, 0o600, dir_fd=entry.directory)
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            if owner is not None:
                with contextlib.suppress(PermissionError):
                    os.fchown(descriptor, *owner)
            os.fchmod(descriptor, mode)
            os.fsync(descriptor)
        os.rename(new, entry.name, src_dir_fd=entry.directory, dst_dir_fd=entry.directory)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(new, dir_fd=entry.directory)
        raise
