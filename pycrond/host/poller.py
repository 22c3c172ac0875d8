"""The one place that waits for descriptors: an epoll set with callbacks."""

import select
from collections.abc import Callable, Iterator
from typing import Protocol


class HasFileno(Protocol):
    def fileno(self) -> int: ...


class Poller:
    """An epoll set with a callback for each descriptor."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._callbacks: dict[int, Callable[[], None]] = {}

    def fileno(self) -> int:
        """Return the descriptor of the set, which another set can watch."""
        return self._epoll.fileno()

    def register(self, source: HasFileno | int, callback: Callable[[], None], *, write: bool = False) -> None:
        """Call `callback` whenever the descriptor is readable, or with `write` whenever it is writable."""
        number = source if isinstance(source, int) else source.fileno()
        mask = select.EPOLLOUT if write else select.EPOLLIN
        if number in self._callbacks:
            self._epoll.modify(number, mask)
        else:
            self._epoll.register(number, mask)
        self._callbacks[number] = callback

    def unregister(self, source: HasFileno | int) -> None:
        """Stop watching a descriptor, before it is closed. A descriptor at end of file wakes the loop
        forever.
        """
        number = source if isinstance(source, int) else source.fileno()
        if self._callbacks.pop(number, None):
            self._epoll.unregister(number)

    def wait(self, timeout: float | None, max_events: int = -1) -> Iterator[Callable[[], None]]:
        """Wait for a descriptor, at most `timeout` seconds (None: no limit); yield the callbacks to call.
        A callback that unregisters a descriptor also removes it from this round.

        If more than `max_events` descriptors are ready, the next calls return the others first.
        """
        ready = self._epoll.poll(timeout, max_events)
        return (callback for number, _ in ready if (callback := self._callbacks.get(number)))

    def close(self) -> None:
        self._epoll.close()
