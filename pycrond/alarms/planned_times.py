"""The times at which things are looked at."""

import math
from collections.abc import Iterator
from heapq import heappop, heappush
from itertools import count
from typing import Generic, TypeVar

T = TypeVar("T")


class PlannedTimes(Generic[T]):
    """Things, each with the earliest of the times that were planned for it, in Unix seconds."""

    def __init__(self) -> None:
        # A heap; its entries are superseded where `_planned` has another time. The numbers make them unequal.
        self._heap: list[tuple[float, int, T]] = []
        self._planned: dict[T, float] = {}
        self._numbers = count()

    def clear(self) -> None:
        self._heap, self._planned = [], {}

    def plan(self, thing: T, at: float | None) -> None:
        """Look at a thing at a time, unless it is looked at before that anyway; None: never."""
        if at is not None and at < self._planned.get(thing, math.inf):
            heappush(self._heap, (at, next(self._numbers), thing))
            self._planned[thing] = at

    @property
    def first(self) -> tuple[float, T] | None:
        """The earliest time, and its thing."""
        while self._heap:
            at, _, thing = self._heap[0]
            if self._planned.get(thing) == at:
                return at, thing
            heappop(self._heap)
        return None

    def pop(self) -> T:
        """Remove and return the thing of `first`."""
        _, _, thing = heappop(self._heap)
        del self._planned[thing]
        return thing

    def pop_due(self, now: float) -> Iterator[T]:
        """Remove and yield the things to be looked at now."""
        while (first := self.first) and first[0] <= now:
            yield self.pop()
