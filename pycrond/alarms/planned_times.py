"""Planned times of values: the earliest is found fast."""

import math
from collections.abc import Iterator
from heapq import heappop, heappush
from itertools import count
from typing import Generic, TypeVar

T = TypeVar("T")


class PlannedTimes(Generic[T]):
    """Values, each with the earliest time that was planned for it, in Unix seconds."""

    def __init__(self) -> None:
        # A heap; an entry is stale if `_planned` has another time. The numbers make all entries different.
        self._heap: list[tuple[float, int, T]] = []
        self._planned: dict[T, float] = {}
        self._numbers = count()

    def clear(self) -> None:
        self._heap, self._planned = [], {}

    def plan(self, value: T, at: float | None) -> None:
        """Plan a time for a value, unless an earlier one is planned; None changes nothing."""
        if at is not None and at < self._planned.get(value, math.inf):
            heappush(self._heap, (at, next(self._numbers), value))
            self._planned[value] = at

    @property
    def first(self) -> tuple[float, T] | None:
        """The earliest time, and its value."""
        while self._heap:
            at, _, value = self._heap[0]
            if self._planned.get(value) == at:
                return at, value
            heappop(self._heap)
        return None

    def pop(self) -> T:
        """Remove and return the value of `first`."""
        _, _, value = heappop(self._heap)
        del self._planned[value]
        return value

    def pop_due(self, now: float) -> Iterator[T]:
        """Remove and yield the values whose times have come."""
        while (first := self.first) and first[0] <= now:
            yield self.pop()
