"""Errors that a user can act on, and problems in files."""

import errno
import os
from typing import Literal, NamedTuple

Severity = Literal["error", "warning"]


class PycrondError(Exception):
    """An error that the user can act on; its text is the whole message."""

    status = 1
    """The exit status of the command line."""


class NotRunningError(PycrondError):
    """No daemon is running."""

    status = 3


class NoAnswerError(PycrondError):
    """The daemon or its keeper did not answer in time."""


class UnusableAccountError(PycrondError):
    """An account whose commands cannot run now; the text is the reason."""


class UnknownUserError(UnusableAccountError):
    """The user does not exist, perhaps only for a moment."""


class UnreadableError(PycrondError):
    """A file or directory that is not read; the text is the reason."""


class TooLargeError(UnreadableError):
    """A crontab that exceeds a limit. Its last good version is kept, as after any other bad edit."""

    def __init__(self, message: str, uid: int) -> None:
        """`uid` is the file's owner."""
        super().__init__(message)
        self.uid = uid


class MissingDirectoryError(UnreadableError):
    """A directory that does not exist or cannot be listed. Its jobs are kept: this may be an accident."""


OS_REASONS = {
    errno.EROFS: "the file system is read-only",
    errno.EDQUOT: "the user's disk quota is used up",
    errno.EIO: "the device reports an error",
    errno.ESTALE: "the file server no longer has the file",
    errno.ETXTBSY: "the program is being written",
}
"""Clearer texts for errors of the operating system whose usual text is hard to understand."""


def os_reason(error: BaseException) -> str:
    """Return the reason of an error, usually an OSError, as text without its number and path."""
    words = (OS_REASONS.get(error.errno or 0) or error.strerror) if isinstance(error, OSError) else ""
    return words or str(error) or type(error).__name__


def os_message(error: BaseException) -> str:
    """Return the path and the reason of an OSError; only the reason if the error has no path."""
    path = error.filename if isinstance(error, OSError) else None
    return os_reason(error) if path is None else f"{os.fsdecode(path)}: {os_reason(error)}"


class Problem(NamedTuple):
    """An error or warning about a file; prints as ``file:line:column: severity: message``.

    `line` and `column` count from 1; they are 0 for a problem of the whole file. `code` is a short stable
    name of the kind of problem; users silence a warning by it.
    """

    file: str
    line: int
    column: int
    severity: Severity
    code: str
    message: str

    def __str__(self) -> str:
        position = self.file
        if self.line:
            position += f":{self.line}"
        if self.column:
            position += f":{self.column}"
        return f"{position}: {self.severity}: {self.message}"
