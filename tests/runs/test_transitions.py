"""The states of real runs on rare paths: killed, restored, without a free descriptor or on a full disk while they wait."""

import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from pycrond import clock
from pycrond.host import spawn
from pycrond.runs import launcher
from tests.conftest import ME, alive
from tests.daemon.test_manual_control import ask
from tests.ledger.test_disk_full import fill
from tests.scheduler.test_admission import WAIT, go, reasons, restart_daemon, states
from tests.support.loop import Loop

pytestmark = pytest.mark.process
REMOVED = "removed: the job is gone"
QUEUE = f"#: name=job overlap=queue\n1-2 12 * * * {WAIT.format('go')}\n"
"""A job whose second run waits for the end of the first."""
JITTER = "#: name=job jitter=50s\n1 12 * * * true\n"
"""A job whose run starts some seconds after its minute."""


def wait_for_jitter(loop: Loop) -> None:
    """Let the delay of a run pass."""
    loop.frozen.tick(timedelta(seconds=51))
    loop.turn()


def has_retries(loop: Loop) -> bool:
    return bool(loop.daemon.subsystems.runs.launcher.retrying)


@pytest.fixture
def no_room(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """No descriptor is left for jobs; `undo` gives them back."""
    monkeypatch.setattr(spawn, "RESERVED_FDS", 1 << 30)
    return monkeypatch


# After a wait


def test_a_start_that_fails_after_a_delay_ends_the_run(loop: Loop) -> None:
    loop.begin(f"SHELL=/no/shell\n{JITTER}")
    loop.minutes()
    assert states(loop) == ["waiting"]
    wait_for_jitter(loop)
    loop.settle()
    assert states(loop) == ["failed"]
    assert reasons(loop) == ["start-failed: cannot run /no/shell: No such file or directory"]


def test_a_start_that_fails_after_the_queue_ends_the_run(loop: Loop) -> None:
    loop.begin(QUEUE)
    loop.minutes(2)
    loop.write(f"SHELL=/no/shell\n{QUEUE}")
    loop.reload()
    go(loop)
    loop.until(lambda: states(loop) == ["succeeded", "failed"])
    assert reasons(loop)[1].startswith("start-failed: ")


def test_a_start_that_fails_is_retried_by_the_option(loop: Loop) -> None:
    loop.begin("SHELL=/no/shell\n#: name=job retries=1 retry-delay=10s\n1 12 * * * true\n")
    loop.minutes()
    loop.until(lambda: states(loop) == ["failed", "waiting"])
    loop.minutes()
    loop.settle()
    assert states(loop) == ["failed", "failed"]


# No room for a start


def test_a_run_that_has_waited_starts_when_there_is_room_again(
    loop: Loop, no_room: pytest.MonkeyPatch
) -> None:
    loop.begin(JITTER)
    loop.minutes()
    wait_for_jitter(loop)
    assert (states(loop), has_retries(loop)) == (["claimed"], True)
    no_room.undo()
    loop.until(lambda: states(loop) == ["succeeded"])


def test_a_run_that_has_waited_fails_when_there_is_no_room_for_long(
    loop: Loop, no_room: pytest.MonkeyPatch
) -> None:
    no_room.setattr(launcher, "RETRY_TIME", 0.5)
    loop.begin(JITTER)
    loop.minutes()
    wait_for_jitter(loop)
    loop.until(lambda: states(loop) == ["failed"])
    assert reasons(loop) == ["start-failed: Too many open files"]


@pytest.mark.parametrize("text", [JITTER, "#: name=job\n1 12 * * * true\n"], ids=["delayed", "at its minute"])
def test_a_run_without_room_is_killed(loop: Loop, no_room: pytest.MonkeyPatch, text: str) -> None:
    loop.begin(text)
    loop.minutes()
    wait_for_jitter(loop)
    assert has_retries(loop)
    assert ask(loop, "kill", what="job")["runs"] == [
        {"run": 1, "key": f"{ME}/job", "job": f"{ME}/job", "waited": True}
    ]
    assert (states(loop), reasons(loop)) == (["killed"], [f"kill: by {ME}"])
    no_room.undo()
    loop.minutes(2)
    assert states(loop) == ["killed"]
    assert os.listdir(loop.directory / "run" / "fifo") == []


def test_a_run_without_room_is_given_up_by_a_stop_that_kills_jobs(
    loop: Loop, no_room: pytest.MonkeyPatch
) -> None:
    loop.begin(JITTER)
    loop.minutes()
    wait_for_jitter(loop)
    assert has_retries(loop)
    ask(loop, "stop", kill=True)
    loop.until(lambda: not has_retries(loop))
    loop.settle()
    assert states(loop) == ["failed"]


def test_a_run_without_room_is_started_though_its_job_is_removed(
    loop: Loop, no_room: pytest.MonkeyPatch
) -> None:
    loop.begin("#: name=job\n1 12 * * * true\n")
    loop.minutes()
    assert has_retries(loop)
    loop.write("0 0 1 1 * true\n")
    loop.reload()
    no_room.undo()
    loop.until(lambda: states(loop) == ["succeeded"])


def test_a_run_without_room_starts_late_after_the_death_of_the_daemon(
    loop: Loop, no_room: pytest.MonkeyPatch
) -> None:
    loop.begin("#: name=job\n1 12 * * * true\n")
    loop.minutes()
    assert has_retries(loop)
    no_room.undo()
    restart_daemon(loop)
    loop.until(lambda: states(loop) == ["succeeded"])


# After a restart


@pytest.mark.parametrize("text", [JITTER, QUEUE], ids=["delayed", "queued"])
def test_a_restored_run_is_killed(loop: Loop, text: str) -> None:
    loop.begin(text)
    loop.minutes(1 + (text is QUEUE))
    restart_daemon(loop)
    (run,) = [run for run in loop.runs() if run.state == "waiting"]
    ask(loop, "kill", what=str(run.id))
    assert states(loop)[-1] == "killed"
    go(loop)
    loop.minutes(2)
    assert states(loop)[-1] == "killed"


@pytest.mark.parametrize("is_running", [True, False], ids=["by a reload", "while no daemon runs"])
@pytest.mark.parametrize("text", [JITTER, QUEUE], ids=["delayed", "queued"])
def test_a_restored_run_is_skipped_when_its_job_is_removed(loop: Loop, text: str, is_running: bool) -> None:
    loop.begin(text)
    loop.minutes(1 + (text is QUEUE))
    if is_running:
        restart_daemon(loop)
        loop.write("0 0 1 1 * true\n")
        loop.reload()
    else:
        loop.write("0 0 1 1 * true\n")
        restart_daemon(loop)
    assert (states(loop)[-1], reasons(loop)[-1]) == ("skipped", REMOVED)
    go(loop)
    loop.until(lambda: not loop.daemon.subsystems.runs.active.count)


def test_a_restored_run_is_skipped_when_its_job_is_paused(loop: Loop) -> None:
    loop.begin(QUEUE)
    loop.minutes(2)
    restart_daemon(loop)
    ask(loop, "pause", jobs=["job"], reason="moving house")
    loop.turn()
    assert (states(loop)[1], reasons(loop)[1]) == ("skipped", "paused: moving house")
    go(loop)


def test_a_restored_run_is_missed_when_its_time_is_over(loop: Loop) -> None:
    loop.begin(QUEUE.replace("overlap=queue", "overlap=queue within=90s"))
    loop.minutes(2)
    restart_daemon(loop)
    assert states(loop) == ["running", "waiting"]
    loop.minutes(2)
    assert (states(loop)[1], reasons(loop)[1]) == ("missed", "within: it could not start within 1 m 30 s")
    go(loop)


def test_a_restored_run_is_replaced_by_a_newer_one(loop: Loop) -> None:
    stubborn = "trap '' TERM; touch up; while :; do sleep 0.05; done"
    loop.begin(f"#: name=job overlap=replace grace=1s\n1-3 12 * * * {stubborn}\n")
    loop.minutes()
    loop.until((loop.directory / "up").exists)
    loop.minutes()
    restart_daemon(loop)
    loop.minutes()
    assert states(loop) == ["running", "skipped", "waiting"]
    assert reasons(loop)[1] == "overlap: replaced by run 3"
    loop.until(lambda: states(loop) == ["killed", "skipped", "running"])
    assert reasons(loop)[0] == "overlap: replaced by run 2"


@pytest.mark.parametrize(
    ("how", "state", "reason"),
    [
        ("kill", "killed", f"kill: by {ME}"),
        ("stop", "killed", "stop --kill-jobs"),
        ("timeout", "timed-out", "timeout: it ran for more than 200 ms"),
    ],
)
def test_an_adopted_run_keeps_the_cause_for_which_it_is_ended(
    loop: Loop, how: str, state: str, reason: str
) -> None:
    timeout = "timeout=0.2s " if how == "timeout" else ""
    stubborn = "trap '' TERM; touch up; while :; do sleep 0.02; done"
    loop.begin(f"#: name=job {timeout}grace=1s\n1 12 * * * {stubborn}\n")
    loop.minutes()
    loop.until((loop.directory / "up").exists)
    if how == "kill":
        ask(loop, "kill", what="job")
    elif how == "stop":
        ask(loop, "stop", kill=True)
    loop.until(lambda: reasons(loop) == [reason])
    restart_daemon(loop)
    assert (states(loop), reasons(loop)) == (["running"], [reason])
    loop.until(lambda: states(loop) == [state])
    assert reasons(loop) == [reason]
    loop.until(lambda: not [pid for pid in loop.processes() if alive(pid)])


# On a full disk


@pytest.fixture
def filler(loop: Loop, tmpfs: Path) -> Iterator[Path]:
    """A file that may fill the small file system of the state directory."""
    loop.settings = replace(loop.settings, state_dir=str(tmpfs))
    loop.state = tmpfs
    yield tmpfs / "filler"
    loop.release()


def has_pending(loop: Loop) -> bool:
    return loop.daemon.subsystems.ledger.file.has_pending


def wait_on_full_disk(loop: Loop, filler: Path, text: str) -> None:
    """Let a run wait until its time has come and its start cannot be written."""
    loop.begin(text)
    loop.minutes(1 + ("overlap=queue" in text))
    fill(filler)
    go(loop)
    wait_for_jitter(loop)
    loop.until(lambda: has_pending(loop) and not loop.daemon.subsystems.runs.active.count)
    assert len(loop.daemon.subsystems.scheduler.admission.queue.claims) == 1


@pytest.mark.parametrize("text", [JITTER, QUEUE], ids=["delayed", "queued"])
def test_a_waiting_run_does_not_start_before_its_start_can_be_written(
    loop: Loop, filler: Path, text: str
) -> None:
    wait_on_full_disk(loop, filler, text)
    filler.unlink()
    loop.until(lambda: not has_pending(loop))
    assert states(loop)[-1] == "waiting", "the ledger has the state of the run"
    loop.frozen.tick(timedelta(seconds=2))
    loop.until(lambda: set(states(loop)) == {"succeeded"})


@pytest.mark.parametrize("text", [JITTER, QUEUE], ids=["delayed", "queued"])
def test_a_run_that_waits_for_the_disk_is_killed(loop: Loop, filler: Path, text: str) -> None:
    wait_on_full_disk(loop, filler, text)
    (claimed,) = loop.daemon.subsystems.scheduler.admission.queue.claims
    ask(loop, "kill", what=str(claimed.run.id))
    filler.unlink()
    loop.until(lambda: not has_pending(loop))
    loop.minutes(2)
    assert (states(loop)[-1], reasons(loop)[-1]) == ("killed", f"kill: by {ME}")


@pytest.mark.parametrize(
    ("option", "state", "reason"),
    [
        ("", "skipped", "paused: full"),
        ("", "skipped", REMOVED),
        (" within=100s", "missed", "within: it could not start within 1 m 40 s"),
    ],
)
def test_a_run_that_waits_for_the_disk_is_decided_again(
    loop: Loop, filler: Path, option: str, state: str, reason: str
) -> None:
    wait_on_full_disk(loop, filler, JITTER.replace(" jitter", f"{option} jitter"))
    if "paused" in reason:
        ask(loop, "pause", jobs=["job"], reason="full")
    elif reason == REMOVED:
        loop.write("0 0 1 1 * true\n")
        loop.daemon.subsystems.reloader.reload(clock.now())
    loop.minutes(2)
    filler.unlink()
    loop.until(lambda: not has_pending(loop))
    assert (states(loop), reasons(loop)) == ([state], [reason])


def test_a_run_that_waits_for_the_disk_starts_after_the_death_of_the_daemon(loop: Loop, filler: Path) -> None:
    wait_on_full_disk(loop, filler, JITTER)
    loop.release()
    filler.unlink()
    loop.begin()
    loop.until(lambda: states(loop) == ["succeeded"])


# In the second before the minute


@pytest.mark.parametrize("change", ["reload", "turned clock", "stop"])
def test_a_delayed_run_is_cancelled_before_its_minute(loop: Loop, change: str) -> None:
    loop.begin(JITTER)
    loop.to("2025-06-10T12:00:59.5Z")
    assert states(loop) == ["waiting"]
    if change == "reload":
        loop.write("0 0 1 1 * true\n")
        loop.daemon.subsystems.reloader.reload(clock.now())
        assert states(loop) == []
    elif change == "turned clock":
        loop.to("2025-06-10T20:00:00Z")
        assert states(loop) == ["skipped"]
    else:
        loop.stop()
        assert loop.runs() == []
