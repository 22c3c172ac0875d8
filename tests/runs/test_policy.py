"""The decisions of `policy` about fires and ends, as tables."""

from datetime import UTC, datetime

import pytest

from pycrond.jobs.run import NO_CAUSE, Cause, Fire, Outcome, Reason, State, Trigger
from pycrond.runs.outcome import judge
from pycrond.runs.policy import Situation, Verdict, admit, cluster_lock_of, lock_of
from tests.conftest import jobs_of

AT = datetime(2025, 6, 10, 12, tzinfo=UTC)


def fire(options: str = "", trigger: Trigger = "schedule", attempt: int = 1) -> Fire:
    (job,) = jobs_of(f"#: name=job {options}\n* * * * * true\n")
    return Fire(job, AT, 0, trigger=trigger, attempt=attempt)


RUNNING, RUNNING_AND_WAITING = Situation(running=(7,)), Situation(running=(7,), waiting=1)
HELD, HELD_AND_WAITING = Situation(holder=9), Situation(holder=9, waiting=1)


@pytest.mark.parametrize(
    ("options", "now", "verdict", "reason"),
    [
        ("", Situation(), Verdict.START, ""),
        ("", RUNNING, Verdict.START, ""),
        ("overlap=allow", Situation(running=(7, 8)), Verdict.START, ""),
        ("overlap=skip", Situation(), Verdict.START, ""),
        ("overlap=skip", RUNNING, Verdict.SKIP, "overlap: run 7 still runs"),
        ("overlap=queue", RUNNING, Verdict.WAIT, "overlap: run 7 still runs"),
        (
            "overlap=queue",
            RUNNING_AND_WAITING,
            Verdict.SKIP,
            "queue-full: a fire waits already, overlap: run 7 still runs",
        ),
        ("overlap=replace", RUNNING, Verdict.REPLACE, "overlap: run 7 still runs"),
        ("overlap=replace", RUNNING_AND_WAITING, Verdict.REPLACE, "overlap: run 7 still runs"),
        ("lock=db", HELD, Verdict.WAIT, "lock: run 9 holds db"),
        ("lock=db", HELD_AND_WAITING, Verdict.SKIP, "queue-full: a fire waits already, lock: run 9 holds db"),
        ("lock=db overlap=skip", HELD, Verdict.SKIP, "lock: run 9 holds db"),
        ("lock=db overlap=replace", HELD, Verdict.WAIT, "lock: run 9 holds db"),
        ("lock=db overlap=skip", Situation(), Verdict.START, ""),
        ("", Situation(full=True), Verdict.WAIT, "max-running: the limit of running jobs is reached"),
        ("overlap=skip", Situation(running=(7,), full=True), Verdict.SKIP, "overlap: run 7 still runs"),
        ("", Situation(paused="moving house"), Verdict.SKIP, "paused: moving house"),
        ("", Situation(paused=""), Verdict.SKIP, "paused"),
        ("within=5m", Situation(late=300), Verdict.START, ""),
        ("within=5m", Situation(late=301), Verdict.MISS, "within: it could not start within 5 m"),
        ("within=5m overlap=queue", RUNNING._replace(late=301), Verdict.MISS, "within: it could not"),
    ],
)
def test_a_fire_starts_waits_or_is_skipped_by_its_options_and_the_situation(
    options: str, now: Situation, verdict: Verdict, reason: str
) -> None:
    decision = admit(fire(options), now)
    assert decision.verdict is verdict
    assert decision.cause.text.startswith(reason)


@pytest.mark.parametrize(
    ("trigger", "now", "verdict"),
    [
        ("manual", Situation(paused="x"), Verdict.START),
        ("manual", Situation(late=10_000), Verdict.START),
        ("manual", RUNNING, Verdict.SKIP),
        ("retry", RUNNING, Verdict.SKIP),
        ("catch-up", RUNNING, Verdict.SKIP),
    ],
)
def test_a_pause_and_within_do_not_hold_up_runs_by_hand(
    trigger: Trigger, now: Situation, verdict: Verdict
) -> None:
    assert admit(fire("overlap=skip within=1h", trigger), now).verdict is verdict


def test_a_catch_up_waits_even_if_the_queue_is_full() -> None:
    assert admit(fire("overlap=queue", "catch-up"), RUNNING_AND_WAITING).verdict is Verdict.WAIT


@pytest.mark.parametrize(
    ("options", "is_unconditional"),
    [
        ("", True),
        ("timeout=5m retries=3", True),
        ("overlap=skip", False),
        ("lock=a", False),
        ("within=1m", False),
    ],
)
def test_a_job_without_restricting_options_starts_unconditionally(
    options: str, is_unconditional: bool
) -> None:
    assert fire(options).job.entry.options.is_unconditional is is_unconditional


@pytest.mark.parametrize(
    ("lock", "name", "in_cluster"),
    [
        ("", None, None),
        ("lock=db", "root/db", None),
        ("lock=global:db", "global:db", None),
        ("lock=cluster:db", "root/cluster:db", "root/db"),
        ("lock=cluster:global:db", "cluster:global:db", "global:db"),
    ],
)
def test_a_lock_belongs_to_the_user_unless_it_is_global(
    lock: str, name: str | None, in_cluster: str | None
) -> None:
    assert (lock_of(fire(lock).job), cluster_lock_of(fire(lock).job)) == (name, in_cluster)


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
def test_the_option_success_decides_which_exit_statuses_succeed(
    end: Outcome, success: tuple[int, ...], state: str
) -> None:
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
def test_a_run_that_pycrond_ends_has_the_cause_of_its_end(
    end: Outcome, cause: Cause, state: str, reason: str
) -> None:
    judged = judge(end, (0,), cause)
    assert (judged.state, judged.cause.text) == (state, reason)
    assert judged.cause in {cause, NO_CAUSE}
