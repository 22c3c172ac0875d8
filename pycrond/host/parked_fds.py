"""Descriptors parked in a socket while many processes are started."""

import contextlib
import os
import socket
from collections.abc import Iterator, Sequence

MIN_PARKED = 100  # descriptors; fewer cost less if they stay open
FDS_PER_MESSAGE = 250  # the kernel takes at most 253


@contextlib.contextmanager
def parked_fds(descriptors: Sequence[int]) -> Iterator[list[int]]:
    """Move descriptors into a socket, so that the start of a process does not copy them and its exec does not
    close them: a thousand cost 60 us per start. Afterwards the list has the descriptors again, in the same
    order, with new numbers.
    """
    parked = list(descriptors)
    if len(parked) < MIN_PARKED:
        yield parked
        return
    receiver, sender = socket.socketpair()
    with receiver, sender:
        count = _send(sender, parked)
        try:
            yield parked
        finally:
            parked[:count] = _receive(receiver, count)


def _send(sender: socket.socket, descriptors: Sequence[int]) -> int:
    """Send descriptors and close them here; return the number that the kernel took."""
    sent = 0
    with contextlib.suppress(OSError):
        while batch := descriptors[sent : sent + FDS_PER_MESSAGE]:
            socket.send_fds(sender, [b"F"], batch)
            for descriptor in batch:
                os.close(descriptor)
            sent += len(batch)
    return sent


def _receive(receiver: socket.socket, count: int) -> list[int]:
    descriptors: list[int] = []
    for _ in range(0, count, FDS_PER_MESSAGE):
        descriptors += socket.recv_fds(receiver, 1, FDS_PER_MESSAGE)[1]
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    return descriptors
