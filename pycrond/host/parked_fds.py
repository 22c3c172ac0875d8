"""Descriptors put aside while many processes are started."""

import contextlib
import os
import socket
from collections.abc import Iterator, Sequence

MIN_PARKED = 100  # descriptors that cost less where they are
FDS_PER_MESSAGE = 250  # descriptors in a message; the kernel takes 253


@contextlib.contextmanager
def parked_fds(descriptors: Sequence[int]) -> Iterator[list[int]]:
    """Keep them in a socket meanwhile. Each process that is started would have them all copied, and closed
    again at its exec: a thousand are 60 us of its start. Afterwards they are in the list, in the same order,
    with other numbers.
    """
    back = list(descriptors)
    if len(back) < MIN_PARKED:
        yield back
        return
    end, other = socket.socketpair()
    with end, other:
        sent = _send(other, back)
        try:
            yield back
        finally:
            back[:sent] = _receive(end, sent)


def _send(end: socket.socket, descriptors: Sequence[int]) -> int:
    """Send them, and close them here: how many the kernel has taken."""
    sent = 0
    with contextlib.suppress(OSError):
        while batch := descriptors[sent : sent + FDS_PER_MESSAGE]:
            socket.send_fds(end, [b"F"], batch)
            for each in batch:
                os.close(each)
            sent += len(batch)
    return sent


def _receive(end: socket.socket, number: int) -> list[int]:
    found: list[int] = []
    for _ in range(0, number, FDS_PER_MESSAGE):
        found += socket.recv_fds(end, 1, FDS_PER_MESSAGE)[1]
    for each in found:
        os.set_inheritable(each, False)
    return found
