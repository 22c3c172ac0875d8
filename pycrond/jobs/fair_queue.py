"""A queue in which users take turns. Pure."""

import itertools
from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class FairQueue(Generic[T]):
    """Waiting things, each of a user: users take turns, and the things of each user keep their order."""

    def __init__(self) -> None:
        self._of_user: dict[str, deque[T]] = {}  # the user whose turn is next comes first
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[T]:
        """Iterate over the things of one user after the other."""
        return itertools.chain.from_iterable(self._of_user.values())

    def push(self, user: str, thing: T) -> None:
        """Add a thing as the last of its user."""
        self._of_user.setdefault(user, deque()).append(thing)
        self._length += 1

    def pop(self) -> T:
        """Remove and return the first thing of the user whose turn it is. Raises StopIteration if empty."""
        user = next(iter(self._of_user))
        things = self._of_user.pop(user)
        if len(things) > 1:
            self._of_user[user] = things  # the user's next turn comes after the turns of all other users
        self._length -= 1
        return things.popleft()
