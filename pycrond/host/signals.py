"""Signals as bytes on a pipe: a signal only wakes the loop, which then reads which signals came."""

import os
import signal
from types import FrameType

HANDLED = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGUSR2, signal.SIGCHLD)


def block() -> None:
    """Keep handled signals pending from an exec until there is a `SignalPipe`: they would end the process."""
    signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)


def unblock() -> None:
    """Let the pending handled signals, and all later ones, be delivered."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)


def _do_nothing(_number: int, _frame: FrameType | None) -> None:
    """Do nothing: the wakeup pipe has the signal's number."""


class SignalPipe:
    """The read end of the wakeup pipe; made once in a process, in its main thread."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        for number in HANDLED:
            signal.signal(number, _do_nothing)

    def fileno(self) -> int:
        return self._reader

    def read(self) -> set[int]:
        """Return the signals that came since the last call."""
        numbers: set[int] = set()
        while True:
            try:
                numbers.update(os.read(self._reader, 4096))
            except BlockingIOError:
                return numbers
