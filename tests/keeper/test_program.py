"""The keeper's search for the processes of runs when their daemon dies, and the process in front of it."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pycrond.keeper import start as keeper_start
from pycrond.keeper.session_leaders import find_leaders
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


FRONT_AND_KEEPER = """
import ctypes, os, socket, sys, time
front, command = sys.argv[1], sys.argv[2:]
ours, theirs = socket.socketpair()
keeper = os.fork()
if not keeper:
    ours.close()
    daemon = os.fork()
    if not daemon:
        pause = "import signal; signal.pause()"
        os.execv(sys.executable, [sys.executable, "-c", pause, "pycrond.daemon", ""])
    with open("daemon", "w") as file:
        file.write(str(daemon))
    theirs.close()
    time.sleep(0.5)
    os._exit(1)
theirs.close()
ours.set_inheritable(True)
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
os.execv(sys.executable, [sys.executable, "-I", "-S", front, str(keeper), str(ours.fileno()), *command])
"""


def test_the_process_in_front_waits_for_the_death_of_a_keeper_that_has_closed_its_descriptors(
    tmp_path: Path,
) -> None:
    """On a machine with one processor, it sees the closed socket before the daemon becomes its child."""
    command = ["/bin/sh", "-c", "grep -qs pycrond /proc/$(cat daemon)/cmdline && echo alive || echo ended"]
    words = [sys.executable, "-c", FRONT_AND_KEEPER, keeper_start.FRONT, *command]
    try:
        with (tmp_path / "output").open("wb") as output:
            subprocess.run(words, cwd=tmp_path, stdout=output, check=True, timeout=30)
        assert (tmp_path / "output").read_text() == "ended\n", "before the next keeper is executed"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(int((tmp_path / "daemon").read_text()), signal.SIGKILL)
