"""overlap, lock, max-running, within, retries, success, timeout: what the options lead to, with real processes."""

import os
import signal
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from pycrond import clock
from tests.conftest import alive
from tests.support.loop import Loop

WAIT = "while [ ! -e {0} ]; do sleep 0.02; done"


def go(loop: Loop, name: str = "go") -> None:
    (loop.folder / name).touch()


def states(loop: Loop, name: str | None = None) -> list[str]:
    return [run.state for run in loop.runs() if name is None or run.name == name]


def reasons(loop: Loop) -> list[str]:
    return [run.reason for run in loop.runs()]


def again(loop: Loop) -> None:
    """The daemon is killed, another comes at once."""
    loop.release()
    loop.begin()
    loop.turn()


# overlap


def test_overlap_allow_is_crons(loop: Loop) -> None:
    loop.begin(f"* * * * * {WAIT.format('go')}\n")
    loop.minutes(3)
    assert states(loop) == ["running"] * 3
    go(loop)
    loop.settle()


def test_overlap_skip(loop: Loop) -> None:
    loop.begin(f"#: name=job overlap=skip\n* * * * * {WAIT.format('go')}\n")
    loop.minutes(3)
    assert states(loop) == ["running", "skipped", "skipped"]
    assert reasons(loop)[1:] == ["overlap: run 1 still runs"] * 2
    assert any("root/job" in said and "overlap" in said for said in loop.log.said("SKIPPED"))
    go(loop)
    loop.settle()
    loop.minutes()
    loop.settle()
    assert states(loop)[3:] == ["succeeded"]


def test_overlap_queue_holds_one(loop: Loop) -> None:
    loop.begin(f"#: name=job overlap=queue\n* * * * * {WAIT.format('go')}; echo $PYCROND_FIRE_TIME\n")
    loop.minutes(3)
    assert states(loop) == ["running", "waiting", "skipped"]
    assert reasons(loop)[2] == "queue-full: one waits already, overlap: run 1 still runs"
    go(loop)
    loop.until(lambda: states(loop) == ["succeeded", "succeeded", "skipped"])
    loop.settle()
    assert loop.log.said("CMDOUT") == ["2025-06-10T12:01:00Z", "2025-06-10T12:02:00Z"]


def test_what_is_queued_survives_a_restart_and_waits_for_the_adopted(loop: Loop) -> None:
    loop.begin(f"#: name=job overlap=queue\n* * * * * {WAIT.format('go')}\n")
    loop.minutes(2)
    again(loop)
    assert states(loop) == ["running", "waiting"]
    go(loop)
    loop.until(lambda: states(loop)[1:] == ["succeeded"])
    # Ours were children of the daemon before: here that is the test's own process.
    assert states(loop)[0] in {"succeeded", "unknown"}


def test_a_queue_whose_job_is_removed(loop: Loop) -> None:
    loop.begin(f"#: name=job overlap=queue\n* * * * * {WAIT.format('go')}\n")
    loop.minutes(2)
    loop.write("0 0 1 1 * true\n")
    loop.daemon.subsystems.reloader.reload(clock.now())
    assert (states(loop), reasons(loop)[1]) == (["running", "skipped"], "removed: the job is gone")
    go(loop)
    loop.settle()


def test_overlap_replace(loop: Loop) -> None:
    loop.begin("#: name=job overlap=replace grace=5s\n* * * * * echo begun; exec sleep 100\n")
    loop.minutes(2)
    loop.until(lambda: states(loop) == ["killed", "running"])
    assert reasons(loop)[0] == "overlap: replaced by run 2"
    assert loop.runs()[0].signal == signal.SIGTERM
    loop.minutes(1)
    loop.until(lambda: states(loop) == ["killed", "killed", "running"])


def test_what_waits_to_replace_is_replaced_itself(loop: Loop) -> None:
    stubborn = "#: name=job overlap=replace grace=1s\n* * * * * trap '' TERM; touch up; while :; do sleep 0.05; done\n"
    loop.begin(stubborn)
    loop.minutes(1)
    loop.until((loop.folder / "up").exists)
    loop.minutes(2)
    assert states(loop) == ["running", "skipped", "waiting"]
    assert reasons(loop)[1] == "overlap: replaced by run 3"
    loop.until(lambda: states(loop) == ["killed", "skipped", "running"])
    assert loop.runs()[0].signal == signal.SIGKILL


# lock


def test_of_a_lock_one_runs_at_a_time(loop: Loop) -> None:
    waits = WAIT.format("go")
    loop.begin(
        f"PYCROND_LOCK=db\n#: name=a\n* * * * * {waits}\n#: name=b\n* * * * * true\n#: name=c overlap=skip\n* * * * * true\n"
    )
    loop.minutes(1)
    assert [states(loop, name) for name in "abc"] == [["running"], ["waiting"], ["skipped"]]
    assert reasons(loop)[1:] == ["lock: run 1 holds db"] * 2
    go(loop)
    loop.until(lambda: states(loop) == ["succeeded", "succeeded", "skipped"])


# max-running


def test_more_than_may_run_wait_in_the_order_of_their_fires(loop: Loop) -> None:
    loop.settings = replace(loop.settings, max_running=1)
    jobs = "".join(f"#: name=j{n}\n* * * * * echo {n} >>ran; {WAIT.format('go')}\n" for n in range(5))
    loop.begin(jobs)
    loop.minutes(2)
    assert states(loop) == ["running"] + ["waiting"] * 9
    assert set(reasons(loop)[1:]) == {"max-running: as many run as may"}
    most = 0
    go(loop)

    def settled() -> bool:
        nonlocal most
        most = max(most, loop.daemon.subsystems.runs.active.count)
        return states(loop) == ["succeeded"] * 10

    loop.until(settled)
    assert most == 1
    assert (loop.folder / "ran").read_text().split() == [*"0123401234"], "the earlier fires first"


# within


def test_a_fire_that_cannot_start_in_time_is_missed(loop: Loop) -> None:
    loop.begin(f"#: name=job overlap=queue within=90s\n1-2 12 * * * {WAIT.format('go')}\n")
    loop.minutes(4)
    assert states(loop) == ["running", "missed"]
    assert reasons(loop)[1] == "within: it could not start within 90 s"
    assert loop.log.said("MISSED")
    go(loop)
    loop.settle()


# success and retries


def test_success(loop: Loop) -> None:
    loop.begin("#: success=0,3\n1 12 * * * exit 3\n#: success=4\n2 12 * * * true\n")
    loop.minutes(2)
    loop.settle()
    assert [(run.state, run.exit_status) for run in loop.runs()] == [("succeeded", 3), ("failed", 0)]


def test_retries_until_it_succeeds_over_restarts(loop: Loop) -> None:
    loop.begin(
        "#: name=job retries=3 retry-delay=60s\n"
        "1 12 * * * echo $PYCROND_ATTEMPT $PYCROND_FIRE_TIME; [ $PYCROND_ATTEMPT = 3 ]\n"
    )
    loop.minutes(1)
    loop.until(lambda: states(loop) == ["failed", "waiting"])
    again(loop)
    loop.minutes(2)
    loop.until(lambda: states(loop) == ["failed", "failed", "waiting"])
    loop.minutes(3)
    loop.until(lambda: states(loop) == ["failed", "failed", "succeeded"])
    loop.settle()
    assert [(run.trigger, run.attempt) for run in loop.runs()] == [
        ("schedule", 1),
        ("retry", 2),
        ("retry", 3),
    ]
    said = list(dict.fromkeys(loop.log.said("CMDOUT")))  # at least once, over a restart
    assert said == [f"{n} 2025-06-10T12:01:00Z" for n in (1, 2, 3)]
    assert len({run.fire for run in loop.runs()}) == 1


def test_a_retry_is_of_the_job_as_it_is_then(loop: Loop) -> None:
    loop.begin("#: name=job retries=1 retry-delay=60s\n1 12 * * * false\n")
    loop.minutes(1)
    loop.until(lambda: states(loop) == ["failed", "waiting"])
    loop.write("#: name=job retries=1 retry-delay=60s\n1 12 * * * echo new\n")
    loop.daemon.subsystems.reloader.reload(clock.now())
    loop.minutes(2)
    loop.settle()
    assert states(loop) == ["failed", "succeeded"]
    assert loop.log.said("CMDOUT") == ["new"]


def test_a_retry_does_not_run_beside_the_next_fire(loop: Loop) -> None:
    loop.begin(
        "#: name=job overlap=skip retries=1 retry-delay=90s\n"
        f"1-2 12 * * * [ $PYCROND_FIRE_TIME = 2025-06-10T12:01:00Z ] && exit 1; {WAIT.format('go')}\n"
    )
    loop.minutes(1)
    loop.until(lambda: states(loop) == ["failed", "waiting"])
    loop.minutes(3)
    assert sorted(states(loop)) == ["failed", "running", "skipped"]
    assert reasons(loop)[1].startswith("overlap: run")
    go(loop)
    loop.settle()


# timeout


@pytest.mark.parametrize(
    ("command", "number"),
    [("exec sleep 100", signal.SIGTERM), ("trap '' TERM; while :; do sleep 0.05; done", signal.SIGKILL)],
)
def test_timeout_term_then_kill(loop: Loop, command: str, number: int) -> None:
    loop.begin(f"#: name=job timeout=0.3s grace=0.3s\n* * * * * {command}\n")
    loop.minutes(1)
    loop.until(lambda: states(loop) == ["timed-out"])
    (run,) = loop.runs()
    assert (run.signal, run.reason) == (number, "timeout: it ran for more than 0.3 s")
    assert run.duration_s is not None
    assert 0.3 <= run.duration_s < 3


def test_a_job_that_ends_itself_in_its_grace_has_timed_out_too(loop: Loop) -> None:
    loop.begin("#: timeout=0.2s\n* * * * * trap 'exit 0' TERM; while :; do sleep 0.02; done\n")
    loop.minutes(1)
    loop.until(lambda: states(loop) == ["timed-out"])
    assert loop.runs()[0].exit_status == 0


def test_a_group_of_fifty(loop: Loop) -> None:
    loop.begin("#: timeout=0.5s grace=0.5s\n* * * * * for i in $(seq 50); do sleep 1000 & done; wait\n")
    loop.minutes(1)
    loop.until(lambda: states(loop) == ["timed-out"])
    loop.until(lambda: not [pid for pid in loop.processes() if alive(pid)])


@pytest.mark.parametrize("grouped", [True, False], ids=["cgroup", "environment"])
def test_what_left_the_group_is_ended_too(loop: Loop, grouped: bool) -> None:
    """It ignores TERM, leads a session of its own, and is nobody's child."""
    loop.begin(
        "#: timeout=0.4s grace=0.4s\n"
        "* * * * * setsid sh -c 'trap \"\" TERM; (echo $$ >left; exec sleep 1000) &' ; sleep 1000\n"
    )
    if not grouped:
        loop.daemon.subsystems.runs.limits._base = None
    loop.minutes(1)
    loop.until((loop.folder / "left").exists)
    assert [pid for pid in loop.processes() if alive(pid)]
    loop.until(lambda: states(loop) == ["timed-out"])
    loop.until(lambda: not [pid for pid in loop.processes() if alive(pid)])
    loop.until(lambda: loop.log.said("KILLED"))


def test_the_grace_is_for_all_of_the_group(loop: Loop) -> None:
    """The shell is gone at once; its child cleans up."""
    loop.begin(
        "#: timeout=0.3s grace=8s\n"
        "* * * * * sh -c 'trap \"sleep 0.5; echo clean >clean; exit\" TERM; while :; do sleep 0.02; done' & wait\n"
    )
    loop.minutes(1)
    loop.until(lambda: states(loop) == ["timed-out"])
    loop.until((loop.folder / "clean").exists)


def test_what_a_normal_end_leaves_is_told_of_and_left_alone(loop: Loop) -> None:
    loop.begin("#: name=job\n* * * * * sleep 1000 & echo $! >left\n")
    loop.minutes(1)
    loop.until(lambda: states(loop) == ["succeeded"])
    pid = int((loop.folder / "left").read_text())
    loop.until(lambda: loop.log.said("LEFT") == [f"job left 1 process running: {pid}"])
    assert alive(pid)


def test_a_shell_that_is_python(loop: Loop) -> None:
    loop.begin(
        "SHELL=/usr/bin/python3\n#: timeout=0.5s grace=0.3s\n"
        "* * * * * import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(1000)\n"
    )
    loop.minutes(1)
    loop.until(lambda: states(loop) == ["timed-out"])
    assert loop.runs()[0].signal == signal.SIGKILL
    loop.settle()
    assert loop.log.said("CMDOUT") == ["up"]


def test_a_timeout_that_comes_while_the_daemon_is_away(loop: Loop) -> None:
    loop.begin("#: timeout=0.5s grace=0.3s\n* * * * * trap '' TERM; while :; do sleep 0.05; done\n")
    loop.minutes(1)
    began = clock.elapsed()
    loop.release()
    while clock.elapsed() < began + 0.8:
        os.sched_yield()
    loop.frozen.tick(timedelta(seconds=1))
    loop.begin()
    loop.until(lambda: states(loop) == ["timed-out"])


def test_no_cgroup_stays_behind(loop: Loop) -> None:
    loop.begin("#: timeout=5s\n* * * * * true\n")
    base = loop.daemon.subsystems.runs.limits._base
    loop.minutes(1)
    loop.settle()
    loop.turn()
    loop.stop()
    assert base is None or not Path(base).exists()
