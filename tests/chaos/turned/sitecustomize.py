"""A `time.sleep` for libfaketime with FAKETIME_DONT_FAKE_MONOTONIC, where clock_nanosleep(2) fails."""

import select
import time
from typing import SupportsIndex


def sleep(seconds: float | SupportsIndex) -> None:
    select.select([], [], [], float(seconds))


time.sleep = sleep
