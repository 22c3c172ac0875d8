"""What becomes of a fire and of an end: the tables of `policy`."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from pycrond.jobs.run import NO_CAUSE, Cause, Fire, Outcome, Reason, State, Trigger
from pycrond.runs.outcome import judge
from pycrond.runs.policy import Situation, Verdict, admit, lock_of, retry_in
from tests.conftest import jobs_of

AT = datetime(2025, 6, 10, 12, tzinfo=UTC)


def fire(options: str = "", trigger: Trigger = "schedule", attempt: int = 1) -> Fire:
    (job,) = jobs_of(f"#: name=job {options}\n* * * * * true\n")
    return Fire(job, AT, 0, trigger=trigger, attempt=attempt)


ONE_RUNS, ONE_WAITS = Situation(running=(7,)), Situation(running=(7,), waiting=1)
HELD, HELD_AND_WAITS = Situation(holder=9), Situation(holder=9, waiting=1)


@pytest.mark.parametrize(
    ("options", "now", "verdict", "reason"),
    [
        ("", Situation(), Verdict.START, ""),
        ("", ONE_RUNS, Verdict.START, ""),
        ("overlap=allow", Situation(running=(7, 8)), Verdict.START, ""),
        ("overlap=skip", Situation(), Verdict.START, ""),
        ("overlap=skip", ONE_RUNS, Verdict.SKIP, "overlap: run 7 still runs"),
        ("overlap=queue", ONE_RUNS, Verdict.WAIT, "overlap: run 7 still runs"),
        (
            "overlap=queue",
            ONE_WAITS,
            Verdict.SKIP,
            "queue-full: one waits already, overlap: run 7 still runs",
        ),
        ("overlap=replace", ONE_RUNS, Verdict.REPLACE, "overlap: run 7 still runs"),
        ("overlap=replace", ONE_WAITS, Verdict.REPLACE, "overlap: run 7 still runs"),
        ("lock=db", HELD, Verdict.WAIT, "lock: run 9 holds db"),
        ("lock=db", HELD_AND_WAITS, Verdict.SKIP, "queue-full: one waits already, lock: run 9 holds db"),
        ("lock=db overlap=skip", HELD, Verdict.SKIP, "lock: run 9 holds db"),
        ("lock=db overlap=replace", HELD, Verdict.WAIT, "lock: run 9 holds db"),
        ("lock=db overlap=skip", Situation(), Verdict.START, ""),
        ("", Situation(full=True), Verdict.WAIT, "max-running: as many run as may"),
        ("overlap=skip", Situation(running=(7,), full=True), Verdict.SKIP, "overlap: run 7 still runs"),
        ("", Situation(paused="moving house"), Verdict.SKIP, "paused: moving house"),
        ("", Situation(paused=""), Verdict.SKIP, "paused"),
        ("within=5m", Situation(late=300), Verdict.START, ""),
        ("within=5m", Situation(late=301), Verdict.MISS, "within: it could not start within 300 s"),
        ("within=5m overlap=queue", replace(ONE_RUNS, late=301), Verdict.MISS, "within: it could not"),
    ],
)
def test_a_fire(options: str, now: Situation, verdict: Verdict, reason: str) -> None:
    decision = admit(fire(options), now)
    assert decision.verdict is verdict
    assert decision.cause.text.startswith(reason)


@pytest.mark.parametrize(
    ("trigger", "now", "verdict"),
    [
        ("manual", Situation(paused="x"), Verdict.START),
        ("manual", Situation(late=10_000), Verdict.START),
        ("manual", ONE_RUNS, Verdict.SKIP),
        ("retry", ONE_RUNS, Verdict.SKIP),
        ("catch-up", ONE_RUNS, Verdict.SKIP),
    ],
)
def test_by_trigger(trigger: Trigger, now: Situation, verdict: Verdict) -> None:
    assert admit(fire("overlap=skip within=1h", trigger), now).verdict is verdict


def test_what_is_caught_up_does_not_fill_the_queue() -> None:
    assert admit(fire("overlap=queue", "catch-up"), ONE_WAITS).verdict is Verdict.WAIT


@pytest.mark.parametrize(
    ("options", "plain"),
    [
        ("", True),
        ("timeout=5m retries=3", True),
        ("overlap=skip", False),
        ("lock=a", False),
        ("within=1m", False),
    ],
)
def test_plain(options: str, plain: bool) -> None:
    assert fire(options).job.entry.options.is_unconditional is plain


@pytest.mark.parametrize(
    ("lock", "held"), [("", None), ("lock=db", "root/db"), ("lock=global:db", "global:db")]
)
def test_whose_lock(lock: str, held: str | None) -> None:
    assert lock_of(fire(lock).job) == held


@pytest.mark.parametrize(
    ("end", "success", "state"),
    [
        (Outcome(State.FAILED, exit_status=3), (0, 3), "succeeded"),
        (Outcome(State.SUCCEEDED, exit_status=0), (3,), "failed"),
        (Outcome(State.SUCCEEDED, exit_status=0), (0,), "succeeded"),
        (Outcome(State.FAILED, signal=9), (0, 9), "failed"),
        (Outcome(State.UNKNOWN), (0,), "unknown"),
    ],
)
def test_what_counts_as_success(end: Outcome, success: tuple[int, ...], state: str) -> None:
    assert judge(end, success).state == state


TIMEOUT, KILL = Cause(Reason.TIMEOUT, "timeout"), Cause(Reason.KILL, "kill: by me")
SIGNAL = Cause(Reason.SIGNAL, "kill: SIGINT")


@pytest.mark.parametrize(
    ("end", "cause", "state", "reason"),
    [
        (Outcome(State.FAILED, signal=15), TIMEOUT, "timed-out", "timeout"),
        (Outcome(State.SUCCEEDED, exit_status=0), TIMEOUT, "timed-out", "timeout"),
        (Outcome(State.FAILED, signal=15), KILL, "killed", "kill: by me"),
        (Outcome(State.SUCCEEDED, exit_status=0), KILL, "succeeded", ""),
        (Outcome(State.UNKNOWN), KILL, "killed", "kill: by me"),
        (Outcome(State.FAILED, signal=2), SIGNAL, "killed", "kill: SIGINT"),
        (Outcome(State.SUCCEEDED, exit_status=0), SIGNAL, "succeeded", ""),
        (Outcome(State.UNKNOWN), SIGNAL, "unknown", ""),
    ],
)
def test_whose_hand_it_was(end: Outcome, cause: Cause, state: str, reason: str) -> None:
    judged = judge(end, (0,), cause)
    assert (judged.state, judged.cause.text) == (state, reason)
    assert judged.cause in {cause, NO_CAUSE}


@pytest.mark.parametrize(
    ("options", "attempt", "end", "least"),
    [
        ("", 1, Outcome(State.FAILED), None),
        ("retries=2", 1, Outcome(State.FAILED), 60),
        ("retries=2", 2, Outcome(State.FAILED), 120),
        ("retries=2", 3, Outcome(State.FAILED), None),
        ("retries=2 retry-delay=30s", 1, Outcome(State.TIMED_OUT), 30),
        ("retries=2", 1, Outcome(State.SUCCEEDED), None),
        ("retries=2", 1, Outcome(State.KILLED), None),
        ("retries=2", 1, Outcome(State.LOST), None),
        ("retries=1000", 900, Outcome(State.FAILED), 3600),
        ("retries=2 retry-delay=0", 1, Outcome(State.FAILED), 0),
    ],
)
def test_retries(options: str, attempt: int, end: Outcome, least: float | None) -> None:
    one = fire(options, attempt=attempt)
    delay = retry_in(one.job.entry.options, one, end)
    if least is None:
        assert delay is None
    else:
        assert delay is not None
        assert least <= delay <= least * 1.1
        assert delay == retry_in(one.job.entry.options, one, end), "drawn once"
