"""The times at which jobs with `expect` are looked at."""

import math
from collections.abc import Iterator
from heapq import heappop, heappush


class OverdueTimes:
    """A heap of times and keys, in Unix seconds; some may be too early."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, str]] = []
        self._planned: dict[str, float] = {}  # the time in the heap of each key

    def clear(self) -> None:
        self._heap, self._planned = [], {}

    def plan(self, key: str, at: float) -> None:
        """Look at a job at a time, unless it is looked at before that anyway."""
        if at < self._planned.get(key, math.inf):
            heappush(self._heap, (at, key))
            self._planned[key] = at

    @property
    def next_at(self) -> float | None:
        """When the first job is looked at."""
        return self._heap[0][0] if self._heap else None

    def pop(self, now: float) -> Iterator[str]:
        """Yield the jobs to be looked at now."""
        while self._heap and now >= self._heap[0][0]:
            planned_at, key = heappop(self._heap)
            if self._planned.get(key) == planned_at:
                del self._planned[key]
                yield key
