"""The clocks: the only module that reads them."""

import time
from datetime import UTC, datetime


def now() -> datetime:
    """The wall clock, aware, in UTC."""
    return datetime.fromtimestamp(time.time(), UTC)


def elapsed() -> float:
    """Seconds since boot, sleep included: what durations are measured with."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
