"""The standard streams of the command line: all three are open, and their errors are errors for the user."""

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import Any

from pycrond.errors import PycrondError, os_reason

NAMES = ("standard input", "standard output", "standard error")
OPENED = (os.O_WRONLY, os.O_RDWR, os.O_RDWR)
"""How /dev/null is opened for a stream that is closed: to read nothing there could empty a crontab."""


class OutputError(Exception):
    """Standard output takes nothing; the text is the whole message. No command catches it by accident."""

    status = 1


class _Input(io.FileIO):
    """Standard input. An error raises PycrondError."""

    def readinto(self, buffer: Any) -> int | None:
        with _explained():
            return super().readinto(buffer)

    def readall(self) -> bytes:
        with _explained():
            return super().readall() or b""


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise PycrondError(f"cannot read {NAMES[0]}: {os_reason(error)}") from error


class _Output(io.FileIO):
    """Standard output or standard error. A pipe without a reader raises BrokenPipeError, another error
    OutputError; on standard error it is ignored, as nothing could say so.
    """

    def write(self, data: Any) -> int | None:  # type: ignore[override]
        try:
            return super().write(data)
        except BrokenPipeError:
            raise
        except OSError as error:
            if self.fileno() == 1:
                raise OutputError(f"cannot write to {NAMES[1]}: {os_reason(error)}") from error
            return len(data)


def open_standard_streams() -> None:
    """Replace the streams of `sys`. Closed ones get /dev/null, so that no other file gets their numbers."""
    for number, flags in enumerate(OPENED):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, flags), True)  # it gets the lowest free number
    sys.stdin = _text(io.BufferedReader(_Input(0, "r", closefd=False)), sys.stdin, "surrogateescape")
    sys.stdout = _text(io.BufferedWriter(_Output(1, "w", closefd=False)), sys.stdout, "surrogateescape")
    sys.stderr = _text(io.BufferedWriter(_Output(2, "w", closefd=False)), sys.stderr, "backslashreplace")


def _text(stream: Any, old: Any, errors: str) -> io.TextIOWrapper:
    """Return a stream of text with the encoding of the old one, which is None if it was closed."""
    if old is None:
        return io.TextIOWrapper(stream, "utf-8", errors, line_buffering=True)
    return io.TextIOWrapper(
        stream, old.encoding, old.errors, line_buffering=old.line_buffering or old.write_through
    )


def discard_output() -> None:
    """Discard the unwritten rest of standard output: Python would try to write it when it ends, and fail."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)
