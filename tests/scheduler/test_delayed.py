"""Delayed starts: fires with a delay, and missed fires that are caught up; also after a restart."""

from datetime import timedelta

import pytest

from pycrond import clock
from tests.support.loop import Loop


def restart_daemon_after(loop: Loop, minutes: int) -> None:
    """Kill the daemon, and start another one after `minutes`."""
    loop.release()
    loop.frozen.tick(timedelta(minutes=minutes))
    loop.begin()
    loop.turn()


def seconds(loop: Loop, number: int) -> None:
    """Let a number of seconds pass, each with a turn of the loop."""
    for _ in range(number):
        loop.frozen.tick(timedelta(seconds=1))
        loop.turn()


def fires(loop: Loop, state: str) -> list[str]:
    """Return the fire times, as HH:MM, of the runs in this state."""
    from datetime import UTC, datetime

    return [
        datetime.fromtimestamp(run.fire, UTC).strftime("%H:%M")
        for run in sorted(loop.runs(), key=lambda run: run.fire)
        if run.state == state
    ]


@pytest.mark.parametrize(
    ("option", "caught_up", "missed"),
    [
        ("missed=skip", [], 6),
        ("missed=once", ["12:31"], 5),
        ("missed=all", ["12:06", "12:11", "12:16", "12:21", "12:26", "12:31"], 0),
        ("missed=all within=16m", ["12:21", "12:26", "12:31"], 3),
        ("missed=once within=1m", [], 6),
    ],
)
def test_the_option_missed_decides_which_fires_are_caught_up(
    loop: Loop, option: str, caught_up: list[str], missed: int
) -> None:
    loop.begin(f"#: name=job {option}\n1-59/5 * * * * echo $PYCROND_FIRE_TIME\n")
    loop.minutes(1)
    loop.settle()
    restart_daemon_after(loop, 33)
    seconds(loop, 8)
    loop.settle()
    assert fires(loop, "succeeded") == ["12:01", *caught_up]
    assert {run.trigger for run in loop.runs() if run.state == "succeeded"} <= {"schedule", "catch-up"}
    gaps = [run for run in loop.runs() if run.state == "missed"]
    assert sum(run.folded or 0 for run in gaps) == missed
    assert all(run.reason.startswith("daemon-down: ") for run in gaps)
    if caught_up:
        lines = [line for line in loop.log.details("CMDOUT") if "T12:31" in line]
        assert len(lines) == 1, "the run has the fire time that was missed"


def test_catch_ups_start_one_a_second_in_order_also_after_a_restart(loop: Loop) -> None:
    loop.begin("#: name=a missed=all\n* * * * * true\n#: name=b missed=all\n* * * * * true\n")
    restart_daemon_after(loop, 5)
    waiting = fires(loop, "waiting")
    assert len(waiting) >= 6
    assert waiting == sorted(waiting)
    seconds(loop, 2)
    loop.settle()
    left = len(fires(loop, "waiting"))
    assert left == len(waiting) - 2
    restart_daemon_after(loop, 0)
    assert len(fires(loop, "waiting")) >= left - 1
    seconds(loop, left + 1)
    loop.settle()
    assert fires(loop, "waiting") == []
    ran = fires(loop, "succeeded")
    assert len(ran) >= 8
    assert all(ran.count(fire) == 2 for fire in ran), "each of both jobs ran once for each fire"


@pytest.mark.parametrize(
    ("option", "runs"), [("", 3), ("#: missed=skip\n", 0), ("#: missed=once\n", 1), ("#: missed=all\n", 3)]
)
def test_fires_that_a_turned_clock_skips_are_caught_up_by_the_option_missed(
    loop: Loop, option: str, runs: int
) -> None:
    """Without the option, cron's rule applies: skipped fixed times of up to three hours run at once."""
    loop.begin(f"{option}0,10,20 13 * * * true\n")
    loop.frozen.move_to("2025-06-10T13:25:00Z")
    loop.turn()
    seconds(loop, 4)
    loop.settle()
    assert len(fires(loop, "succeeded")) == runs


def test_random_delay_is_the_same_every_day_and_survives_a_restart(loop: Loop) -> None:
    loop.begin("RANDOM_DELAY=30\n#: name=late\n5 * * * * echo $PYCROND_FIRE_TIME\n")
    loop.minutes(5)
    (run,) = loop.runs()
    (start_at,) = loop.query("SELECT start_at FROM runs")[0]
    late = int(start_at - run.fire) // 60
    assert 0 <= late <= 30
    if late:
        assert run.state == "waiting"
        restart_daemon_after(loop, 0)
        loop.minutes(late)
    loop.settle()
    (run,) = loop.runs()
    assert run.state == "succeeded"
    assert run.lateness_ms is not None
    assert run.lateness_ms // 60000 == late


def test_jitter_differs_between_fires_and_stays_below_its_limit(loop: Loop) -> None:
    loop.begin("#: name=late jitter=50s\n* * * * * true\n")
    loop.minutes(12)
    seconds(loop, 51)
    loop.settle()
    delays = [
        int(at - fire) for fire, at in loop.query("SELECT fire, start_at FROM runs WHERE start_at NOT NULL")
    ]
    assert len(set(delays)) > 5
    assert all(0 < late <= 50 for late in delays)
    assert set(fires(loop, "succeeded")) >= {f"12:{minute:02}" for minute in range(1, 13)}


def test_a_delayed_run_is_skipped_when_its_job_is_removed(loop: Loop) -> None:
    loop.begin("#: name=gone jitter=59s\n* * * * * true\n")
    loop.minutes(3)
    loop.write("0 0 1 1 * true\n")
    loop.daemon.subsystems.reloader.reload(clock.now())
    assert not fires(loop, "waiting")
    assert {run.reason for run in loop.runs() if run.state == "skipped"} <= {"removed: the job is gone"}


WAITING = {
    "a retry": ("retries=1 retry-delay=100s", "false", 111),
    "a delay": ("jitter=2m", "true", 121),
    "a catch-up": ("missed=all", "true", 60),
}


@pytest.mark.parametrize("how", ["set back", "set forward", "set back, and the daemon dies"])
@pytest.mark.parametrize("what", WAITING)
def test_a_delayed_start_waits_no_longer_when_the_clock_is_turned(loop: Loop, what: str, how: str) -> None:
    options, command, longest = WAITING[what]
    loop.begin(f"#: name=job {options}\n5,6,7,8 12 * * * {command}\n")
    if what == "a catch-up":
        restart_daemon_after(loop, 7)
    else:
        loop.to("2025-06-10T12:05:00Z")
    loop.until(lambda: "waiting" in {run.state for run in loop.runs()})
    moment = "2025-06-03T09:00:00Z" if how.startswith("set back") else "2025-06-17T09:00:00Z"
    loop.turn_clock(moment, dies="dies" in how)
    assert "waiting" in {run.state for run in loop.runs()}, "a step of the clock starts nothing at once"
    seconds(loop, longest)
    loop.until(lambda: not loop.daemon.subsystems.runs.active.count)
    assert not [run for run in loop.runs() if run.state == "waiting"]


@pytest.mark.parametrize("moment", ["2025-06-03T09:00:10Z", "2025-06-17T09:00:10Z"])
def test_within_counts_the_time_that_passes_not_that_of_a_turned_clock(loop: Loop, moment: str) -> None:
    loop.begin("#: name=job overlap=queue within=150s\n5,6 12 * * * sleep 1000\n")
    loop.to("2025-06-10T12:05:00Z")
    loop.to("2025-06-10T12:06:10Z")
    loop.turn_clock(moment)
    assert [run.state for run in loop.runs() if run.trigger == "schedule"][:2] == ["running", "waiting"]
    seconds(loop, 130)
    assert loop.runs()[1].state == "waiting"
    seconds(loop, 15)
    assert (loop.runs()[1].state, loop.runs()[1].reason[:6]) == ("missed", "within")


@pytest.mark.parametrize("dies", [False, True])
def test_a_pause_lasts_as_long_when_the_clock_is_set_back(loop: Loop, dies: bool) -> None:
    loop.begin("#: name=job\n* * * * * true\n")
    pauses = loop.daemon.subsystems.scheduler.pauses
    (key,) = loop.daemon.subsystems.reloader.jobs
    pauses.pause([key], clock.now().timestamp() + 600, "work", clock.now())
    if dies:
        loop.release()
        loop.frozen.move_to("2025-06-03T09:00:00Z")
        loop.begin()
    else:
        loop.turn_clock("2025-06-03T09:00:00Z")
    loop.turn()
    paused = loop.query("SELECT until FROM pauses WHERE ended_at IS NULL")
    assert paused == [(clock.now().timestamp() + 600,)]
    assert loop.daemon.subsystems.scheduler.pauses.count(clock.now()) == 1
    assert not loop.daemon.subsystems.scheduler.pauses.count(clock.now() + timedelta(minutes=10))


@pytest.mark.parametrize(
    ("on", "outcome"),
    [
        ("one", ("skipped", "elsewhere")),
        ("one:db", ("skipped", "elsewhere")),
        ("db", ("skipped", "elsewhere")),
        ("web", ("skipped", "clock-step")),
        ("one-db", ("skipped", "clock-step")),
        ("every", ("skipped", "clock-step")),
    ],
)
def test_what_a_node_missed_is_its_own_only_for_jobs_that_run_on_each_node_with_its_labels(
    loop: Loop, on: str, outcome: tuple[str, str]
) -> None:
    loop.begin(f"#: name=job on={on} missed=skip\n*/5 * * * * true\n")
    loop.daemon.subsystems.scheduler.clock_changes.node_labels = {"web", "one-db"}
    loop.frozen.tick(3600)
    loop.turn()
    rows = loop.query("SELECT state, reason_code FROM runs WHERE folded > 1")
    assert [tuple(row) for row in rows] == [outcome]
