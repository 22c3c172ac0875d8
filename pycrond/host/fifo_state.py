"""Inspection of the bytes in a FIFO, which stay there: tee(2) copies them into a pipe of this process."""

import contextlib
import ctypes
import errno
import fcntl
import functools
import os
import select
from typing import NamedTuple

_MAX_SIZE = 1 << 30  # bytes copied at once; a pipe has less
_SPLICE_F_NONBLOCK = 2  # <linux/splice.h>

_libc = ctypes.CDLL(None, use_errno=True)
_libc.tee.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_size_t, ctypes.c_uint)
_libc.tee.restype = ctypes.c_ssize_t


class FifoState(NamedTuple):
    """The number of bytes in a FIFO, and the state of its writers."""

    lines: int
    """The number of bytes up to the last newline."""
    size: int
    """The number of all bytes."""
    is_full: bool
    """A writer has to wait, although there may be room for some bytes."""
    is_ended: bool
    """No process has the FIFO open for writing."""


NO_WRITER = FifoState(0, 0, is_full=False, is_ended=True)


@functools.cache
def _pipe() -> tuple[int, int]:
    return os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)


def peek(fifo: int) -> FifoState:
    """Return the state of a FIFO. Raises OSError."""
    is_ended = bool(_events(fifo, select.POLLIN) & select.POLLHUP)  # first: no byte can come after that
    reader, writer = _pipe()
    capacity = fcntl.fcntl(fifo, fcntl.F_GETPIPE_SZ)
    if capacity != fcntl.fcntl(writer, fcntl.F_GETPIPE_SZ):
        with contextlib.suppress(OSError):  # then only the beginning of a larger FIFO is copied
            fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, capacity)
    size: int = _libc.tee(fifo, writer, _MAX_SIZE, _SPLICE_F_NONBLOCK)
    if size < 0:
        number = ctypes.get_errno()
        if number != errno.EAGAIN:
            raise OSError(number, os.strerror(number))
        return FifoState(0, 0, is_full=False, is_ended=False)
    if not size:  # poll(2) reports no POLLHUP for a FIFO that had no writer when it was opened
        return NO_WRITER
    is_full = not _events(writer, select.POLLOUT)  # a pipe is full when each of its buffers has some bytes
    data = os.read(reader, size)
    return FifoState(data.rfind(b"\n") + 1, size, is_full, is_ended)


def _events(descriptor: int, event: int) -> int:
    poll = select.poll()
    poll.register(descriptor, event)
    return sum(events for _, events in poll.poll(0))
