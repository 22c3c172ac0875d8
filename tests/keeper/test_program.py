"""What the keeper sees of the runs' processes when their daemon dies."""

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
    """Starts `sh -c` with the number of a run in its environment, as the leader of a session."""
    begun: list[int] = []

    def start(command: str, run: int) -> int:
        words = ["sh", "-c", command]
        begun.append(os.posix_spawn("/bin/sh", words, {"PYCROND_RUN": str(run)}, setsid=True))
        return begun[-1]

    yield start
    for pid in begun:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_the_dead_are_told_from_those_that_live(spawn: Spawn) -> None:
    dead, left_behind, other = spawn("exit", 7), spawn("exec sleep 1000", 7), spawn("exec sleep 1000", 8)
    os.waitid(os.P_PID, dead, os.WEXITED | os.WNOWAIT)
    wait_until(lambda: all(_says(pid, b"PYCROND_RUN=") for pid in (left_behind, other)))
    keeper = object.__new__(Keeper)
    keeper.leaders = {}

    keeper.look_for_leaders()

    told = [(int(run), int(pid)) for run, pid, _ in (line.split() for line in keeper.leaders.values())]
    assert {(0, dead), (7, left_behind), (8, other)} <= set(told)


def _says(pid: int, word: bytes) -> bool:
    with open(f"/proc/{pid}/environ", "rb") as file:
        return word in file.read()
