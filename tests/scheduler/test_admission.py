"""The options overlap, lock, max-running, within, retries, success and timeout, with real processes."""

import os
import signal
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from pycrond import clock
from tests.conftest import ME, alive
from tests.support.loop import Loop

WAIT = "while [ ! -e {0} ]; do sleep 0.02; done"


def go(loop: Loop, name: str = "go") -> None:
    (loop.directory / name).touch()


def states(loop: Loop, name: str | None = None) -> list[str]:
    return [run.state for run in loop.runs() if name is None or run.name == name]


def reasons(loop: Loop) -> list[str]:
    return [run.reason for run in loop.runs()]


def restart_daemon(loop: Loop) -> None:
    """Kill the daemon, and start another at once."""
    loop.release()
    loop.begin()
    loop.turn()


# overlap


def test_overlap_allow_starts_a_second_run_as_cron_does(loop: Loop) -> None:
    loop.begin(f"* * * * * {WAIT.format('go')}\n")
    loop.minutes(3)
    assert states(loop) == ["running"] * 3
    go(loop)
    loop.settle()


def test_overlap_skip_skips_fires_while_a_run_is_running(loop: Loop) -> None:
    loop.begin(f"#: name=job overlap=skip\n* * * * * {WAIT.format('go')}\n")
    loop.minutes(3)
    assert states(loop) == ["running", "skipped", "skipped"]
    assert reasons(loop)[1:] == ["overlap: run 1 still runs"] * 2
    assert any(f"{ME}/job" in text and "overlap" in text for text in loop.log.details("SKIPPED"))
    go(loop)
    loop.settle()
    loop.minutes()
    loop.settle()
    assert states(loop)[3:] == ["succeeded"]


def test_overlap_queue_keeps_one_fire_waiting_and_skips_the_others(loop: Loop) -> None:
    loop.begin(f"#: name=job overlap=queue\n* * * * * {WAIT.format('go')}; echo $PYCROND_FIRE_TIME\n")
    loop.minutes(3)
    assert states(loop) == ["running", "waiting", "skipped"]
    assert reasons(loop)[2] == "queue-full: a fire waits already, overlap: run 1 still runs"
    go(loop)
    loop.until(lambda: states(loop) == ["succeeded", "succeeded", "skipped"])
    loop.settle()
    assert loop.log.details("CMDOUT") == ["2025-06-10T12:01:00Z", "2025-06-10T12:02:00Z"]


def test_a_queued_run_survives_a_restart_and_waits_for_the_adopted_run(loop: Loop) -> None:
    loop.begin(f"#: name=job overlap=queue\n* * * * * {WAIT.format('go')}\n")
    loop.minutes(2)
    restart_daemon(loop)
    assert states(loop) == ["running", "waiting"]
    go(loop)
    loop.until(lambda: states(loop)[1:] == ["succeeded"])
    # In this test the process is a child of both daemons, which are the same process.
    assert states(loop)[0] in {"succeeded", "unknown"}


def test_a_queued_run_is_skipped_when_its_job_is_removed(loop: Loop) -> None:
    loop.begin(f"#: name=job overlap=queue\n* * * * * {WAIT.format('go')}\n")
    loop.minutes(2)
    loop.write("0 0 1 1 * true\n")
    loop.daemon.subsystems.reloader.reload(clock.now())
    assert (states(loop), reasons(loop)[1]) == (["running", "skipped"], "removed: the job is gone")
    go(loop)
    loop.settle()


def test_overlap_replace_ends_the_running_run_and_starts_the_new_one(loop: Loop) -> None:
    loop.begin("#: name=job overlap=replace grace=5s\n* * * * * echo begun; exec sleep 100\n")
    loop.minutes(2)
    loop.until(lambda: states(loop) == ["killed", "running"])
    assert reasons(loop)[0] == "overlap: replaced by run 2"
    assert loop.runs()[0].signal == signal.SIGTERM
    loop.minutes(1)
    loop.until(lambda: states(loop) == ["killed", "killed", "running"])


def test_a_run_that_waits_to_replace_another_is_replaced_by_a_newer_one(loop: Loop) -> None:
    stubborn = "#: name=job overlap=replace grace=1s\n* * * * * trap '' TERM; touch up; while :; do sleep 0.05; done\n"
    loop.begin(stubborn)
    loop.minutes(1)
    loop.until((loop.directory / "up").exists)
    loop.minutes(2)
    assert states(loop) == ["running", "skipped", "waiting"]
    assert reasons(loop)[1] == "overlap: replaced by run 3"
    loop.until(lambda: states(loop) == ["killed", "skipped", "running"])
    assert loop.runs()[0].signal == signal.SIGKILL


# lock


def test_jobs_with_the_same_lock_run_one_at_a_time(loop: Loop) -> None:
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


def test_runs_above_max_running_wait_in_the_order_of_their_fires(loop: Loop) -> None:
    loop.settings = replace(loop.settings, max_running=1)
    jobs = "".join(f"#: name=j{n}\n* * * * * echo {n} >>ran; {WAIT.format('go')}\n" for n in range(5))
    loop.begin(jobs)
    loop.minutes(2)
    assert states(loop) == ["running"] + ["waiting"] * 9
    assert set(reasons(loop)[1:]) == {"max-running: the limit of running jobs is reached"}
    max_count = 0
    go(loop)

    def have_all_succeeded() -> bool:
        nonlocal max_count
        max_count = max(max_count, loop.daemon.subsystems.runs.active.count)
        return states(loop) == ["succeeded"] * 10

    loop.until(have_all_succeeded)
    assert max_count == 1
    assert (loop.directory / "ran").read_text().split() == [*"0123401234"], "the earlier fires first"


# within


def test_a_fire_that_cannot_start_in_time_is_missed(loop: Loop) -> None:
    loop.begin(f"#: name=job overlap=queue within=90s\n1-2 12 * * * {WAIT.format('go')}\n")
    loop.minutes(4)
    assert states(loop) == ["running", "missed"]
    assert reasons(loop)[1] == "within: it could not start within 1 m 30 s"
    assert loop.log.details("MISSED")
    go(loop)
    loop.settle()


# success and retries


def test_the_option_success_names_the_exit_statuses_that_succeed(loop: Loop) -> None:
    loop.begin("#: success=0,3\n1 12 * * * exit 3\n#: success=4\n2 12 * * * true\n")
    loop.minutes(2)
    loop.settle()
    assert [(run.state, run.exit_status) for run in loop.runs()] == [("succeeded", 3), ("failed", 0)]


def test_a_failed_run_is_retried_until_it_succeeds_over_restarts(loop: Loop) -> None:
    loop.begin(
        "#: name=job retries=3 retry-delay=60s\n"
        "1 12 * * * echo $PYCROND_ATTEMPT $PYCROND_FIRE_TIME; [ $PYCROND_ATTEMPT = 3 ]\n"
    )
    loop.minutes(1)
    loop.until(lambda: states(loop) == ["failed", "waiting"])
    restart_daemon(loop)
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
    lines = list(dict.fromkeys(loop.log.details("CMDOUT")))  # a restart may send a line twice
    assert lines == [f"{n} 2025-06-10T12:01:00Z" for n in (1, 2, 3)]
    assert len({run.fire for run in loop.runs()}) == 1


def test_a_retry_runs_the_changed_command_of_its_job(loop: Loop) -> None:
    loop.begin("#: name=job retries=1 retry-delay=60s\n1 12 * * * false\n")
    loop.minutes(1)
    loop.until(lambda: states(loop) == ["failed", "waiting"])
    loop.write("#: name=job retries=1 retry-delay=60s\n1 12 * * * echo new\n")
    loop.daemon.subsystems.reloader.reload(clock.now())
    loop.minutes(2)
    loop.settle()
    assert states(loop) == ["failed", "succeeded"]
    assert loop.log.details("CMDOUT") == ["new"]


def test_a_retry_is_skipped_while_the_next_fire_runs(loop: Loop) -> None:
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
def test_a_run_that_times_out_is_killed_after_its_grace(loop: Loop, command: str, number: int) -> None:
    loop.begin(f"#: name=job timeout=0.3s grace=0.3s\n* * * * * {command}\n")
    loop.minutes(1)
    loop.until(lambda: states(loop) == ["timed-out"])
    (run,) = loop.runs()
    assert (run.signal, run.reason) == (number, "timeout: it ran for more than 300 ms")
    assert run.duration_s is not None
    assert 0.3 <= run.duration_s < 3


def test_a_run_that_ends_itself_in_its_grace_has_timed_out(loop: Loop) -> None:
    loop.begin("#: timeout=0.2s\n* * * * * trap 'exit 0' TERM; while :; do sleep 0.02; done\n")
    loop.minutes(1)
    loop.until(lambda: states(loop) == ["timed-out"])
    assert loop.runs()[0].exit_status == 0


def test_a_timeout_ends_fifty_processes_of_a_run(loop: Loop) -> None:
    loop.begin("#: timeout=0.5s grace=0.5s\n* * * * * for i in $(seq 50); do sleep 1000 & done; wait\n")
    loop.minutes(1)
    loop.until(lambda: states(loop) == ["timed-out"])
    loop.until(lambda: not [pid for pid in loop.processes() if alive(pid)])


@pytest.mark.parametrize("has_cgroup", [True, False], ids=["cgroup", "environment"])
def test_a_timeout_also_ends_a_process_that_left_the_process_group(loop: Loop, has_cgroup: bool) -> None:
    """The process ignores TERM, leads its own session, and its parent has ended."""
    loop.begin(
        "#: timeout=0.4s grace=0.4s\n"
        "* * * * * setsid sh -c 'trap \"\" TERM; (echo $$ >left; exec sleep 1000) &' ; sleep 1000\n"
    )
    if not has_cgroup:
        loop.daemon.subsystems.runs.limits._base = None
    loop.minutes(1)
    loop.until((loop.directory / "left").exists)
    assert [pid for pid in loop.processes() if alive(pid)]
    loop.until(lambda: states(loop) == ["timed-out"])
    loop.until(lambda: not [pid for pid in loop.processes() if alive(pid)])
    loop.until(lambda: loop.log.details("KILLED"))


def test_every_process_of_the_group_gets_the_grace(loop: Loop) -> None:
    """The shell ends at once; its child cleans up."""
    loop.begin(
        "#: timeout=0.3s grace=8s\n"
        "* * * * * sh -c 'trap \"sleep 0.5; echo clean >clean; exit\" TERM; while :; do sleep 0.02; done' & wait\n"
    )
    loop.minutes(1)
    loop.until(lambda: states(loop) == ["timed-out"])
    loop.until((loop.directory / "clean").exists)


def test_a_process_that_a_normal_end_leaves_behind_is_logged_and_not_killed(loop: Loop) -> None:
    loop.begin("#: name=job\n* * * * * sleep 1000 & echo $! >left\n")
    loop.minutes(1)
    loop.until(lambda: states(loop) == ["succeeded"])
    pid = int((loop.directory / "left").read_text())
    loop.until(lambda: loop.log.details("LEFT") == [f"job left 1 process running: {pid}"])
    assert alive(pid)


def test_a_timeout_ends_a_shell_that_is_python(loop: Loop) -> None:
    loop.begin(
        "SHELL=/usr/bin/python3\n#: timeout=0.5s grace=0.3s\n"
        "* * * * * import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(1000)\n"
    )
    loop.minutes(1)
    loop.until(lambda: states(loop) == ["timed-out"])
    assert loop.runs()[0].signal == signal.SIGKILL
    loop.settle()
    assert loop.log.details("CMDOUT") == ["up"]


def test_a_timeout_that_passes_while_no_daemon_runs_ends_the_adopted_run(loop: Loop) -> None:
    loop.begin("#: timeout=0.5s grace=0.3s\n* * * * * trap '' TERM; while :; do sleep 0.05; done\n")
    loop.minutes(1)
    began = clock.elapsed()
    loop.release()
    while clock.elapsed() < began + 0.8:
        os.sched_yield()
    loop.frozen.tick(timedelta(seconds=1))
    loop.begin()
    loop.until(lambda: states(loop) == ["timed-out"])


def test_a_daemon_that_stops_leaves_no_cgroup(loop: Loop) -> None:
    loop.begin("#: timeout=5s\n* * * * * true\n")
    base = loop.daemon.subsystems.runs.limits._base
    loop.minutes(1)
    loop.settle()
    loop.turn()
    loop.stop()
    assert base is None or not Path(base).exists()
