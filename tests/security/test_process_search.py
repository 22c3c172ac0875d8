"""The search for processes that a run has left is a small part of a turn, however many processes a user has."""

import os
import signal
from collections.abc import Iterator

import pytest

from pycrond.host.procfs import ProcessSearch

pytestmark = pytest.mark.process
MARKS = [b"PYCROND_RUN=17", b"PYCROND_STATE_DIR=/of/this/test"]
COUNT = 100


@pytest.fixture
def marked() -> Iterator[list[int]]:
    """Processes that have the marks of run 17, a process with only one of the marks, and a hook."""
    marks = dict(mark.split(b"=") for mark in MARKS)
    environments = [marks] * COUNT + [{b"PYCROND_RUN": b"17"}, {**marks, b"PYCROND_EVENT": b"failure"}]
    pids = [os.posix_spawn("/bin/sleep", ["sleep", "600"], environment) for environment in environments]
    yield pids[:COUNT]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_a_search_ends_its_step_when_its_time_is_over(marked: list[int]) -> None:
    uids = dict.fromkeys((17, 18), os.geteuid())
    search, steps = ProcessSearch({17: MARKS, 18: [b"PYCROND_RUN=18", MARKS[1]]}, uids, ours=False), 1
    while not search.step(0.0):
        steps += 1
    assert steps > COUNT, "a step without time looks at one process"
    assert {run: sorted(pids) for run, pids in search.pids.items()} == {17: sorted(marked)}


def test_without_runs_nothing_is_read() -> None:
    assert ProcessSearch({}, {}, ours=False).step(0.0)


@pytest.mark.usefixtures("marked")
def test_processes_of_another_user_are_not_those_of_a_run() -> None:
    """Every user can give a process the marks of another user's run."""
    search = ProcessSearch({17: MARKS}, {17: os.geteuid() + 1}, ours=False)
    while not search.step(1.0):
        pass
    assert search.pids == {}
