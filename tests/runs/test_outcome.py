"""What wait4 tells of a run, as an outcome."""

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
def test_endings(status: int, expected: Outcome, why: str) -> None:
    told = outcome(status)
    assert (told.state, told.exit_status, told.signal) == (
        expected.state,
        expected.exit_status,
        expected.signal,
    ), why
    assert (told.cause.text, told.cpu_s, told.max_rss_kb) == ("", None, None)


def test_what_a_real_process_used() -> None:
    pid = os.posix_spawn("/bin/sh", ["sh", "-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done"], {})
    _, status, usage = os.wait4(pid, 0)
    told = outcome(status, round(usage.ru_utime + usage.ru_stime, 3), usage.ru_maxrss)
    assert told.state == "succeeded"
    assert told.cpu_s == round(usage.ru_utime + usage.ru_stime, 3)
    assert told.max_rss_kb is not None
    assert 100 < told.max_rss_kb < 1_000_000
