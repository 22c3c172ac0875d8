"""Clocks for libfaketime that let the wall clock step: CLOCK_MONOTONIC and CLOCK_BOOTTIME leave the steps out.

libfaketime moves all clocks together, by the first number of the file. The second number is the sum of the steps.
"""

import os
import time

FILE = os.environ.get("FAKETIME_TIMESTAMP_FILE", "")
COUNTED = (time.CLOCK_MONOTONIC, time.CLOCK_BOOTTIME)
_clock_gettime, _monotonic = time.clock_gettime, time.monotonic


def _steps() -> float:
    try:
        with open(FILE + ".steps", encoding="ascii") as file:
            return float(file.read())
    except OSError:
        return 0.0


def clock_gettime(clock: int, /) -> float:
    return _clock_gettime(clock) - (_steps() if clock in COUNTED else 0.0)


def monotonic() -> float:
    return _monotonic() - _steps()


if FILE:
    time.clock_gettime, time.monotonic = clock_gettime, monotonic
