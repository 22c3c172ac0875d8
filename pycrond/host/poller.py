"""Waiting for descriptors, in one place: an epoll set with callbacks."""

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
        """The set's own descriptor, by which another set can watch it."""
        return self._epoll.fileno()

    def register(self, source: HasFileno | int, callback: Callable[[], None], *, write: bool = False) -> None:
        """Call `callback` whenever there is something to read, or with `write` room to write."""
        number = source if isinstance(source, int) else source.fileno()
        mask = select.EPOLLOUT if write else select.EPOLLIN
        if number in self._callbacks:
            self._epoll.modify(number, mask)
        else:
            self._epoll.register(number, mask)
        self._callbacks[number] = callback

    def unregister(self, source: HasFileno | int) -> None:
        """Stop watching a descriptor, before it is closed. At end of file it would wake the loop forever."""
        number = source if isinstance(source, int) else source.fileno()
        if self._callbacks.pop(number, None):
            self._epoll.unregister(number)

    def wait(self, timeout: float | None, most: int = -1) -> Iterator[Callable[[], None]]:
        """Wait for a descriptor, at most `timeout` seconds (None: no limit); yield the callbacks to call.
        A callback that unregisters a descriptor also removes it from this round.

        With `most`, descriptors beyond so many have their turn in the next calls, before those of this one.
        """
        ready = self._epoll.poll(timeout, most)
        return (callback for number, _ in ready if (callback := self._callbacks.get(number)))

    def close(self) -> None:
        self._epoll.close()
