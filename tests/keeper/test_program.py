"""The keeper's search for the processes of runs when their daemon dies."""

import os
import signal
from collections.abc import Callable, Iterator

import pytest

from pycrond.keeper.leaders import find_leaders
from tests.conftest import wait_until

pytestmark = pytest.mark.process
Spawn = Callable[[str, object], int]


@pytest.fixture
def spawn() -> Iterator[Spawn]:
    """Start `sh -c` as the leader of a session, with the number of a run in its environment."""
    pids: list[int] = []

    def start(command: str, run: object) -> int:
        arguments = ["sh", "-c", command]
        pids.append(os.posix_spawn("/bin/sh", arguments, {"PYCROND_RUN": str(run)}, setsid=True))
        return pids[-1]

    yield start
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


@pytest.fixture
def readers() -> Iterator[dict[int, int]]:
    """The read ends of the outputs of the runs 7 and 8, which belong to the test's user."""
    readers = {}
    for run in (7, 8):
        readers[run], writer = os.pipe()
        os.close(writer)
    yield readers
    for reader in readers.values():
        os.close(reader)


def leaders_of(readers: dict[int, int]) -> set[tuple[int, int]]:
    """Return run and pid of each leader that a keeper finds; run 0 stands for dead leaders."""
    lines = find_leaders(readers).values()
    return {(int(run), int(pid)) for run, pid, _ in (line.split() for line in lines)}


def test_dead_leaders_are_distinguished_from_live_ones(spawn: Spawn, readers: dict[int, int]) -> None:
    dead, left_behind, other_run = spawn("exit", 7), spawn("exec sleep 1000", 7), spawn("exec sleep 1000", 8)
    os.waitid(os.P_PID, dead, os.WEXITED | os.WNOWAIT)
    wait_until(lambda: all(_has_in_environment(pid, b"PYCROND_RUN=") for pid in (left_behind, other_run)))
    assert {(0, dead), (7, left_behind), (8, other_run)} <= leaders_of(readers)


@pytest.mark.parametrize("run", ["", "9", "-7", "7 1 1\n8 2 2", "7" * 100_000, "\xb2"])
def test_a_number_of_no_run_that_is_held_is_ignored(spawn: Spawn, readers: dict[int, int], run: str) -> None:
    pid = spawn("exec sleep 1000", run)
    wait_until(lambda: _has_in_environment(pid, b"PYCROND_RUN="))
    assert pid not in {leader for _, leader in leaders_of(readers)}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a process of another user")
def test_a_process_cannot_claim_the_run_of_another_user(spawn: Spawn, readers: dict[int, int]) -> None:
    pid = spawn("exec setpriv --reuid=65534 --clear-groups sleep 1000", 7)
    wait_until(lambda: os.stat(f"/proc/{pid}").st_uid == 65534)
    assert pid not in {leader for _, leader in leaders_of(readers)}
    os.fchown(readers[8], 65534, -1)
    pid = spawn("exec setpriv --reuid=65534 --clear-groups sleep 1000", 8)
    assert (8, pid) in leaders_of(readers), "also while it is about to become that user's"


def _has_in_environment(pid: int, text: bytes) -> bool:
    with open(f"/proc/{pid}/environ", "rb") as file:
        return text in file.read()
