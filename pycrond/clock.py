"""The clocks: the only module that reads them."""

import time
from datetime import UTC, datetime


def now() -> datetime:
    """The wall clock, aware, in UTC."""
    return datetime.fromtimestamp(time.time(), UTC)


def suspended() -> float:
    """Seconds since boot that the machine was asleep."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)


def elapsed() -> float:
    """Seconds since boot, sleep included: what durations are measured with."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
