"""The lateness of starts since the daemon began."""

from collections import deque
from typing import Any

MAX_LATENESSES = 10_000  # starts whose lateness is remembered
RECENT_TIME = 600.0  # seconds
BOUNDS = (0.1, 1.0, 10.0, 60.0)  # seconds


class Lateness:
    """The lateness of the latest starts by a schedule, and totals of all such starts."""

    def __init__(self) -> None:
        self._latest: deque[tuple[float, float]] = deque(maxlen=MAX_LATENESSES)
        self._starts = 0
        self._seconds = 0.0
        self._within = dict.fromkeys(BOUNDS, 0)

    def add(self, elapsed: float, lateness: float) -> None:
        """Add a start at `elapsed`, by clock.elapsed, and its lateness in ms."""
        self._latest.append((elapsed, lateness))
        self._starts += 1
        self._seconds += max(0.0, lateness / 1000)
        for bound in self._within:
            self._within[bound] += lateness / 1000 <= bound

    def figures(self, elapsed: float) -> dict[str, Any]:
        """Return the number of the latest starts, the median, the 99th percentile and the maximum of their
        lateness in ms or None, the maximum of the last 10 minutes, and the totals of all starts.
        """
        values = sorted(lateness for _, lateness in self._latest)
        recent = [lateness for at, lateness in self._latest if elapsed - at <= RECENT_TIME]
        last = len(values) - 1
        figures = {
            "median": values[last // 2] if values else None,
            "p99": values[-(-last * 99 // 100)] if values else None,
            "worst": values[-1] if values else None,
            "worst_recent": max(recent, default=None),
        }
        rounded = {name: None if value is None else round(value, 3) for name, value in figures.items()}
        within = {str(bound): count for bound, count in self._within.items()}
        total = {"starts": self._starts, "seconds": round(self._seconds, 3), "within": within}
        return {"starts": len(values), **rounded, "total": total}
