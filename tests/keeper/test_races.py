"""Everything at once: starts against starts, starts against a stop, signals against a daemon being born."""

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

STARTED = r"pycrond started, pid (\d+): 1 job from 1 file; next: .*\n"
THERE_IS_ONE = r"pycrond: already running, pid (\d+)\n"
STOPPED = r"pycrond stopped(, pid \d+)?\n"
NONE_TO_STOP = r"pycrond: pycrond is not running\n"
STOPPED_MEANWHILE = r"pycrond: not started: the daemon ended with exit status 0 before it was ready\n"
Said = tuple[int, str]


def begin(crond: Crond, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [SCRIPT, *arguments],
        env=crond.environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def end(process: "subprocess.Popen[str]") -> Said:
    """The exit status and all that was said."""
    said, _ = process.communicate(timeout=90)
    return process.returncode, said


def matching(all_said: Sequence[Said], status: int, pattern: str) -> list[str]:
    """The pids in what was said in these words, with this status."""
    found = (re.fullmatch(pattern, said) for code, said in all_said if code == status)
    return [match[1] for match in found if match]


def no_one_runs(crond: Crond) -> bool:
    return not crond.programs("keeper") and not crond.programs("daemon")


def exactly_one_runs(crond: Crond) -> bool:
    return crond.programs("keeper") == [crond.keeper] and crond.programs("daemon") == [crond.pid]


@pytest.fixture(autouse=True)
def one_job(crond: Crond) -> None:
    crond.write("jobs", "0 0 1 1 * true\n")


def test_twenty_starts_at_once_leave_one_daemon_and_nineteen_messages(crond: Crond) -> None:
    said = [end(process) for process in [begin(crond, "start") for _ in range(20)]]
    wait_until(lambda: exactly_one_runs(crond))
    assert matching(said, 0, STARTED) == [str(crond.pid)], said
    assert matching(said, 1, THERE_IS_ONE) == [str(crond.pid)] * 19, said


def test_twenty_starts_racing_a_stop_leave_one_daemon_or_none(crond: Crond) -> None:
    crond.run("start")
    first = str(crond.pid)
    processes = [begin(crond, "start") for _ in range(10)]
    stop = begin(crond, "stop")
    processes += [begin(crond, "start") for _ in range(10)]
    said = [end(process) for process in processes]
    assert re.fullmatch(STOPPED, end(stop)[1])
    started = matching(said, 0, STARTED)
    assert len(started) <= 1, said
    assert set(matching(said, 1, THERE_IS_ONE)) <= {first, *started}, said
    assert len(matching(said, 1, THERE_IS_ONE)) == 20 - len(started), said
    wait_until(lambda: exactly_one_runs(crond) if started else no_one_runs(crond))


def test_starts_and_stops_in_any_order_are_told_clearly(crond: Crond) -> None:
    processes = [begin(crond, "stop" if number % 3 == 2 else "start") for number in range(18)]
    said = [end(process) for process in processes]
    starts = [one for number, one in enumerate(said) if number % 3 != 2]
    stops = [one for number, one in enumerate(said) if number % 3 == 2]
    for clear in (
        sum(len(matching(starts, code, words)) for code, words in ((0, STARTED), (1, THERE_IS_ONE)))
        + sum(1 for _, words in starts if re.fullmatch(STOPPED_MEANWHILE, words)) == len(starts),
        all(re.fullmatch(STOPPED if code == 0 else NONE_TO_STOP, words) for code, words in stops),
    ):  # fmt: skip
        assert clear, said
    wait_until(lambda: no_one_runs(crond) or exactly_one_runs(crond))
    crond.run("stop", status=None)
    assert no_one_runs(crond)


# Signals while it starts


def storm(
    crond: Crond, starting: "subprocess.Popen[str]", numbers: Sequence[int], names: Sequence[str]
) -> set[int]:
    """Send these signals to keeper and daemon, over and over, from their first moment until `start` returns."""
    hit = set()
    while starting.poll() is None:
        for pid in [pid for name in names for pid in crond.programs(name)]:
            for number in numbers:
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
                    hit.add(pid)
    return hit


@pytest.mark.parametrize(
    "numbers", [[signal.SIGHUP], [signal.SIGUSR2], [signal.SIGHUP, signal.SIGUSR2, signal.SIGCHLD]]
)
def test_a_storm_of_signals_while_it_starts_kills_nothing(crond: Crond, numbers: Sequence[int]) -> None:
    starting = begin(crond, "start")
    hit = storm(crond, starting, numbers, ["keeper", "daemon"])
    assert matching([end(starting)], 0, STARTED) == [str(crond.pid)]
    assert hit >= {crond.keeper, crond.pid}
    assert crond.runs() == []
    wait_until(lambda: (crond.status() or {"pid": 0})["pid"] == crond.pid)


def first_moment(crond: Crond, name: str) -> int:
    wait_until(lambda: crond.programs(name))
    return crond.programs(name)[0]


@pytest.mark.parametrize("name", ["keeper", "daemon"])
def test_a_hup_while_it_starts_is_not_lost(crond: Crond, rsyslogd: Rsyslogd, name: str) -> None:
    crond.environment["PYCROND_SYSLOG"] = rsyslogd.path
    starting = begin(crond, "start")
    os.kill(first_moment(crond, name), signal.SIGHUP)
    assert end(starting)[0] == 0
    wait_until(lambda: any("RELOAD" in line for line in rsyslogd.lines()))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("name", ["keeper", "daemon"])
def test_an_order_to_stop_while_it_starts_is_not_lost(crond: Crond, name: str, number: int) -> None:
    starting = begin(crond, "start")
    os.kill(first_moment(crond, name), number)
    said = end(starting)
    wait_until(lambda: no_one_runs(crond))
    assert not crond.pidfile.exists(), "it has stopped, not died"
    assert matching([said], 0, STARTED) or re.fullmatch(STOPPED_MEANWHILE, said[1]), said


def test_a_storm_of_orders_to_stop_is_one_stop(crond: Crond) -> None:
    starting = begin(crond, "start")
    storm(crond, starting, [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ["keeper", "daemon"])
    code, said = end(starting)
    wait_until(lambda: no_one_runs(crond))
    assert not crond.pidfile.exists()
    assert matching([(code, said)], 0, STARTED) or re.fullmatch(STOPPED_MEANWHILE, said), said
    crond.run("start")


def test_a_daemon_that_is_killed_while_it_starts_is_told_of(crond: Crond) -> None:
    starting = begin(crond, "start")
    os.kill(first_moment(crond, "daemon"), signal.SIGKILL)
    code, said = end(starting)
    assert (code, said) == (1, "pycrond: not started: the daemon ended with signal 9 before it was ready\n")
    wait_until(lambda: no_one_runs(crond))


def test_a_keeper_that_is_killed_while_it_starts_is_told_of(crond: Crond) -> None:
    starting = begin(crond, "start")
    os.kill(first_moment(crond, "keeper"), signal.SIGKILL)
    code, said = end(starting)
    assert (code, said) == (1, "pycrond: not started: the daemon ended before it said a word\n")
    crond.run("stop", status=None)


def test_a_start_that_is_given_up_leaves_a_whole_daemon_or_none(crond: Crond) -> None:
    # Whoever waits for it may be killed: what it has begun goes on, and the next one finds it.
    starting = begin(crond, "start")
    keeper = first_moment(crond, "keeper")
    starting.kill()
    starting.communicate()
    wait_until(crond.status)
    assert crond.keeper == keeper
    assert exactly_one_runs(crond)


def test_signals_in_a_storm_leave_a_running_daemon_whole(crond: Crond) -> None:
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
