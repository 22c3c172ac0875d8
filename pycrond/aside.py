"""Descriptors put aside while many processes are started."""

import contextlib
import os
import socket
from collections.abc import Sequence

FEW = 100  # descriptors that cost less where they are
BATCH = 250  # descriptors in a message; the kernel takes 253


class Aside:
    """Descriptors that wait in a socket of ours. Each process that is started would have them all copied, and
    closed again at its exec: a thousand are 60 us of its start.
    """

    def __init__(self, descriptors: Sequence[int]) -> None:
        """They are closed here, as far as the kernel takes them into the socket."""
        self._left = list(descriptors)
        self._messages = 0
        self._end, end = socket.socketpair()
        with end, contextlib.suppress(OSError):
            while len(descriptors) >= FEW and self._left:
                socket.send_fds(end, [b"F"], self._left[:BATCH])
                for each in self._left[:BATCH]:
                    os.close(each)
                del self._left[:BATCH]
                self._messages += 1

    def back(self) -> list[int]:
        """The same in the same order, with other numbers."""
        found: list[int] = []
        for _ in range(self._messages):
            found += socket.recv_fds(self._end, 1, BATCH)[1]
        for each in found:
            os.set_inheritable(each, False)
        self._end.close()
        return found + self._left
