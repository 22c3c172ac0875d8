"""The bytes in a FIFO, which stay there: tee(2) copies them into a pipe of this process."""

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


class Waiting(NamedTuple):
    """The number of bytes in a FIFO."""

    lines: int
    """Bytes up to the last newline."""
    size: int
    """Bytes in all."""
    is_full: bool
    """A process that writes has to wait, although there may be room for some bytes."""
    is_ended: bool
    """No process has it open for writing."""


NO_WRITER = Waiting(0, 0, is_full=False, is_ended=True)


@functools.cache
def _pipe() -> tuple[int, int]:
    return os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)


def look(fifo: int) -> Waiting:
    """Return what a FIFO holds. Raises OSError."""
    is_ended = bool(_events(fifo, select.POLLIN) & select.POLLHUP)  # before: then nothing more can come
    reader, writer = _pipe()
    capacity = fcntl.fcntl(fifo, fcntl.F_GETPIPE_SZ)
    if capacity != fcntl.fcntl(writer, fcntl.F_GETPIPE_SZ):
        with contextlib.suppress(OSError):  # of a larger pipe only the beginning is seen
            fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, capacity)
    size: int = _libc.tee(fifo, writer, _MAX_SIZE, _SPLICE_F_NONBLOCK)
    if size < 0:
        number = ctypes.get_errno()
        if number != errno.EAGAIN:
            raise OSError(number, os.strerror(number))
        return Waiting(0, 0, is_full=False, is_ended=False)
    if not size:  # poll(2) does not tell of a FIFO that nobody had open for writing when it was opened
        return NO_WRITER
    is_full = not _events(writer, select.POLLOUT)  # a pipe is full when all its buffers have something
    data = os.read(reader, size)
    return Waiting(data.rfind(b"\n") + 1, size, is_full, is_ended)


def _events(descriptor: int, event: int) -> int:
    poll = select.poll()
    poll.register(descriptor, event)
    return sum(events for _, events in poll.poll(0))
