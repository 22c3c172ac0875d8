"""Errors that a user can act on, and problems in files."""

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning"]


class PycrondError(Exception):
    """An error that the user can act on; its text is the whole message."""

    status = 1
    """The exit status of the command line."""


class NotRunningError(PycrondError):
    """No daemon is running."""

    status = 3


class UnusableAccountError(PycrondError):
    """An account as which nothing may run now; the text is the reason."""


class UnknownUserError(UnusableAccountError):
    """There is no such user, perhaps for a moment only."""


class UnreadableError(PycrondError):
    """A file or directory that is not read; the text is the reason."""


class TooLargeError(UnreadableError):
    """A crontab beyond a limit. Its last good version is kept, as after any other bad edit."""

    def __init__(self, message: str, uid: int) -> None:
        """`uid` is the file's owner."""
        super().__init__(message)
        self.uid = uid


class MissingDirectoryError(UnreadableError):
    """A directory that does not exist or cannot be listed. Its jobs are kept, as this may be an accident."""


@dataclass(frozen=True, slots=True)
class Problem:
    """An error or warning about a file; prints as ``file:line:column: severity: message``.

    `line` and `column` count from 1; they are 0 for a problem of the whole file. `code` is a short stable
    name of the kind of problem, by which a warning can be silenced.
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
