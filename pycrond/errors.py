"""What can be wrong, as values: errors a person can act on, and problems found in files."""

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning"]


class PycrondError(Exception):
    """Something the user can act on; its text is the whole message."""

    status = 1
    """The exit status of the command line: 1 the user can act."""


class NotRunningError(PycrondError):
    """There is no daemon to talk to."""

    status = 3


class UnreadableError(PycrondError):
    """A file or folder that is not read, and why."""


class MissingDirectoryError(UnreadableError):
    """A folder that is not there or cannot be listed: rather an accident than an order to run nothing."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a file; prints as ``file:line:column: severity: message``.

    `line` and `column` count from 1 and are 0 where the whole file is meant. `code` is a short
    stable word for the kind of problem, by which a warning can be silenced.
    """

    file: str
    line: int
    column: int
    severity: Severity
    code: str
    message: str

    def __str__(self) -> str:
        place = self.file
        if self.line:
            place += f":{self.line}"
        if self.column:
            place += f":{self.column}"
        return f"{place}: {self.severity}: {self.message}"
