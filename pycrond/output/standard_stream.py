"""Reliable writing to standard output or standard error, whose reader may be slow, stand still or end.

Bytes that the kernel has accepted count as delivered: a pipe, terminal or file has no acknowledgement.
"""

import contextlib
import os
import select
import socket
import stat
from collections.abc import Iterable

from pycrond.output.syslog_socket import writable

RETRY_INTERVAL = 1.0  # seconds after an error: the disk is full, or no process reads


def is_null(number: int) -> bool:
    """Return whether a descriptor is /dev/null: the daemon is in the background, or it was closed."""
    return os.fstat(number).st_rdev == os.stat(os.devnull).st_rdev


class StandardStream:
    """A target whose descriptor other processes share, so that O_NONBLOCK must not be set on it."""

    def __init__(self, number: int) -> None:
        self._shared = number
        self._descriptor = -1  # the same file, opened again without blocking; or `number`
        self._socket: socket.socket | None = None
        self._is_blocking = False
        self._pending = b""  # bytes to be written
        self._tokens: list[object] = []  # of written packets
        self._token: object = None  # of the pending packets
        self._is_full = False  # the file has no room
        self._now = self._retry_at = 0.0

    def open(self) -> None:
        """Open the file again, if that is possible; a socket need not be opened again."""
        mode = os.fstat(self._shared).st_mode
        self._descriptor = self._shared
        if stat.S_ISSOCK(mode):
            self._socket = socket.socket(fileno=os.dup(self._shared))
        elif not stat.S_ISREG(mode):  # a regular file never blocks, and its users share an offset
            self._is_blocking = True  # another user's pipe or terminal
            with contextlib.suppress(OSError):
                flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY
                self._descriptor = os.open(f"/proc/self/fd/{self._shared}", flags)
                self._is_blocking = False

    def close(self) -> None:
        """Close the file that `open` has opened. The next process sends the unacknowledged output again."""
        if self._socket:
            self._socket.close()
        if self._descriptor not in {-1, self._shared}:
            os.close(self._descriptor)
        self._descriptor, self._socket = -1, None

    def fileno(self) -> int | None:
        return self._socket.fileno() if self._socket else self._descriptor

    @property
    def can_send(self) -> bool:
        """True while no bytes are pending."""
        return not self._pending

    @property
    def wants_write(self) -> bool:
        """True while the file has no room. After an error, `retry_in` decides: the file would always be
        reported as ready.
        """
        return self._is_full

    def retry_in(self) -> float | None:
        """Return the seconds from the last `tick` to the next after an error; None if there was none."""
        return max(0.0, self._retry_at - self._now) if self._pending and not self._is_full else None

    def tick(self, elapsed: float) -> None:
        """Continue to write pending bytes. `elapsed` is `clock.elapsed()`."""
        self._now = elapsed
        if self._pending and (self._is_full or elapsed >= self._retry_at):
            self._write()

    def send(self, packets: Iterable[bytes], token: object) -> None:
        """Write packets of whole lines; only while `can_send`. A pipe accepts PIPE_BUF bytes as a whole."""
        self._pending, self._token = b"".join(packets), token
        self._write()

    def _write(self) -> None:
        self._is_full = False
        try:
            while self._pending:
                self._pending = self._pending[self._write_part() :]
        except BlockingIOError:
            self._is_full = True
        except OSError:  # EPIPE, ENOSPC, EIO
            self._retry_at = self._now + RETRY_INTERVAL
        else:
            self._tokens.append(self._token)

    def _write_part(self) -> int:
        if self._socket:
            return self._socket.send(self._pending, socket.MSG_DONTWAIT)
        if not self._is_blocking:
            return os.write(self._descriptor, self._pending)
        if not writable(self._descriptor):
            raise BlockingIOError
        return os.write(self._descriptor, self._pending[: select.PIPE_BUF])

    def pop_acknowledged(self) -> list[object]:
        """Return the tokens of written packets, in order."""
        tokens, self._tokens = self._tokens, []
        return tokens
