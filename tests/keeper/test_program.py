"""The keeper's search for the processes of runs when their daemon dies."""

import os
import signal
from collections.abc import Callable, Iterator

import pytest

from pycrond.keeper.__main__ import Keeper
from tests.conftest import wait_until

pytestmark = pytest.mark.process
Spawn = Callable[[str, int], int]


@pytest.fixture
def spawn() -> Iterator[Spawn]:
    """Start `sh -c` as the leader of a session, with the number of a run in its environment."""
    pids: list[int] = []

    def start(command: str, run: int) -> int:
        arguments = ["sh", "-c", command]
        pids.append(os.posix_spawn("/bin/sh", arguments, {"PYCROND_RUN": str(run)}, setsid=True))
        return pids[-1]

    yield start
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_dead_leaders_are_distinguished_from_live_ones(spawn: Spawn) -> None:
    dead, left_behind, other_run = spawn("exit", 7), spawn("exec sleep 1000", 7), spawn("exec sleep 1000", 8)
    os.waitid(os.P_PID, dead, os.WEXITED | os.WNOWAIT)
    wait_until(lambda: all(_has_in_environment(pid, b"PYCROND_RUN=") for pid in (left_behind, other_run)))
    keeper = object.__new__(Keeper)
    keeper.leaders = {}

    keeper.find_leaders()

    leaders = [(int(run), int(pid)) for run, pid, _ in (line.split() for line in keeper.leaders.values())]
    assert {(0, dead), (7, left_behind), (8, other_run)} <= set(leaders)


def _has_in_environment(pid: int, text: bytes) -> bool:
    with open(f"/proc/{pid}/environ", "rb") as file:
        return text in file.read()
