"""Simultaneous commands and signals: several starts, starts with a stop, signals during a start."""

import os
import re
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress

import pytest

from tests.conftest import SCRIPT, Crond, alive, wait_until
from tests.support import proc
from tests.support.rsyslog import Rsyslogd

pytestmark = pytest.mark.daemon

STARTED = r"pycrond started, pid (\d+): 1 job from 1 file; next: .*\n(crontabs: .*\n)?"
ALREADY_RUNNING = r"pycrond: already running, pid (\d+)(, since .*)?\n"
STOPPED = r"pycrond stopped(, pid \d+)?\n"
NOT_RUNNING = r"pycrond: pycrond is not running\n"
STOPPED_DURING_START = r"pycrond: not started: the daemon ended with exit status 0 before it was ready\n"
Result = tuple[int, str]
"""Exit status and output."""


def start_command(crond: Crond, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [SCRIPT, *arguments],
        env=crond.environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def result_of(process: "subprocess.Popen[str]") -> Result:
    output, _ = process.communicate(timeout=90)
    return process.returncode, output


def pids_in(results: Sequence[Result], status: int, pattern: str) -> list[str]:
    """Return the pids in the outputs that match a pattern, of the results with this exit status."""
    matches = (re.fullmatch(pattern, output) for code, output in results if code == status)
    return [match[1] for match in matches if match]


def nothing_runs(crond: Crond) -> bool:
    return not crond.programs("keeper") and not crond.programs("daemon")


def one_daemon_runs(crond: Crond) -> bool:
    return crond.programs("keeper") == [crond.keeper] and crond.programs("daemon") == [crond.pid]


@pytest.fixture(autouse=True)
def one_job(crond: Crond) -> None:
    crond.write("jobs", "0 0 1 1 * true\n")


def test_twenty_starts_at_once_leave_one_daemon_and_nineteen_messages(crond: Crond) -> None:
    results = [result_of(process) for process in [start_command(crond, "start") for _ in range(20)]]
    wait_until(lambda: one_daemon_runs(crond))
    assert pids_in(results, 0, STARTED) == [str(crond.pid)], results
    assert pids_in(results, 1, ALREADY_RUNNING) == [str(crond.pid)] * 19, results


def test_twenty_starts_during_a_stop_leave_one_daemon_or_none(crond: Crond) -> None:
    crond.run("start")
    first = str(crond.pid)
    processes = [start_command(crond, "start") for _ in range(10)]
    stop = start_command(crond, "stop")
    processes += [start_command(crond, "start") for _ in range(10)]
    results = [result_of(process) for process in processes]
    assert re.fullmatch(STOPPED, result_of(stop)[1])
    started = pids_in(results, 0, STARTED)
    assert len(started) <= 1, results
    assert set(pids_in(results, 1, ALREADY_RUNNING)) <= {first, *started}, results
    assert len(pids_in(results, 1, ALREADY_RUNNING)) == 20 - len(started), results
    wait_until(lambda: one_daemon_runs(crond) if started else nothing_runs(crond))


def test_starts_and_stops_in_any_order_have_clear_messages(crond: Crond) -> None:
    processes = [start_command(crond, "stop" if number % 3 == 2 else "start") for number in range(18)]
    results = [result_of(process) for process in processes]
    starts = [result for number, result in enumerate(results) if number % 3 != 2]
    stops = [result for number, result in enumerate(results) if number % 3 == 2]
    for is_clear in (
        sum(len(pids_in(starts, code, pattern)) for code, pattern in ((0, STARTED), (1, ALREADY_RUNNING)))
        + sum(1 for _, output in starts if re.fullmatch(STOPPED_DURING_START, output)) == len(starts),
        all(re.fullmatch(STOPPED if code == 0 else NOT_RUNNING, output) for code, output in stops),
    ):  # fmt: skip
        assert is_clear, results
    wait_until(lambda: nothing_runs(crond) or one_daemon_runs(crond))
    crond.run("stop", status=None)
    assert nothing_runs(crond)


# Signals during a start


def send_repeatedly(
    crond: Crond, starting: "subprocess.Popen[str]", numbers: Sequence[int], names: Sequence[str]
) -> set[int]:
    """Send signals to the named programs again and again, from their first moment until `start` returns."""
    signalled = set()
    while starting.poll() is None:
        for pid in [pid for name in names for pid in crond.programs(name)]:
            for number in numbers:
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
                    signalled.add(pid)
    return signalled


@pytest.mark.parametrize(
    "numbers", [[signal.SIGHUP], [signal.SIGUSR2], [signal.SIGHUP, signal.SIGUSR2, signal.SIGCHLD]]
)
def test_many_signals_during_a_start_kill_nothing(crond: Crond, numbers: Sequence[int]) -> None:
    starting = start_command(crond, "start")
    signalled = send_repeatedly(crond, starting, numbers, ["keeper", "daemon"])
    assert pids_in([result_of(starting)], 0, STARTED) == [str(crond.pid)]
    assert signalled >= {crond.keeper, crond.pid}
    assert crond.runs() == []
    wait_until(lambda: (crond.status() or {"pid": 0})["pid"] == crond.pid)


def wait_for_program(crond: Crond, name: str) -> int:
    wait_until(lambda: crond.programs(name))
    return crond.programs(name)[0]


@pytest.mark.parametrize("name", ["keeper", "daemon"])
def test_a_hup_during_a_start_is_not_lost(crond: Crond, rsyslogd: Rsyslogd, name: str) -> None:
    crond.environment["PYCROND_SYSLOG"] = rsyslogd.path
    starting = start_command(crond, "start")
    os.kill(wait_for_program(crond, name), signal.SIGHUP)
    assert result_of(starting)[0] == 0
    wait_until(lambda: any("RELOAD" in line for line in rsyslogd.lines()))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("name", ["keeper", "daemon"])
def test_term_or_int_during_a_start_is_not_lost(crond: Crond, name: str, number: int) -> None:
    starting = start_command(crond, "start")
    os.kill(wait_for_program(crond, name), number)
    result = result_of(starting)
    wait_until(lambda: nothing_runs(crond))
    assert not crond.pidfile.exists(), "it has stopped, not died"
    assert pids_in([result], 0, STARTED) or re.fullmatch(STOPPED_DURING_START, result[1]), result


def test_many_signals_to_stop_during_a_start_are_one_stop(crond: Crond) -> None:
    starting = start_command(crond, "start")
    send_repeatedly(crond, starting, [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ["keeper", "daemon"])
    code, output = result_of(starting)
    wait_until(lambda: nothing_runs(crond))
    assert not crond.pidfile.exists()
    assert pids_in([(code, output)], 0, STARTED) or re.fullmatch(STOPPED_DURING_START, output), output
    crond.run("start")


def test_a_daemon_killed_during_a_start_is_reported(crond: Crond) -> None:
    starting = start_command(crond, "start")
    os.kill(wait_for_program(crond, "daemon"), signal.SIGKILL)
    code, output = result_of(starting)
    assert (code, output) == (1, "pycrond: not started: the daemon ended with signal 9 before it was ready\n")
    wait_until(lambda: nothing_runs(crond))


def test_a_keeper_killed_during_a_start_is_reported(crond: Crond) -> None:
    starting = start_command(crond, "start")
    os.kill(wait_for_program(crond, "keeper"), signal.SIGKILL)
    code, output = result_of(starting)
    assert (code, output) == (1, "pycrond: not started: the daemon ended without a message\n")
    crond.run("stop", status=None)


def test_a_start_command_that_is_killed_leaves_a_running_daemon(crond: Crond) -> None:
    # Once started, the keeper does not need the command that waits for it.
    starting = start_command(crond, "start")
    keeper = wait_for_program(crond, "keeper")
    starting.kill()
    starting.communicate()
    wait_until(crond.status)
    assert crond.keeper == keeper
    assert one_daemon_runs(crond)


def test_many_signals_do_not_harm_a_running_daemon(crond: Crond) -> None:
    crond.run("start")
    keeper, daemon = crond.keeper, crond.pid
    for _ in range(200):
        for number in (signal.SIGHUP, signal.SIGUSR2, signal.SIGCHLD):
            os.kill(keeper, number)
            os.kill(daemon, number)
    wait_until(crond.status)
    assert (crond.keeper, crond.pid) == (keeper, daemon)
    assert alive(keeper)
    assert proc.stat(daemon).parent == keeper
