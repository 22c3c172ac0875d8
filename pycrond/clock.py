"""The clocks. No other module reads them."""

import time
from datetime import UTC, datetime


def now() -> datetime:
    """Return the wall clock as an aware datetime in UTC."""
    return datetime.fromtimestamp(time.time(), UTC)


EARLIEST, LATEST = 0.0, 253_370_000_000.0  # the year 9998: a conversion to a time zone needs room until 9999


def at(seconds: float) -> datetime:
    """Return the datetime of a Unix time; a number outside the calendar gives `EARLIEST` or `LATEST`."""
    return datetime.fromtimestamp(min(max(EARLIEST, seconds), LATEST), UTC)


def suspended() -> float:
    """Return the seconds since boot during which the machine slept."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)


def elapsed() -> float:
    """Return the seconds since boot, including sleep, to measure durations."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
