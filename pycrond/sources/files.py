"""Listing and reading crontab files."""

import errno
import os
from io import FileIO

from pycrond.errors import MissingDirectoryError, Problem, TooLargeError, UnreadableError, os_reason
from pycrond.host import safe_paths
from pycrond.sources.file_rules import OWN_CHECK, PermissionCheck, permission_problem, skip_reason

MAX_BYTES = 64 << 20  # of a crontab; a larger file is a mistake


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
