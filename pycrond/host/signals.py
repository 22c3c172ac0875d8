"""Signals as bytes on a pipe: a signal only wakes the loop, which then reads what came."""

import os
import signal
from types import FrameType

HANDLED = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGUSR2, signal.SIGCHLD)


def block() -> None:
    """Keep the wanted signals pending, for the time between exec and `SignalPipe`: there, they would kill."""
    signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)


def unblock() -> None:
    """Let what is pending come."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)


def _nothing(_number: int, _frame: FrameType | None) -> None:
    """The whole of every signal's work here; the wakeup pipe does the rest."""


class SignalPipe:
    """The read end of the wakeup pipe; made once a process, in its main thread."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        self._before = {number: signal.signal(number, _nothing) for number in HANDLED}

    def fileno(self) -> int:
        return self._reader

    def read(self) -> set[int]:
        """The signals that came since the last call, each once."""
        came: set[int] = set()
        while True:
            try:
                came.update(os.read(self._reader, 4096))
            except BlockingIOError:
                return came

    def close(self) -> None:
        """Put the old disposition back; only tests live on after this."""
        signal.set_wakeup_fd(-1)
        for number, before in self._before.items():
            signal.signal(number, before)
        os.close(self._reader)
        os.close(self._writer)
