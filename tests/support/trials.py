"""Trials of a machine or an image: each prints a line for the report."""

import time
from collections.abc import Callable
from typing import NamedTuple


class Result(NamedTuple):
    """The result of a trial; `seconds` is its duration."""

    title: str
    passed: bool
    remark: str
    seconds: float


def run_trial(title: str, trial: Callable[[], str]) -> Result:
    """Run a trial, which returns a remark or raises, and print its line."""
    began = time.monotonic()
    try:
        passed, remark = True, trial()
    except Exception as error:  # noqa: BLE001 -- a trial that fails does not end the others
        passed, remark = False, f"{type(error).__name__}: {error}"
    result = Result(title, passed, remark, time.monotonic() - began)
    mark = "ok  " if passed else "FAIL"
    print(f"{mark} {result.seconds:6.1f} s  {title}{': ' * bool(remark)}{remark}", flush=True)
    return result
