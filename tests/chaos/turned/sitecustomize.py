"""Where libfaketime leaves CLOCK_MONOTONIC alone, it fails clock_nanosleep(2), which `time.sleep` uses."""

import select
import time
from typing import SupportsIndex


def sleep(seconds: float | SupportsIndex) -> None:
    select.select([], [], [], float(seconds))


time.sleep = sleep
