"""The outcome of a run from the status that wait4 returns."""

import os
import signal
import sys
from pathlib import Path

import pytest

from pycrond.host import procfs, spawn
from pycrond.host.spawner import SPAWNER
from pycrond.jobs.job import Account
from pycrond.jobs.run import Outcome, State
from pycrond.runs.outcome import PAGE_COUNT_ERROR, outcome, peak_memory
from tests.support.loop import Loop


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


@pytest.mark.parametrize(
    ("max_rss", "floor", "expected"),
    [
        (None, 0, None),
        (20_000, 20_000, None),
        (20_000 + PAGE_COUNT_ERROR, 20_000, None),
        (60_000, 20_000, 60_000),
    ],
)
def test_a_peak_that_the_process_may_have_had_before_its_exec_is_not_known(
    max_rss: int | None, floor: int, expected: int | None
) -> None:
    assert peak_memory(max_rss, floor) == expected


@pytest.mark.process
@pytest.mark.parametrize("user", ["own", "other"])
def test_the_floor_is_the_peak_of_the_daemon_or_of_the_spawner(tmp_path: Path, user: str) -> None:
    if user == "other" and os.geteuid() != 0:
        pytest.skip("needs root")
    tmp_path.chmod(0o755)
    owner = Account("nobody", 65534, 65534, "/") if user == "other" else None
    launch = spawn.Launch(("/bin/true",), {}, "/", b"", str(tmp_path / "fifo"), owner)
    reader = spawn.make_fifo(launch)
    with spawn.Starter() as spawner:
        pid = spawner.start(launch)
    _, _, usage = os.wait4(pid, 0)
    os.close(reader)
    floor = procfs.peak_memory(SPAWNER.pid if owner else os.getpid())
    assert floor > 1000
    assert usage.ru_maxrss > 5000, "much more than the program has had"
    assert peak_memory(usage.ru_maxrss, floor) is None


@pytest.mark.process
def test_the_peak_of_a_run_is_its_own_or_is_not_shown(loop: Loop) -> None:
    size = (procfs.peak_memory(os.getpid()) + 50_000) << 10
    loop.begin(f"1 12 * * * true\n2 12 * * * {sys.executable} -c 'b\"x\" * {size}'\n")
    for _ in range(2):
        loop.minutes(1)
        loop.settle()
    small, big = loop.runs()
    assert small.max_rss_kb is None
    assert big.max_rss_kb is not None
    assert big.max_rss_kb > size >> 10
    small_line, big_line = loop.log.details("EXIT")
    assert "maxrss" not in small_line
    assert f"maxrss={big.max_rss_kb}kB" in big_line
