"""The timer of the loop: it fires at an instant of the wall clock, or when that clock is set."""

import ctypes
import errno
import os
import struct
import time
from datetime import datetime

# <sys/timerfd.h>; Python has these calls in `os` from 3.13 on.
TFD_NONBLOCK = os.O_NONBLOCK
TFD_CLOEXEC = os.O_CLOEXEC
TFD_TIMER_ABSTIME = 1
TFD_TIMER_CANCEL_ON_SET = 2

_libc = ctypes.CDLL(None, use_errno=True)


class WallClockTimer:
    """A timerfd on CLOCK_REALTIME. epoll's timeout counts CLOCK_MONOTONIC: it is late if the clock is set."""

    def __init__(self) -> None:
        self._descriptor: int = _libc.timerfd_create(time.CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC)
        if self._descriptor < 0:
            raise _last_error()
        self._armed: datetime | None = None

    def fileno(self) -> int:
        return self._descriptor

    def arm(self, at: datetime) -> None:
        """Become readable at `at`, immediately if that is past; a later call replaces an earlier call."""
        if at == self._armed:
            return
        seconds, fraction = divmod(at.timestamp(), 1)
        # An all-zero value would disarm the timer, but no instant here is in 1970.
        value = struct.pack("qqqq", 0, 0, int(seconds), int(fraction * 1_000_000_000))
        flags = TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET
        if _libc.timerfd_settime(self._descriptor, flags, value, None) < 0:
            raise _last_error()
        self._armed = at

    def read(self) -> bool:
        """Consume the event; return True if the clock was set or the machine slept, not if the time came."""
        self._armed = None
        try:
            os.read(self._descriptor, 8)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno != errno.ECANCELED:
                raise
            return True
        return False


def _last_error() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))
