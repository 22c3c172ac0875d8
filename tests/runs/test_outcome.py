"""The outcome of a run from the status that wait4 returns."""

import os
import signal

import pytest

from pycrond.jobs.run import Outcome, State
from pycrond.runs.outcome import outcome


@pytest.mark.parametrize(
    ("status", "expected", "why"),
    [
        (0, Outcome(State.SUCCEEDED, exit_status=0), "exit 0"),
        (3 << 8, Outcome(State.FAILED, exit_status=3), "exit 3"),
        (255 << 8, Outcome(State.FAILED, exit_status=255), "exit -1"),
        (signal.SIGKILL, Outcome(State.FAILED, signal=9), "killed"),
        (signal.SIGSEGV | 0x80, Outcome(State.FAILED, signal=11), "with a core dump"),
        (64, Outcome(State.FAILED, signal=64), "the last real-time signal"),
    ],
)
def test_a_wait_status_becomes_an_exit_status_or_a_signal(status: int, expected: Outcome, why: str) -> None:
    end = outcome(status)
    assert (end.state, end.exit_status, end.signal) == (
        expected.state,
        expected.exit_status,
        expected.signal,
    ), why
    assert (end.cause.text, end.cpu_s, end.max_rss_kb) == ("", None, None)


def test_an_outcome_has_the_processor_time_and_memory_of_a_real_process() -> None:
    pid = os.posix_spawn("/bin/sh", ["sh", "-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done"], {})
    _, status, usage = os.wait4(pid, 0)
    end = outcome(status, round(usage.ru_utime + usage.ru_stime, 3), usage.ru_maxrss)
    assert end.state == "succeeded"
    assert end.cpu_s == round(usage.ru_utime + usage.ru_stime, 3)
    assert end.max_rss_kb is not None
    assert 100 < end.max_rss_kb < 1_000_000
