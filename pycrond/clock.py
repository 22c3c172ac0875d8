"""The clocks. No other module reads them."""

import time
from datetime import UTC, datetime


def now() -> datetime:
    """Return the wall clock as an aware datetime in UTC."""
    return datetime.fromtimestamp(time.time(), UTC)


def suspended() -> float:
    """Return the seconds since boot during which the machine slept."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)


def elapsed() -> float:
    """Return the seconds since boot, including sleep, to measure durations."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
