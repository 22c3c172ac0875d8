"""run, kill, pause, resume, status: orders that come by the control socket, with real processes."""

import os
import signal
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pycrond import clock
from pycrond.daemon import queries
from pycrond.daemon.commands import summarize
from pycrond.errors import PycrondError
from pycrond.host.spawn import Launch
from pycrond.ledger.reader import Reader
from pycrond.ledger.rows import RunFilter
from pycrond.runs.journal import JournalEntry
from tests.conftest import alive
from tests.scheduler.test_admission import WAIT, again, go, reasons, states
from tests.support.loop import Loop

NOBODY = 65534


def ask(loop: Loop, command: str, /, uid: int | None = None, **request: Any) -> dict[str, Any]:
    """An order, by the daemon's own user unless told otherwise."""
    who = os.geteuid() if uid is None else uid
    return loop.daemon._server._answerer({"command": command, **request}, who)


# run


def test_run(loop: Loop) -> None:
    loop.begin("A=b\n#: name=job\n0 0 1 1 * echo $A $PYCROND_JOB $PYCROND_FIRE_TIME\n")
    assert ask(loop, "run", job="job") == {"run": 1, "key": "root/job", "verdict": "start", "reason": ""}
    loop.settle()
    (run,) = loop.runs()
    assert (run.state, run.trigger, run.fire) == ("succeeded", "manual", clock.now().timestamp())
    assert loop.log.said("CMDOUT") == ["b root/job 2025-06-10T12:00:30Z"]
    assert loop.log.said("RUN") == ["root/job run 1 by root"]


def test_two_runs_in_one_instant_are_two(loop: Loop) -> None:
    loop.begin("#: name=job\n* * * * * true\n")
    assert [ask(loop, "run", job="job")["run"] for _ in range(3)] == [1, 2, 3]
    loop.minutes()
    loop.settle()
    assert states(loop) == ["succeeded"] * 4
    assert not list(loop.query("SELECT 1 FROM runs WHERE trigger = 'schedule' AND id < 4"))


def test_what_its_options_say_holds_for_a_run_by_hand(loop: Loop) -> None:
    wait = WAIT.format("go")
    loop.begin(
        f"#: name=skips overlap=skip\n0 0 1 1 * {wait}\n#: name=queues overlap=queue within=1s\n0 0 1 1 * {wait}\n"
        "#: name=times timeout=0.2s grace=0.2s\n0 0 1 1 * exec sleep 100\n"
    )
    assert [ask(loop, "run", job="skips")["verdict"] for _ in range(2)] == ["start", "skip"]
    answers = [ask(loop, "run", job="queues") for _ in range(3)]
    assert [one["verdict"] for one in answers] == ["start", "wait", "wait"], "by hand more than one may wait"
    assert answers[1]["reason"] == "overlap: run 3 still runs"
    ask(loop, "run", job="times")
    loop.until(lambda: states(loop, "times") == ["timed-out"])
    loop.minutes(2)
    assert states(loop, "queues") == ["running", "waiting", "waiting"], "within is for fires of the schedule"
    look_at = loop.daemon.subsystems.scheduler.admission.queue.look_at
    assert look_at is None or look_at > clock.now(), "nothing to look at again and again"
    go(loop)
    loop.until(lambda: states(loop, "queues") == ["succeeded"] * 3)


def test_a_run_that_waits_survives_a_restart_in_the_same_minute(loop: Loop) -> None:
    loop.begin(f"#: name=job overlap=queue\n0 0 1 1 * {WAIT.format('go')}\n")
    ask(loop, "run", job="job")
    ask(loop, "run", job="job")
    loop.turn()
    again(loop)
    assert states(loop) == ["running", "waiting"]
    go(loop)
    loop.until(lambda: states(loop)[1:] == ["succeeded"])


def test_a_run_by_hand_whose_start_was_not_written_down_is_not_forgotten(loop: Loop) -> None:
    loop.begin(f"#: name=job\n0 0 1 1 * {WAIT.format('go')}\n")
    ask(loop, "run", job="job")  # and killed before another turn
    again(loop)
    assert states(loop) == ["running"]
    go(loop)
    loop.until(lambda: states(loop)[0] in {"succeeded", "unknown"})  # here, it is the test's own child


def test_nothing_is_run_by_a_daemon_that_is_about_to_stop(loop: Loop) -> None:
    loop.begin(f"#: name=job\n0 0 1 1 * {WAIT.format('go')}\n")
    ask(loop, "run", job="job")
    ask(loop, "stop")
    with pytest.raises(PycrondError, match="about to stop"):
        ask(loop, "run", job="job")
    go(loop)
    loop.settle()


def test_no_more_than_a_hundred_wait(loop: Loop) -> None:
    loop.begin(f"#: name=job overlap=queue\n0 0 1 1 * {WAIT.format('go')}\n")
    for _ in range(101):
        ask(loop, "run", job="job")
    with pytest.raises(PycrondError, match=r"^100 runs of root/job wait already$"):
        ask(loop, "run", job="job")
    assert len(ask(loop, "kill", what="job")["runs"]) == 101
    loop.until(lambda: set(states(loop)) == {"killed"})


# How a job is called


@pytest.mark.parametrize("word", ["job", "root/job", "root/jo", "jo", "jobs:3", "{folder}/crontabs/jobs:3"])
def test_a_job_is_found(loop: Loop, word: str) -> None:
    loop.begin("#: name=job\n0 0 1 1 * true\n#: name=other\n0 0 1 1 * true\n")
    assert ask(loop, "run", job=word.format(folder=loop.folder))["key"] == "root/job"


@pytest.mark.parametrize("command", ["run", "kill", "pause", "resume"])
def test_several_that_a_word_may_mean_are_named_and_nothing_is_done(loop: Loop, command: str) -> None:
    loop.begin("#: name=job-a\n0 0 1 1 * true\n#: name=job-b\n0 0 1 1 * true\n")
    words = {"run": {"job": "job"}, "kill": {"what": "job"}}.get(command, {"jobs": ["job-a", "job"]})
    with pytest.raises(PycrondError, match=r"^'job' may mean 2 jobs: root/job-a, root/job-b$"):
        ask(loop, command, **words)
    assert loop.runs() == []
    assert loop.query("SELECT * FROM pauses") == []


def test_no_such_job(loop: Loop) -> None:
    loop.begin("0 0 1 1 * true\n")
    with pytest.raises(PycrondError, match=r"^no job is called 'x' \(see 'pycrond list'\)$"):
        ask(loop, "run", job="x")


# kill


@pytest.mark.parametrize("word", ["1", "job"])
def test_kill(loop: Loop, word: str) -> None:
    loop.begin("#: name=job retries=3\n0 0 1 1 * sleep 100 & sleep 100\n")
    ask(loop, "run", job="job")
    answer = ask(loop, "kill", what=word)
    assert answer["runs"] == [{"run": 1, "key": "root/job", "waited": False}]
    loop.until(lambda: states(loop) == ["killed"])
    (run,) = loop.runs()
    assert (run.reason, run.signal) == ("kill: by root", signal.SIGTERM)
    loop.until(lambda: not [pid for pid in loop.processes() if alive(pid)])
    assert loop.log.said("KILL") == ["root/job run 1 by root"]


def test_kill_of_what_ignores_term(loop: Loop) -> None:
    loop.begin(
        "#: name=job grace=0.3s\n0 0 1 1 * trap '' TERM; (setsid sleep 100 &); touch up; while :; do sleep 0.02; done\n"
    )
    ask(loop, "run", job="job")
    loop.until((loop.folder / "up").exists)
    ask(loop, "kill", what="job")
    loop.until(lambda: states(loop) == ["killed"])
    assert loop.runs()[0].signal == signal.SIGKILL
    loop.until(lambda: not [pid for pid in loop.processes() if alive(pid)])


@pytest.mark.parametrize("is_written", [True, False])
def test_the_grace_of_a_kill_goes_on_over_a_restart(loop: Loop, is_written: bool) -> None:
    loop.begin("#: name=job grace=0.3s\n0 0 1 1 * trap '' TERM; touch up; while :; do sleep 0.02; done\n")
    ask(loop, "run", job="job")
    loop.until((loop.folder / "up").exists)
    loop.turn()
    if not is_written:  # that it has started: as if no turn had come between
        (running,) = loop.daemon.subsystems.runs.active.by_pid.values()
        loop.daemon.subsystems.runs.journal.note(running.run.id, JournalEntry(running.pid))
        loop.query("UPDATE runs SET state = 'claimed', pid = NULL, pid_start = NULL, started_at = NULL")
    ask(loop, "kill", what="job")
    again(loop)
    loop.until(lambda: not [pid for pid in loop.processes() if alive(pid)])


@pytest.mark.parametrize(
    ("name", "number"), [("KILL", 9), ("SIGTERM", 15), ("int", 2), ("3", 3), ("15", 15), (9, 9)]
)
def test_kill_by_one_signal(loop: Loop, name: str, number: int) -> None:
    loop.begin("#: name=job grace=0.1s\n0 0 1 1 * exec sleep 100\n")
    ask(loop, "run", job="job")
    ask(loop, "kill", what="job", signal=name)
    loop.until(lambda: states(loop) == ["killed"])
    reason = f"kill: by root, {signal.Signals(number).name}"
    assert (loop.runs()[0].reason, loop.runs()[0].signal) == (reason, number)


def test_one_signal_is_that_alone(loop: Loop) -> None:
    loop.begin(
        "#: name=job grace=0.1s\n0 0 1 1 * trap 'echo usr' USR1; trap 'echo term' TERM; touch up; "
        f"{WAIT.format('go')}\n"
    )
    ask(loop, "run", job="job")
    loop.until((loop.folder / "up").exists)
    ask(loop, "kill", what="1", signal="USR1")
    loop.until(lambda: "usr" in loop.log.said("CMDOUT"))
    ask(loop, "kill", what="1", signal="TERM")
    loop.until(lambda: "term" in loop.log.said("CMDOUT"))
    again(loop)
    began = clock.elapsed()
    loop.until(lambda: clock.elapsed() > began + 0.3)
    assert states(loop) == ["running"]
    go(loop)
    loop.until(lambda: states(loop)[0] in {"succeeded", "unknown"})


def test_another_signal_leaves_the_state_as_the_job_ends(loop: Loop) -> None:
    loop.begin("#: name=job\n0 0 1 1 * exec sleep 100\n")
    ask(loop, "run", job="job")
    ask(loop, "kill", what="job", signal="USR2")
    loop.until(lambda: states(loop) == ["failed"])
    assert (loop.runs()[0].signal, loop.runs()[0].reason) == (signal.SIGUSR2, "")
    assert loop.log.said("KILL") == ["root/job run 1 by root, SIGUSR2"]
    ask(loop, "run", job="job")
    ask(loop, "kill", what="2", signal=40)
    loop.until(lambda: states(loop) == ["failed", "failed"])
    assert loop.log.said("KILL")[1] == "root/job run 2 by root, 40"


def test_what_waits_is_withdrawn(loop: Loop) -> None:
    loop.begin(
        f"#: name=queued overlap=queue\n0 0 1 1 * {WAIT.format('go')}\n#: name=later retries=1\n0 0 1 1 * false\n"
    )
    ask(loop, "run", job="queued")
    ask(loop, "run", job="queued")
    ask(loop, "run", job="later")
    loop.until(lambda: states(loop, "later") == ["failed", "waiting"])
    assert ask(loop, "kill", what="2")["runs"] == [{"run": 2, "key": "root/queued", "waited": True}]
    assert ask(loop, "kill", what="later")["runs"] == [{"run": 4, "key": "root/later", "waited": True}]
    assert (states(loop)[1], states(loop)[3]) == ("killed", "killed")
    assert reasons(loop)[1] == "kill: by root"
    assert len(loop.log.said("KILLED")) == 0
    loop.turn()
    assert any("root/queued" in said and "kill: by root" in said for said in loop.log.said("KILLED"))
    again(loop)
    loop.minutes(3)
    go(loop)
    loop.until(lambda: states(loop)[0] in {"succeeded", "unknown"})
    assert states(loop)[1:] == ["killed", "failed", "killed"]


def test_a_start_that_is_tried_again_is_withdrawn(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    from pycrond.host import spawn

    def full(_starter: spawn.Spawner, _launch: Launch) -> int:
        raise BlockingIOError(11, "no more processes")

    loop.begin("#: name=job\n0 0 1 1 * true\n")
    monkeypatch.setattr(spawn.Spawner, "start", full)
    ask(loop, "run", job="job")
    assert ask(loop, "status")["waiting"]["for_room"] == 1
    ask(loop, "kill", what="1")
    assert states(loop) == ["killed"]
    assert ask(loop, "status")["waiting"]["for_room"] == 0


def test_a_job_whose_line_is_gone_can_be_killed(loop: Loop) -> None:
    loop.begin("#: name=job\n0 0 1 1 * exec sleep 100\n")
    ask(loop, "run", job="job")
    loop.write("0 0 1 1 * true\n")
    ask(loop, "reload")
    ask(loop, "kill", what="job")
    loop.until(lambda: states(loop) == ["killed"])


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        ({"what": "job"}, "nothing of root/job runs or waits"),
        ({"what": "7"}, "no run 7 runs or waits"),
        ({"what": "x"}, "no job is called 'x'"),
        ({"what": "job", "signal": "NONSENSE"}, "no signal is called 'NONSENSE'"),
        ({"what": "job", "signal": 0}, "no signal is called '0'"),
        ({"what": "job", "signal": "999"}, "no signal is called '999'"),
        ({"what": "job", "signal": "²"}, "no signal is called"),
        ({"what": "²"}, "no job is called"),
        ({}, "'what' must be a text"),
        ({"what": 7}, "'what' must be a text"),
    ],
)
def test_nothing_to_kill(loop: Loop, request_: dict[str, Any], error: str) -> None:
    loop.begin("#: name=job\n0 0 1 1 * true\n")
    with pytest.raises(PycrondError, match=error):
        ask(loop, "kill", **request_)


# pause and resume


def test_a_pause_lasts_an_hour_over_restarts_and_each_fire_has_its_verdict(loop: Loop) -> None:
    loop.begin("#: name=job\n*/20 * * * * true\n#: name=other\n*/20 * * * * true\n")
    answer = ask(loop, "pause", jobs=["job"], reason="a disk is full")
    assert answer == {"keys": ["root/job"], "until": clock.now().timestamp() + 3600}
    for _ in range(3):
        loop.minutes(20)
        loop.settle()
        again(loop)
    loop.minutes()
    assert states(loop, "job") == ["skipped", "skipped", "skipped"]
    assert states(loop, "other") == ["succeeded"] * 3
    assert {run.reason for run in loop.runs() if run.name == "job"} == {"paused: a disk is full"}
    loop.minutes(20)
    loop.settle()
    assert states(loop, "job")[3:] == ["succeeded"]
    assert loop.log.said("PAUSE") == [
        f"root/job until {clock.now().astimezone():%F} 13:00 by root: a disk is full"
    ]


def test_resume(loop: Loop) -> None:
    loop.begin("#: name=job\n* * * * * true\n#: name=other\n0 0 1 1 * true\n")
    ask(loop, "pause", jobs=["job"], seconds=None)
    loop.minutes(2)
    assert ask(loop, "status")["paused"] == 1
    assert ask(loop, "resume", jobs=["job", "other"]) == {"keys": ["root/job"], "others": ["root/other"]}
    loop.minutes(1)
    loop.settle()
    assert states(loop) == ["skipped", "skipped", "succeeded"]
    assert reasons(loop)[0] == "paused"
    assert loop.log.said("RESUME") == ["root/job by root"]
    with pytest.raises(PycrondError, match="not paused: root/job"):
        ask(loop, "resume", jobs=["job"])


def test_a_pause_does_not_hold_up_a_run_by_hand(loop: Loop) -> None:
    loop.begin("#: name=job\n0 0 1 1 * true\n")
    ask(loop, "pause", jobs=["job"])
    assert ask(loop, "run", job="job")["verdict"] == "start"
    loop.settle()


def test_what_waits_when_its_job_is_paused_is_skipped(loop: Loop) -> None:
    loop.begin(f"#: name=job overlap=queue\n* * * * * {WAIT.format('go')}\n")
    loop.minutes(2)
    assert states(loop) == ["running", "waiting"]
    ask(loop, "pause", jobs=["job"])
    loop.turn()
    assert states(loop) == ["running", "skipped"]
    go(loop)
    loop.settle()


def test_a_later_pause_takes_the_place_of_an_earlier_one(loop: Loop) -> None:
    loop.begin("#: name=job\n0 0 1 1 * true\n")
    ask(loop, "pause", jobs=["job"], seconds=60, reason="one")
    ask(loop, "pause", jobs=["job", "root/job"], seconds=120, reason="two")
    assert loop.query("SELECT reason, ended_at IS NULL FROM pauses") == [("one", 0), ("two", 1)]


def test_a_pause_holds_also_while_it_cannot_be_written(loop: Loop) -> None:
    loop.begin("#: name=job\n* * * * * true\n")
    loop.daemon.subsystems.ledger.file.trouble = "database or disk is full"
    loop.daemon.subsystems.ledger.file._retry_at = float("inf")
    ask(loop, "pause", jobs=["job"], reason="why not")
    assert loop.daemon.subsystems.scheduler.pauses.reason("root/job", clock.now()) == "why not"


def test_a_pause_goes_into_a_ledger_that_takes_the_place_of_a_bad_one(loop: Loop) -> None:
    loop.begin("#: name=job\n* * * * * true\n")
    ask(loop, "pause", jobs=["job"], reason="why not")
    loop.turn()
    loop.daemon.subsystems.ledger.file._replace("it was bad")
    loop.turn()
    again(loop)
    loop.minutes()
    assert reasons(loop) == ["paused: why not"]


SECONDS: list[object] = [0, -1, 1e9, float("nan"), "60", True, []]


@pytest.mark.parametrize(
    "request_",
    [
        *({"jobs": []}, {"jobs": "job"}, {"jobs": [1]}, {"jobs": ["job"] * 1001}),
        *({"jobs": ["job"], "seconds": seconds} for seconds in SECONDS),
        *({"jobs": ["job"], "reason": "x" * 201}, {"jobs": ["job"], "reason": 1}),
    ],
)
def test_no_pause(loop: Loop, request_: dict[str, Any]) -> None:
    loop.begin("#: name=job\n0 0 1 1 * true\n")
    with pytest.raises(PycrondError):
        ask(loop, "pause", **request_)
    assert loop.query("SELECT * FROM pauses") == []


def test_a_reason_that_is_no_text_of_utf8(loop: Loop) -> None:
    loop.begin("#: name=job\n0 0 1 1 * true\n")
    ask(loop, "pause", jobs=["job"], reason="\ud800\udcff\n\0")
    assert loop.query("SELECT reason FROM pauses") == [("\\ud800\\udcff\n\0",)]
    loop.turn()


# status


def test_status(loop: Loop) -> None:
    loop.begin(
        f"#: name=a\n* * * * * {WAIT.format('go')}\n#: name=b overlap=queue\n* * * * * {WAIT.format('go')}\n"
    )
    loop.minutes(2)
    said = ask(loop, "status")
    assert (said["running"], said["uptime_s"], said["paused"]) == (3, 90, 0)
    assert said["waiting"] == {"for_a_time": 0, "for_others": 1, "for_room": 0}
    assert said["loaded_files"] == {str(loop.crontabs / "jobs"): 2}
    assert said["lateness_ms"]["starts"] == 3
    assert said["lateness_ms"]["worst"] == pytest.approx(0, abs=5)
    assert said["limits"]["max_running"] == 0
    assert set(said["limits"]) == {"memory", "cpu", "max_running"}
    go(loop)
    loop.settle()


@pytest.mark.parametrize(
    ("starts", "median", "p99", "worst"),
    [
        ([], None, None, None),
        ([3.0], 3.0, 3.0, 3.0),
        ([1.0, 9.0], 1.0, 9.0, 9.0),
        ([float(n) for n in range(1, 101)], 50.0, 100.0, 100.0),
        ([float(n) for n in range(1, 1001)], 500.0, 991.0, 1000.0),
    ],
)
def test_lateness(starts: list[float], median: float, p99: float, worst: float) -> None:
    assert summarize(starts[::-1]) == {"starts": len(starts), "median": median, "p99": p99, "worst": worst}


# Who may


@pytest.mark.parametrize(
    ("command", "request_"),
    [
        ("run", {"job": "job"}),
        ("kill", {"what": "job"}),
        ("pause", {"jobs": ["job"]}),
        ("resume", {"jobs": ["job"]}),
    ],
)
def test_another_user_may_do_nothing(loop: Loop, command: str, request_: dict[str, Any]) -> None:
    loop.begin("#: name=job\n0 0 1 1 * true\n")
    with pytest.raises(PycrondError, match=r"^only root and the daemon's own user may do that$"):
        ask(loop, command, NOBODY, **request_)
    assert loop.runs() == []
    assert ask(loop, "status", NOBODY)["loaded_files"] == {}


# What is read through the daemon


def read(loop: Loop, method: str, **request: Any) -> Any:
    return ask(loop, "read", method=method, **request)["rows"]


def test_what_is_read_is_what_the_ledger_has(loop: Loop) -> None:
    loop.begin(f"#: name=a\n* * * * * echo a; {WAIT.format('go')}\n#: name=b\n0 0 1 1 * true\n61 * * * * x\n")
    ask(loop, "pause", jobs=["b"])
    loop.minutes(2)
    reader = Reader(str(loop.state))
    assert read(loop, "daemon") == reader.daemon()
    assert read(loop, "jobs", offset=0) == reader.jobs()
    assert read(loop, "jobs", offset=1) == reader.jobs()[1:]
    assert [problem.line for problem in read(loop, "problems")] == [6]
    assert read(loop, "unfinished") == reader.unfinished()
    assert read(loop, "runs", runs=[2, 7]) == [reader.unfinished()[1]]
    assert read(loop, "after", run=1) == [reader.unfinished()[1]]
    assert read(loop, "history", limit=500) == reader.history(None, 500)
    assert read(loop, "history", limit=1, keys=["root/a"]) == reader.history(None, 1)
    assert read(loop, "find_jobs", word="a") == ["root/a"]
    now = clock.now().timestamp()
    assert read(loop, "pauses", now=now) == reader.pauses(now)
    loop.until(lambda: read(loop, "output", run=1, offset=0, most=10) == (0, 2, b"a\n"))
    assert read(loop, "output", run=1, offset=1, most=0) == (0, 2, b"")
    go(loop)
    loop.settle()
    assert {run.id for run in read(loop, "last_runs", keys=["root/a", "root/x"]).values()} == {2}
    assert [*read(loop, "medians", keys=["root/a", "root/b"])] == ["root/a"]
    assert read(loop, "ends", runs=[1, 2, 9]) == {1: b"a\n", 2: b"a\n"}
    fires = [run.fire for run in reader.history(None, 500)]
    for which in (
        {"states": ["succeeded"]},
        {"states": ["failed", "lost"]},
        {"since": fires[0]},
        {"until": fires[0]},
        {"states": ["succeeded"], "since": 0, "until": fires[0] + 0.5},
    ):
        found = reader.history(None, 500, *RunFilter(**which))
        assert read(loop, "history", limit=500, **which) == found
        assert read(loop, "history", limit=500, keys=["root/a"], **which) == found
    reader.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run jobs of other users")
def test_a_user_reads_of_that_user_alone(loop: Loop) -> None:
    """Of two users whose names begin alike, in a ledger of a system's."""
    loop.begin("0 0 1 1 * true\n")
    loop.stop()
    loop.settings = replace(loop.settings, system=True, root=str(loop.folder), crontabs=())
    (loop.folder / "etc").mkdir()
    table = "".join(f"#: name=job\n* * * * * {user} echo {user}\n" for user in ("nobody", "root", "daemon"))
    (loop.folder / "etc/crontab").write_text("HOME=/\n" + table)
    loop.begin()
    loop.minutes(1)
    loop.settle()
    db = loop.daemon.subsystems.ledger.file.db
    for key in ("nobodyelse/job", "nobod/job", "nobody0/job"):
        db.execute(
            "INSERT INTO runs SELECT id + 100 + length(?), ?, fire, wall, fold, era, trigger, attempt, state,"
            " reason, pid, pid_start, started_at, ended_at, duration_s, exit_status, signal, cpu_s, max_rss_kb,"
            " lateness_ms, bytes, delivered, told, until, folded, start_at, reason_code FROM runs WHERE id = 1",
            (key, key),
        )
        db.execute(
            "INSERT INTO jobs SELECT ?, name, user, file, line, schedule, canonical, zone, command, options,"
            " loaded + 10 FROM jobs WHERE key = 'nobody/job'",
            (key,),
        )

    def mine(method: str, **request: Any) -> Any:
        return ask(loop, "read", NOBODY, method=method, **request)["rows"]

    (run,) = mine("history", limit=500)
    assert run.key == "nobody/job"
    assert [job.key for job in mine("jobs", offset=0)] == mine("find_jobs", word="") == ["nobody/job"]
    everybodys = [one.id for one in loop.runs()]
    assert mine("runs", runs=everybodys) == mine("after", run=0) == [run]
    assert mine("history", limit=500, keys=["root/job", "nobody/job", "nobodyelse/job"]) == [run]
    assert mine("last_runs", keys=["root/job", "nobody/job", "nobody0/job"]) == {run.key: run}
    assert mine("history", limit=500, states=["succeeded"], since=0) == [run]
    assert mine("history", limit=500, states=["failed"]) == mine("history", limit=500, until=0) == []
    assert [*mine("medians", keys=["root/job", "nobody/job", "nobody0/job"])] == ["nobody/job"]
    assert [*mine("ends", runs=everybodys)] == [run.id]
    for other in (*everybodys, 999):
        if other == run.id:
            assert mine("output", run=other, offset=0, most=100)[2]
            assert mine("runs", runs=[other]) == [run]
        else:
            assert mine("runs", runs=[other]) == []
            with pytest.raises(PycrondError, match=f"^there is no run {other}$"):
                mine("output", run=other, offset=0, most=100)
    ask(loop, "pause", jobs=["root/job"])
    assert mine("pauses", now=0) == []


def test_a_request_that_takes_long_is_given_up(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    loop.begin("0 0 1 1 * true\n")
    loop.daemon.subsystems.ledger.file.db.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) INSERT INTO runs"
        " (key, fire, fold, era, trigger, attempt, state) SELECT 'root/x', i, 0, 0, 'schedule', 1, 'lost' FROM n"
    )
    assert len(read(loop, "history", limit=500)) == 500
    monkeypatch.setattr(queries, "MAX_TIME", -1.0)
    with pytest.raises(PycrondError, match=r"^cannot read the ledger: interrupted; ask for less$"):
        read(loop, "history", limit=500)
    monkeypatch.undo()
    loop.minutes()


@pytest.mark.parametrize(
    "request_",
    [
        *({}, {"method": "nonsense"}, {"method": ["history"]}, {"method": "history"}),
        *({"method": "history", "limit": limit} for limit in (0, 501, "1", True, 1.0, None)),
        *({"method": "history", "limit": 1, "since": since} for since in ("1", True, 10**400, 1e999, ["1"])),
        *({"method": "history", "limit": 1, "states": states} for states in ("failed", [1], ["x"] * 501)),
        *({"method": "ends", "runs": runs} for runs in ("1", [1] * 65, None)),
        *({"method": "pauses", "now": now} for now in ("1", True, None)),
        *({"method": "medians", "keys": keys} for keys in ([], ["x"] * 501, [1], None)),
        *({"method": "output", "run": 1, "offset": 0, "most": most} for most in (-1, 65537, None)),
        *({"method": "output", "run": run, "offset": 0, "most": 0} for run in (1 << 63, -1, None)),
        *({"method": "runs", "runs": runs} for runs in ([1] * 501, "1", ["1"], None)),
        *({"method": "last_runs", "keys": keys} for keys in ([], ["x"] * 501, [1], None)),
    ],
)
def test_what_cannot_be_read(loop: Loop, request_: dict[str, Any]) -> None:
    loop.begin("0 0 1 1 * true\n")
    with pytest.raises(PycrondError):
        ask(loop, "read", **request_)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["job", "1", "root/"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
METHODS = [
    "jobs",
    "last_runs",
    "runs",
    "after",
    "history",
    "find_jobs",
    "output",
    "medians",
    "ends",
    "pauses",
]
NAMES = [
    "word",
    "most",
    "now",
    "job",
    "jobs",
    "what",
    "signal",
    "seconds",
    "reason",
    "keys",
    "run",
    "runs",
    "limit",
    "offset",
    "states",
    "since",
    "until",
]


def test_no_request_gets_more_than_an_error(loop: Loop) -> None:
    loop.begin("#: name=job\n0 0 1 1 * true\n")

    @hypothesis_settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        command=st.sampled_from(["run", "kill", "pause", "resume", "read"]),
        request=st.dictionaries(st.sampled_from(NAMES), VALUES),
        method=st.sampled_from(METHODS),
        uid=st.sampled_from([0, NOBODY, 2**32 - 1]),
    )
    def try_it(command: str, request: dict[str, Any], method: str, uid: int) -> None:
        try:
            ask(loop, command, uid, **request, method=method)
        except PycrondError as error:
            assert str(error)

    try_it()
