"""The scheduler with five hundred jobs in one minute."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Crond, children, wait_until
from tests.support import proc

pytestmark = pytest.mark.daemon

MANY = 500


def find_zombies(crond: Crond) -> list[int]:
    """Return the children of the daemon and its keeper that have ended and are not reaped."""
    zombies = []
    for pid in children(crond.pid) + children(crond.keeper):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # reaped meanwhile
            zombies += [pid] * (proc.stat(pid).state == "Z")
    return zombies


def runs_of(pid: int) -> Iterator[int]:
    """Yield a daemon's children without the program that asks the name service, which runs for a while."""
    for child in children(pid):
        with contextlib.suppress(OSError):
            if b"lookup_program" not in Path(f"/proc/{child}/cmdline").read_bytes():
                yield child


def test_five_hundred_jobs_in_one_minute_all_run_once_and_leave_no_zombie(crond: Crond) -> None:
    # A second mkdir of the same name fails. Each job also leaves an orphan, which the keeper has to reap.
    lines = "".join(f"* * * * * mkdir {number} && (sleep 0.1 &)\n" for number in range(MANY))
    crond.write("jobs", f"HOME={crond.directory}/done\n{lines}")
    (crond.directory / "done").mkdir()
    crond.at("2031-03-01 11:59:57")
    assert f"{MANY} jobs" in crond.run("start").stdout
    wait_until(lambda: sum(run.ended_at is not None for run in crond.runs()) == MANY, seconds=120)
    wait_until(lambda: not find_zombies(crond) and not [*runs_of(crond.pid)], seconds=1)
    wait_until(lambda: children(crond.keeper) == [crond.pid], seconds=1)
    runs = crond.runs()
    assert {run.state for run in runs} == {"succeeded"}
    assert len({run.key for run in runs}) == len(runs) == MANY
    assert {int(path.name) for path in (crond.directory / "done").iterdir()} == set(range(MANY))
    fires = {run["fire"] for run in crond.history()}
    assert fires == {"2031-03-01T12:00:00Z"}
    assert (crond.status() or {})["running"] == 0
