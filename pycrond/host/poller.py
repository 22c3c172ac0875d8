"""The one place that waits: descriptors, and what to call when one has something."""

import select
from collections.abc import Callable, Iterator
from typing import Protocol


class HasFileno(Protocol):
    def fileno(self) -> int: ...


class Poller:
    """An epoll set with a callback a descriptor."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._calls: dict[int, Callable[[], None]] = {}

    def register(self, source: HasFileno | int, call: Callable[[], None], *, write: bool = False) -> None:
        """From now on call this when there is something to read, or with `write`, room to write."""
        number = source if isinstance(source, int) else source.fileno()
        mask = select.EPOLLOUT if write else select.EPOLLIN
        if number in self._calls:
            self._epoll.modify(number, mask)
        else:
            self._epoll.register(number, mask)
        self._calls[number] = call

    def unregister(self, source: HasFileno | int) -> None:
        """Look no more; to be called before the descriptor is closed. An end of file left in would spin."""
        number = source if isinstance(source, int) else source.fileno()
        if self._calls.pop(number, None):
            self._epoll.unregister(number)

    def wait(self, timeout: float | None) -> Iterator[Callable[[], None]]:
        """Sleep until something comes or `timeout` seconds are over (None: for as long as it takes).
        A call that takes a descriptor out takes it out of this round too.
        """
        found = self._epoll.poll(timeout)
        return (call for number, _ in found if (call := self._calls.get(number)))

    def close(self) -> None:
        self._epoll.close()
