"""Waiting runs in unusual situations: none is forgotten, and decisions about a run come to an end."""

import os
import signal
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest

from pycrond import clock
from pycrond.daemon.manual_control import ManualControl
from pycrond.errors import PycrondError
from pycrond.jobs.user_shares import Shares
from pycrond.ledger.writer import Ledger
from tests.support.loop import Loop

WAIT = "while [ ! -e {0} ]; do sleep 0.02; done"
FORTY = "".join(f"#: name=job{number}\n* * * * * true\n" for number in range(40))


@pytest.fixture
def shared(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> Loop:
    """A loop whose jobs belong to a user with limits."""
    monkeypatch.setattr(Shares, "is_limited", lambda _shares, _user: True)
    return loop


def go(loop: Loop, name: str = "go") -> None:
    (loop.directory / name).touch()


def states(loop: Loop, name: str | None = None) -> list[str]:
    return [run.state for run in loop.runs() if name is None or run.name == name]


def has_succeeded(loop: Loop, number: int) -> bool:
    return [run.state for run in loop.runs() if run.id == number] == ["succeeded"]


def kill(loop: Loop, run: int) -> None:
    ManualControl(loop.daemon.subsystems).kill({"what": str(run)}, os.getuid())


def test_a_start_that_fails_frees_its_place(loop: Loop) -> None:
    loop.settings = replace(loop.settings, max_running=1)
    loop.begin("SHELL=/no/such\n#: name=a\n1 12 * * * true\nSHELL=/bin/sh\n#: name=b\n1 12 * * * true\n")
    loop.minutes(1)
    loop.until(lambda: states(loop) == ["failed", "succeeded"])


def test_a_run_that_waits_to_replace_two_others_is_decided_about_once(loop: Loop) -> None:
    stubborn = (
        "trap 'while [ ! -e end$PYCROND_RUN ]; do sleep 0.02; done; exit 143' TERM; touch up$PYCROND_RUN"
    )
    job = f"* * * * * {stubborn}; while :; do sleep 0.02; done\n"
    loop.begin(f"#: name=job grace=100s\n{job}")
    loop.minutes(2)
    loop.until(lambda: (loop.directory / "up1").exists() and (loop.directory / "up2").exists())
    loop.write(f"#: name=job grace=100s overlap=replace\n{job}")
    loop.reload()
    loop.minutes(1)
    signal.alarm(60)  # an endless loop would not come to its end
    go(loop, "end1")
    loop.until(lambda: states(loop)[0] == "killed")
    loop.turn()
    assert states(loop)[1:] == ["running", "waiting"]
    go(loop, "end2")
    loop.until(lambda: states(loop) == ["killed", "killed", "running"])
    signal.alarm(0)
    go(loop, "end3")
    kill(loop, 3)
    loop.settle()


def test_the_option_within_that_a_reload_adds_holds_for_a_waiting_run(loop: Loop) -> None:
    loop.begin(f"#: name=job overlap=queue\n* * * * * {WAIT.format('go')}\n")
    loop.minutes(2)
    loop.write(f"#: name=job overlap=queue within=30s\n* * * * * {WAIT.format('go')}\n")
    loop.reload()
    loop.to(clock.now() + timedelta(seconds=40))
    loop.turn()
    assert states(loop) == ["running", "missed"]
    go(loop)
    loop.settle()


def test_runs_with_a_lock_leave_their_user_its_order(loop: Loop) -> None:
    """Otherwise a run that waits for a place never gets one: runs that wait for the lock come before it."""
    loop.settings = replace(loop.settings, max_running=1)
    locked = f"lock=l overlap=queue\n1-9 12 * * * {WAIT.format('go$PYCROND_RUN')}\n"
    loop.begin(f"#: name=c\n2 12 * * * true\n#: name=a {locked}#: name=b {locked}")
    for _ in range(7):
        loop.minutes(1)
        for number in [run.id for run in loop.runs() if run.state == "running"]:
            go(loop, f"go{number}")
            loop.until(partial(has_succeeded, loop, number))
        loop.turn()
    assert states(loop, "c") == ["succeeded"]
    loop.write("0 0 1 1 * true\n")
    loop.reload()
    for run in loop.runs():
        go(loop, f"go{run.id}")
    loop.settle()


@pytest.mark.parametrize("run", [1, 2])
def test_a_run_held_up_by_the_disk_and_killed_leaves_its_place(
    loop: Loop, monkeypatch: pytest.MonkeyPatch, run: int
) -> None:
    loop.settings = replace(loop.settings, max_running=1)
    lines = (
        f"#: name=h\n1 12 * * * {WAIT.format('go')}\n#: name=a\n1 12 * * * true\n#: name=b\n1 12 * * * true\n"
    )
    loop.begin(lines)
    loop.minutes(1)
    with monkeypatch.context() as full:
        full.setattr(Ledger, "may_start", lambda _ledger, _runs: False)
        go(loop)
        loop.until(lambda: states(loop)[0] == "succeeded")
        loop.turn()
    kill(loop, run + 1)
    loop.to(clock.now() + timedelta(seconds=20))
    loop.until(lambda: sorted(states(loop)) == ["killed", "succeeded", "succeeded"])
    loop.turn()
    assert loop.daemon._next_time() > clock.now(), "nothing is to be done at once"


# Runs that have entered and are not decided about yet


def test_a_run_that_is_not_decided_about_can_be_killed_once(shared: Loop) -> None:
    shared.begin(FORTY)
    shared.minutes(1)
    run = shared.daemon.subsystems.scheduler.admission.user_turns.claims[-1].run.id
    kill(shared, run)
    with pytest.raises(PycrondError, match=f"run {run} is neither running nor waiting"):
        kill(shared, run)
    shared.write("0 0 1 1 * true\n")
    shared.daemon.subsystems.reloader.reload(clock.now())
    shared.settle()
    assert {run.state for run in shared.runs()} == {"succeeded", "skipped", "killed"}


def test_what_was_made_ready_for_a_removed_job_is_undone(shared: Loop) -> None:
    shared.begin(FORTY)
    shared.turn()
    before = len(os.listdir("/proc/self/fd"))
    shared.to("2025-06-10T12:00:59.5Z")
    shared.minutes(1)
    assert shared.daemon.subsystems.scheduler.admission.user_turns.claims
    shared.write("0 0 1 1 * true\n")
    shared.daemon.subsystems.reloader.reload(clock.now())
    shared.settle()
    assert shared.daemon.subsystems.output.capture.open_runs == []
    assert len(os.listdir("/proc/self/fd")) <= before + 2


def test_runs_that_are_not_decided_about_are_left_to_the_next_daemon(shared: Loop) -> None:
    shared.begin(FORTY)
    shared.minutes(1)
    shared.daemon.subsystems.scheduler.is_draining = True
    shared.turn()
    assert shared.daemon._next_time() > clock.now()
    shared.stop()
    assert "waiting" in states(shared)
    assert set(states(shared)) <= {"running", "succeeded", "waiting"}
    shared.frozen.tick(20)
    shared.begin()
    shared.until(lambda: not {"claimed", "waiting", "running"} & set(states(shared)))
    assert Counter(states(shared))["succeeded"] >= 20
    assert set(states(shared)) <= {"succeeded", "unknown"}, "some have ended between the two daemons"
