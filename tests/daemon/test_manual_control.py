"""The requests run, kill, pause, resume, status and read on the control socket, with real processes."""

import contextlib
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
from pycrond.errors import PycrondError
from pycrond.host.spawn import Launch
from pycrond.ledger.reader import Reader
from pycrond.runs.journal import JournalEntry
from tests.conftest import ME, alive, wait_until
from tests.scheduler.test_admission import WAIT, go, reasons, restart_daemon, states
from tests.support.loop import Loop

NOBODY = 65534


def ask(loop: Loop, command: str, /, uid: int | None = None, **request: Any) -> dict[str, Any]:
    """Send a request, as the daemon's own user unless `uid` is given."""
    user = os.geteuid() if uid is None else uid
    return loop.daemon._server._answerer({"command": command, **request}, user)


# run


def test_a_job_runs_on_request(loop: Loop) -> None:
    loop.begin("A=b\n#: name=job\n0 0 1 1 * echo $A $PYCROND_JOB $PYCROND_FIRE_TIME\n")
    assert ask(loop, "run", job="job") == {
        "run": 1,
        "key": f"{ME}/job",
        "job": f"{ME}/job",
        "verdict": "start",
        "reason": "",
    }
    loop.settle()
    (run,) = loop.runs()
    assert (run.state, run.trigger, run.fire) == ("succeeded", "manual", clock.now().timestamp())
    assert loop.log.details("CMDOUT") == [f"b {ME}/job 2025-06-10T12:00:30Z"]
    assert loop.log.details("RUN") == [f"{ME}/job run 1 by {ME}"]


def test_each_request_in_the_same_instant_starts_a_run(loop: Loop) -> None:
    loop.begin("#: name=job\n* * * * * true\n")
    assert [ask(loop, "run", job="job")["run"] for _ in range(3)] == [1, 2, 3]
    loop.minutes()
    loop.settle()
    assert states(loop) == ["succeeded"] * 4
    assert not list(loop.query("SELECT 1 FROM runs WHERE trigger = 'schedule' AND id < 4"))


def test_overlap_and_timeout_hold_for_a_run_by_hand_and_within_does_not(loop: Loop) -> None:
    wait = WAIT.format("go")
    loop.begin(
        f"#: name=skips overlap=skip\n0 0 1 1 * {wait}\n#: name=queues overlap=queue within=1s\n0 0 1 1 * {wait}\n"
        "#: name=times timeout=0.2s grace=0.2s\n0 0 1 1 * exec sleep 100\n"
    )
    assert [ask(loop, "run", job="skips")["verdict"] for _ in range(2)] == ["start", "skip"]
    answers = [ask(loop, "run", job="queues") for _ in range(3)]
    assert [answer["verdict"] for answer in answers] == ["start", "wait", "wait"], (
        "more than one run by hand may wait"
    )
    assert answers[1]["reason"] == "overlap: run 3 still runs"
    ask(loop, "run", job="times")
    loop.until(lambda: states(loop, "times") == ["timed-out"])
    loop.minutes(2)
    assert states(loop, "queues") == ["running", "waiting", "waiting"], (
        "the option within is for fires of the schedule"
    )
    look_at = loop.daemon.subsystems.scheduler.admission.queue.next_at
    assert look_at is None or look_at > clock.now(), "the queue is not looked at in every turn"
    go(loop)
    loop.until(lambda: states(loop, "queues") == ["succeeded"] * 3)


def test_a_run_that_waits_survives_a_restart_in_the_same_minute(loop: Loop) -> None:
    loop.begin(f"#: name=job overlap=queue\n0 0 1 1 * {WAIT.format('go')}\n")
    ask(loop, "run", job="job")
    ask(loop, "run", job="job")
    loop.turn()
    restart_daemon(loop)
    assert states(loop) == ["running", "waiting"]
    go(loop)
    loop.until(lambda: states(loop)[1:] == ["succeeded"])


def test_a_run_by_hand_whose_start_was_not_written_is_adopted(loop: Loop) -> None:
    loop.begin(f"#: name=job\n0 0 1 1 * {WAIT.format('go')}\n")
    ask(loop, "run", job="job")  # the daemon is killed before its next turn
    restart_daemon(loop)
    assert states(loop) == ["running"]
    go(loop)
    loop.until(
        lambda: states(loop)[0] in {"succeeded", "unknown"}
    )  # in this test, it is a child of both daemons


def test_a_daemon_that_is_about_to_stop_refuses_to_run_a_job(loop: Loop) -> None:
    loop.begin(f"#: name=job\n0 0 1 1 * {WAIT.format('go')}\n")
    ask(loop, "run", job="job")
    ask(loop, "stop")
    with pytest.raises(PycrondError, match="about to stop"):
        ask(loop, "run", job="job")
    go(loop)
    loop.settle()


def test_at_most_a_hundred_runs_of_a_job_wait(loop: Loop) -> None:
    loop.begin(f"#: name=job overlap=queue\n0 0 1 1 * {WAIT.format('go')}\n")
    for _ in range(101):
        ask(loop, "run", job="job")
    with pytest.raises(PycrondError, match=rf"^100 runs of {ME}/job wait already$"):
        ask(loop, "run", job="job")
    assert len(ask(loop, "kill", what="job")["runs"]) == 101
    loop.until(lambda: set(states(loop)) == {"killed"})


# Words that mean a job


@pytest.mark.parametrize(
    "word", ["job", f"{ME}/job", f"{ME}/jo", "jo", "jobs:3", "{directory}/crontabs/jobs:3"]
)
def test_a_word_means_the_job_with_this_name_key_or_line(loop: Loop, word: str) -> None:
    loop.begin("#: name=job\n0 0 1 1 * true\n#: name=other\n0 0 1 1 * true\n")
    assert ask(loop, "run", job=word.format(directory=loop.directory))["key"] == f"{ME}/job"


@pytest.mark.parametrize("command", ["run", "kill", "pause", "resume"])
def test_a_word_that_means_several_jobs_is_refused_and_names_them(loop: Loop, command: str) -> None:
    loop.begin("#: name=job-a\n0 0 1 1 * true\n#: name=job-b\n0 0 1 1 * true\n")
    words = {"run": {"job": "job"}, "kill": {"what": "job"}}.get(command, {"jobs": ["job-a", "job"]})
    with pytest.raises(PycrondError, match=rf"^'job' may mean 2 jobs: {ME}/job-a, {ME}/job-b$"):
        ask(loop, command, **words)
    assert loop.runs() == []
    assert loop.query("SELECT * FROM pauses") == []


def test_a_word_that_means_no_job_is_refused(loop: Loop) -> None:
    loop.begin("0 0 1 1 * true\n")
    with pytest.raises(PycrondError, match=r"^no job is called 'x' \(see 'pycrond list'\)$"):
        ask(loop, "run", job="x")


# kill


@pytest.mark.parametrize("word", ["1", "job"])
def test_kill_ends_a_run_and_all_its_processes(loop: Loop, word: str) -> None:
    loop.begin("#: name=job retries=3\n0 0 1 1 * sleep 100 & sleep 100\n")
    ask(loop, "run", job="job")
    answer = ask(loop, "kill", what=word)
    assert answer["runs"] == [{"run": 1, "key": f"{ME}/job", "job": f"{ME}/job", "waited": False}]
    loop.until(lambda: states(loop) == ["killed"])
    (run,) = loop.runs()
    assert (run.reason, run.signal) == (f"kill: by {ME}", signal.SIGTERM)
    loop.until(lambda: not [pid for pid in loop.processes() if alive(pid)])
    assert loop.log.details("KILL") == [f"{ME}/job run 1 by {ME}"]


def test_kill_ends_a_run_that_ignores_term_after_its_grace(loop: Loop) -> None:
    loop.begin(
        "#: name=job grace=0.3s\n0 0 1 1 * trap '' TERM; (setsid sleep 100 &); touch up; while :; do sleep 0.02; done\n"
    )
    ask(loop, "run", job="job")
    loop.until((loop.directory / "up").exists)
    ask(loop, "kill", what="job")
    loop.until(lambda: states(loop) == ["killed"])
    assert loop.runs()[0].signal == signal.SIGKILL
    loop.until(lambda: not [pid for pid in loop.processes() if alive(pid)])


@pytest.mark.parametrize("is_written", [True, False])
def test_the_grace_of_a_kill_continues_after_a_restart(loop: Loop, is_written: bool) -> None:
    loop.begin("#: name=job grace=0.3s\n0 0 1 1 * trap '' TERM; touch up; while :; do sleep 0.02; done\n")
    ask(loop, "run", job="job")
    loop.until((loop.directory / "up").exists)
    loop.turn()
    if not is_written:  # as if the daemon had been killed before it wrote the start
        (running,) = loop.daemon.subsystems.runs.active.by_pid.values()
        loop.daemon.subsystems.runs.journal.note(running.run.id, JournalEntry(running.pid))
        loop.query("UPDATE runs SET state = 'claimed', pid = NULL, pid_start = NULL, started_at = NULL")
    ask(loop, "kill", what="job")
    restart_daemon(loop)
    loop.until(lambda: not [pid for pid in loop.processes() if alive(pid)])


@pytest.mark.parametrize(
    ("name", "number"), [("KILL", 9), ("SIGTERM", 15), ("int", 2), ("3", 3), ("15", 15), (9, 9)]
)
def test_kill_with_a_signal_that_ends_programs_makes_the_run_killed(
    loop: Loop, name: str, number: int
) -> None:
    loop.begin("#: name=job grace=0.1s\n0 0 1 1 * exec sleep 100\n")
    ask(loop, "run", job="job")
    ask(loop, "kill", what="job", signal=name)
    loop.until(lambda: states(loop) == ["killed"])
    reason = f"kill: by {ME}, {signal.Signals(number).name}"
    assert (loop.runs()[0].reason, loop.runs()[0].signal) == (reason, number)


def test_kill_with_a_signal_sends_no_other_signal_later(loop: Loop) -> None:
    loop.begin(
        "#: name=job grace=0.1s\n0 0 1 1 * trap 'echo usr' USR1; trap 'echo term' TERM; touch up; "
        f"{WAIT.format('go')}\n"
    )
    ask(loop, "run", job="job")
    loop.until((loop.directory / "up").exists)
    ask(loop, "kill", what="1", signal="USR1")
    loop.until(lambda: "usr" in loop.log.details("CMDOUT"))
    ask(loop, "kill", what="1", signal="TERM")
    loop.until(lambda: "term" in loop.log.details("CMDOUT"))
    restart_daemon(loop)
    began = clock.elapsed()
    loop.until(lambda: clock.elapsed() > began + 0.3)
    assert states(loop) == ["running"]
    go(loop)
    loop.until(lambda: states(loop)[0] in {"succeeded", "unknown"})


def test_kill_with_another_signal_leaves_the_state_to_the_exit_status(loop: Loop) -> None:
    loop.begin("#: name=job\n0 0 1 1 * exec sleep 100\n")
    ask(loop, "run", job="job")
    ask(loop, "kill", what="job", signal="USR2")
    loop.until(lambda: states(loop) == ["failed"])
    assert (loop.runs()[0].signal, loop.runs()[0].reason) == (signal.SIGUSR2, "")
    assert loop.log.details("KILL") == [f"{ME}/job run 1 by {ME}, SIGUSR2"]
    ask(loop, "run", job="job")
    ask(loop, "kill", what="2", signal=40)
    loop.until(lambda: states(loop) == ["failed", "failed"])
    assert loop.log.details("KILL")[1] == f"{ME}/job run 2 by {ME}, 40"


def test_kill_withdraws_waiting_runs(loop: Loop) -> None:
    loop.begin(
        f"#: name=queued overlap=queue\n0 0 1 1 * {WAIT.format('go')}\n#: name=later retries=1\n0 0 1 1 * false\n"
    )
    ask(loop, "run", job="queued")
    ask(loop, "run", job="queued")
    ask(loop, "run", job="later")
    loop.until(lambda: states(loop, "later") == ["failed", "waiting"])
    assert ask(loop, "kill", what="2")["runs"] == [
        {"run": 2, "key": f"{ME}/queued", "job": f"{ME}/queued", "waited": True}
    ]
    assert ask(loop, "kill", what="later")["runs"] == [
        {"run": 4, "key": f"{ME}/later", "job": f"{ME}/later", "waited": True}
    ]
    assert (states(loop)[1], states(loop)[3]) == ("killed", "killed")
    assert reasons(loop)[1] == f"kill: by {ME}"
    assert len(loop.log.details("KILLED")) == 0
    loop.turn()
    assert any(f"{ME}/queued" in text and f"kill: by {ME}" in text for text in loop.log.details("KILLED"))
    restart_daemon(loop)
    loop.minutes(3)
    go(loop)
    loop.until(lambda: states(loop)[0] in {"succeeded", "unknown"})
    assert states(loop)[1:] == ["killed", "failed", "killed"]


def test_kill_withdraws_a_start_that_is_retried(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    from pycrond.host import spawn

    def fail(_starter: spawn.Starter, _launch: Launch) -> int:
        raise BlockingIOError(11, "no more processes")

    loop.begin("#: name=job\n0 0 1 1 * true\n")
    monkeypatch.setattr(spawn.Starter, "start", fail)
    ask(loop, "run", job="job")
    assert ask(loop, "status")["waiting"]["for_room"] == 1
    ask(loop, "kill", what="1")
    assert states(loop) == ["killed"]
    assert ask(loop, "status")["waiting"]["for_room"] == 0


def test_kill_ends_a_run_whose_job_is_removed(loop: Loop) -> None:
    loop.begin("#: name=job\n0 0 1 1 * exec sleep 100\n")
    ask(loop, "run", job="job")
    loop.write("0 0 1 1 * true\n")
    ask(loop, "reload")
    ask(loop, "kill", what="job")
    loop.until(lambda: states(loop) == ["killed"])


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"what": "job"}, f"no run of {ME}/job is running or waiting"),
        ({"what": "7"}, "run 7 is neither running nor waiting"),
        ({"what": "x"}, "no job is called 'x'"),
        ({"what": ""}, "the name of a job is empty"),
        ({"what": f"{ME}/"}, "no job is called"),
        ({"what": "2"}, "run 2 is neither running nor waiting"),  # though a job is called 2day
        ({"what": "job", "signal": "NONSENSE"}, "no signal is called 'NONSENSE'"),
        ({"what": "job", "signal": 0}, "no signal is called '0'"),
        ({"what": "job", "signal": "999"}, "no signal is called '999'"),
        ({"what": "job", "signal": "²"}, "no signal is called"),
        ({"what": "²"}, "no job is called"),
        ({}, "'what' must be a text"),
        ({"what": 7}, "'what' must be a text"),
    ],
)
def test_kill_refuses_a_request_that_means_no_run_or_no_signal(
    loop: Loop, fields: dict[str, Any], error: str
) -> None:
    loop.begin("#: name=job\n0 0 1 1 * true\n#: name=2day\n0 0 1 1 * exec sleep 100\n")
    ask(loop, "run", job="2day")
    with pytest.raises(PycrondError, match=error):
        ask(loop, "kill", **fields)
    loop.until(lambda: states(loop) == ["running"])


# pause and resume


def test_a_pause_lasts_an_hour_over_restarts_and_records_each_skipped_fire(loop: Loop) -> None:
    loop.begin("#: name=job\n*/20 * * * * true\n#: name=other\n*/20 * * * * true\n")
    answer = ask(loop, "pause", jobs=["job"], reason="a disk is full")
    assert answer == {"keys": [f"{ME}/job"], "jobs": [f"{ME}/job"], "until": clock.now().timestamp() + 3600}
    for _ in range(3):
        loop.minutes(20)
        loop.settle()
        restart_daemon(loop)
    loop.minutes()
    assert states(loop, "job") == ["skipped", "skipped", "skipped"]
    assert states(loop, "other") == ["succeeded"] * 3
    assert {run.reason for run in loop.runs() if run.name == "job"} == {"paused: a disk is full"}
    loop.minutes(20)
    loop.settle()
    assert states(loop, "job")[3:] == ["succeeded"]
    assert loop.log.details("PAUSE") == [
        f"{ME}/job until {clock.now().astimezone():%F} 13:00 by {ME}: a disk is full"
    ]


def test_resume_ends_the_pauses_of_the_jobs_that_are_paused(loop: Loop) -> None:
    loop.begin("#: name=job\n* * * * * true\n#: name=other\n0 0 1 1 * true\n")
    ask(loop, "pause", jobs=["job"], seconds=None)
    loop.minutes(2)
    assert ask(loop, "status")["paused"] == 1
    assert ask(loop, "resume", jobs=["job", "other"]) == {
        "keys": [f"{ME}/job"],
        "others": [f"{ME}/other"],
        "jobs": [f"{ME}/job"],
        "other_jobs": [f"{ME}/other"],
    }
    loop.minutes(1)
    loop.settle()
    assert states(loop) == ["skipped", "skipped", "succeeded"]
    assert reasons(loop)[0] == "paused"
    assert loop.log.details("RESUME") == [f"{ME}/job by {ME}"]
    with pytest.raises(PycrondError, match=f"not paused: {ME}/job"):
        ask(loop, "resume", jobs=["job"])


def test_a_pause_does_not_hold_up_a_run_by_hand(loop: Loop) -> None:
    loop.begin("#: name=job\n0 0 1 1 * true\n")
    ask(loop, "pause", jobs=["job"])
    assert ask(loop, "run", job="job")["verdict"] == "start"
    loop.settle()


def test_a_waiting_run_is_skipped_when_its_job_is_paused(loop: Loop) -> None:
    loop.begin(f"#: name=job overlap=queue\n* * * * * {WAIT.format('go')}\n")
    loop.minutes(2)
    assert states(loop) == ["running", "waiting"]
    ask(loop, "pause", jobs=["job"])
    loop.turn()
    assert states(loop) == ["running", "skipped"]
    go(loop)
    loop.settle()


def test_a_later_pause_replaces_an_earlier_one(loop: Loop) -> None:
    loop.begin("#: name=job\n0 0 1 1 * true\n")
    ask(loop, "pause", jobs=["job"], seconds=60, reason="one")
    ask(loop, "pause", jobs=["job", f"{ME}/job"], seconds=120, reason="two")
    assert loop.query("SELECT reason, ended_at IS NULL FROM pauses") == [("one", 0), ("two", 1)]


def test_a_pause_holds_while_it_cannot_be_written(loop: Loop) -> None:
    loop.begin("#: name=job\n* * * * * true\n")
    loop.daemon.subsystems.ledger.file.trouble = "database or disk is full"
    loop.daemon.subsystems.ledger.file._retry_at = float("inf")
    ask(loop, "pause", jobs=["job"], reason="why not")
    assert loop.daemon.subsystems.scheduler.pauses.reason(f"{ME}/job", clock.now()) == "why not"


def test_a_pause_is_written_into_a_ledger_that_replaces_a_damaged_one(loop: Loop) -> None:
    loop.begin("#: name=job\n* * * * * true\n")
    ask(loop, "pause", jobs=["job"], reason="why not")
    loop.turn()
    loop.daemon.subsystems.ledger.file._replace("it was bad")
    loop.turn()
    restart_daemon(loop)
    loop.minutes()
    assert reasons(loop) == ["paused: why not"]


SECONDS: list[object] = [0, -1, 1e9, float("nan"), "60", True, []]


@pytest.mark.parametrize(
    "fields",
    [
        *({"jobs": []}, {"jobs": "job"}, {"jobs": [1]}, {"jobs": ["job"] * 1001}),
        *({"jobs": ["job"], "seconds": seconds} for seconds in SECONDS),
        *({"jobs": ["job"], "reason": "x" * 201}, {"jobs": ["job"], "reason": 1}),
    ],
)
def test_pause_refuses_a_request_that_is_not_valid(loop: Loop, fields: dict[str, Any]) -> None:
    loop.begin("#: name=job\n0 0 1 1 * true\n")
    with pytest.raises(PycrondError):
        ask(loop, "pause", **fields)
    assert loop.query("SELECT * FROM pauses") == []


def test_a_reason_that_is_not_utf8_is_escaped(loop: Loop) -> None:
    loop.begin("#: name=job\n0 0 1 1 * true\n")
    ask(loop, "pause", jobs=["job"], reason="\ud800\udcff\n\0")
    assert loop.query("SELECT reason FROM pauses") == [("\\ud800\\udcff\n\0",)]
    loop.turn()


# status


def test_status_counts_runs_files_and_lateness(loop: Loop) -> None:
    loop.begin(
        f"#: name=a\n* * * * * {WAIT.format('go')}\n#: name=b overlap=queue\n* * * * * {WAIT.format('go')}\n"
    )
    loop.minutes(2)
    status = ask(loop, "status")
    assert (status["running"], status["uptime_s"], status["paused"]) == (3, 90, 0)
    assert status["waiting"] == {"for_a_time": 0, "for_others": 1, "for_room": 0}
    assert status["loaded_files"] == {str(loop.crontabs / "jobs"): 2}
    assert status["lateness_ms"]["starts"] == 3
    assert status["lateness_ms"]["worst"] == pytest.approx(0, abs=5)
    assert status["limits"]["max_running"] == 0
    assert set(status["limits"]) == {"memory", "cpu", "max_running"}
    go(loop)
    loop.settle()


# Permissions


@pytest.mark.parametrize(
    ("command", "fields"),
    [
        ("run", {"job": "job"}),
        ("kill", {"what": "job"}),
        ("pause", {"jobs": ["job"]}),
        ("resume", {"jobs": ["job"]}),
    ],
)
def test_another_user_may_control_nothing(loop: Loop, command: str, fields: dict[str, Any]) -> None:
    loop.begin("#: name=job\n0 0 1 1 * true\n")
    with pytest.raises(PycrondError, match=r"^only root and the daemon's own user may do that$"):
        ask(loop, command, NOBODY, **fields)
    assert loop.runs() == []
    assert ask(loop, "status", NOBODY)["loaded_files"] == {}


# Queries


def read(loop: Loop, method: str, **request: Any) -> Any:
    return ask(loop, "read", method=method, **request)["rows"]


def test_read_returns_the_same_rows_as_a_reader_of_the_ledger(loop: Loop) -> None:
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
    assert read(loop, "history", limit=1, keys=[f"{ME}/a"]) == reader.history(None, 1)
    assert read(loop, "find_jobs", word="a") == [f"{ME}/a"]
    now = clock.now().timestamp()
    assert read(loop, "pauses", now=now) == reader.pauses(now)
    loop.until(lambda: read(loop, "output", run=1, offset=0, most=10) == (0, 2, b"a\n"))
    assert read(loop, "output", run=1, offset=1, most=0) == (0, 2, b"")
    go(loop)
    loop.settle()
    assert {run.id for run in read(loop, "last_runs", keys=[f"{ME}/a", f"{ME}/x"]).values()} == {2}
    assert [*read(loop, "medians", keys=[f"{ME}/a", f"{ME}/b"])] == [f"{ME}/a"]
    assert read(loop, "ends", runs=[1, 2, 9]) == {1: b"a\n", 2: b"a\n"}
    fires = [run.fire for run in reader.history(None, 500)]
    for filters in (
        {"states": ["succeeded"]},
        {"states": ["failed", "lost"]},
        {"since": fires[0]},
        {"until": fires[0]},
        {"states": ["succeeded"], "since": 0, "until": fires[0] + 0.5},
    ):
        runs = reader.history(None, 500, **filters)
        assert read(loop, "history", limit=500, **filters) == runs
        assert read(loop, "history", limit=500, keys=[f"{ME}/a"], **filters) == runs
    reader.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run jobs of other users")
def test_a_user_reads_only_its_own_jobs_and_runs(loop: Loop) -> None:
    """The ledger of a system daemon, with users whose names have the same beginning."""
    loop.begin("0 0 1 1 * true\n")
    loop.stop()
    loop.settings = replace(loop.settings, system=True, root=str(loop.directory), crontabs=())
    (loop.directory / "etc").mkdir()
    table = "".join(f"#: name=job\n* * * * * {user} echo {user}\n" for user in ("nobody", "root", "daemon"))
    (loop.directory / "etc/crontab").write_text("HOME=/\n" + table)
    loop.begin()
    loop.minutes(1)
    loop.settle()
    db = loop.daemon.subsystems.ledger.file.db
    for key in ("nobodyelse/job", "nobod/job", "nobody0/job"):
        db.execute(
            "INSERT INTO runs SELECT id + 100 + length(?), ?, fire, wall, fold, era, trigger, attempt, state,"
            " reason, pid, pid_start, started_at, ended_at, duration_s, exit_status, signal, cpu_s, max_rss_kb,"
            " lateness_ms, bytes, delivered, told, until, folded, start_at, reason_code, printed, shown FROM runs WHERE id = 1",
            (key, key),
        )
        db.execute(
            "INSERT INTO jobs SELECT ?, name, user, file, line, schedule, canonical, zone, command, options,"
            " loaded + 10 FROM jobs WHERE key = 'nobody/job'",
            (key,),
        )

    def read_own(method: str, **request: Any) -> Any:
        return ask(loop, "read", NOBODY, method=method, **request)["rows"]

    (run,) = read_own("history", limit=500)
    assert run.key == "nobody/job"
    assert (
        [job.key for job in read_own("jobs", offset=0)] == read_own("find_jobs", word="job") == ["nobody/job"]
    )
    all_ids = [run.id for run in loop.runs()]
    assert read_own("runs", runs=all_ids) == read_own("after", run=0) == [run]
    assert read_own("history", limit=500, keys=[f"{ME}/job", "nobody/job", "nobodyelse/job"]) == [run]
    assert read_own("last_runs", keys=[f"{ME}/job", "nobody/job", "nobody0/job"]) == {run.key: run}
    assert read_own("history", limit=500, states=["succeeded"], since=0) == [run]
    assert read_own("history", limit=500, states=["failed"]) == read_own("history", limit=500, until=0) == []
    assert [*read_own("medians", keys=[f"{ME}/job", "nobody/job", "nobody0/job"])] == ["nobody/job"]
    assert [*read_own("ends", runs=all_ids)] == [run.id]
    for number in (*all_ids, 999):
        if number == run.id:
            assert read_own("output", run=number, offset=0, most=100)[2]
            assert read_own("runs", runs=[number]) == [run]
        else:
            assert read_own("runs", runs=[number]) == []
            with pytest.raises(PycrondError, match=f"^there is no run {number}$"):
                read_own("output", run=number, offset=0, most=100)
    ask(loop, "pause", jobs=[f"{ME}/job"])
    assert read_own("pauses", now=0) == []


def test_a_query_that_takes_too_long_is_interrupted(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    loop.begin("0 0 1 1 * true\n")
    loop.daemon.subsystems.ledger.file.db.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) INSERT INTO runs"
        f" (key, fire, fold, era, trigger, attempt, state) SELECT '{ME}/x', i, 0, 0, 'schedule', 1, 'lost' FROM n"
    )

    def is_answered() -> bool:
        with contextlib.suppress(PycrondError):  # on a busy machine, also this one may take too long
            return len(read(loop, "history", limit=500)) == 500
        return False

    wait_until(is_answered)
    monkeypatch.setattr(queries, "MAX_TIME", -1.0)
    with pytest.raises(
        PycrondError, match=r"^the ledger was read for .* s, the most for an answer; ask for less$"
    ):
        read(loop, "history", limit=500)
    monkeypatch.undo()
    loop.minutes()


@pytest.mark.parametrize(
    "fields",
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
def test_read_refuses_a_request_that_is_not_valid(loop: Loop, fields: dict[str, Any]) -> None:
    loop.begin("0 0 1 1 * true\n")
    with pytest.raises(PycrondError):
        ask(loop, "read", **fields)


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


def test_a_random_request_gets_an_answer_or_an_error(loop: Loop) -> None:
    loop.begin("#: name=job\n0 0 1 1 * true\n")

    @hypothesis_settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        command=st.sampled_from(["run", "kill", "pause", "resume", "read"]),
        request=st.dictionaries(st.sampled_from(NAMES), VALUES),
        method=st.sampled_from(METHODS),
        uid=st.sampled_from([0, NOBODY, 2**32 - 1]),
    )
    def send_request(command: str, request: dict[str, Any], method: str, uid: int) -> None:
        try:
            ask(loop, command, uid, **request, method=method)
        except PycrondError as error:
            assert str(error)

    send_request()
