"""The states of a shared fire on one node: the times of its actions, and the effects of each answer."""

import math

import pytest

from pycrond.cluster.fire import (
    ANSWER_TIME,
    CLOSE_AFTER,
    GIVE_UP_AFTER,
    RETRY_INTERVAL,
    TAKE_OVER_TIME,
    Action,
    Do,
    EarlierRun,
    Phase,
    Policy,
    SharedFire,
)
from pycrond.cluster.protocol import Claim, Row

START = 1_000.0
PLAIN = Policy()
CONFIRMS = Policy(confirms=True)
RUNS = Policy(runs_in_partition=True)
BOTH = Policy(confirms=True, runs_in_partition=True)
EARLIER_RUN = EarlierRun("old run", "ledger", "token")


def make(
    policy: Policy = PLAIN,
    earlier_run: EarlierRun | None = None,
    phase: Phase = Phase.PLANNED,
    look_at: float = 0.0,
) -> SharedFire:
    claim = Claim("me/job", 16, 0, "run", START, 30.0)
    return SharedFire(claim, START, policy, earlier_run, phase, look_at)


def row(state: str, run: str = "run", reason: str = "") -> Row:
    return Row("me/job", 16, 0, run, "other", state, reason, state not in {"claimed", "waiting", "running"})


def act(
    fire: SharedFire, now: float, blocked: str = "", *, may_ask: bool = True, is_first: bool = False
) -> Do | None:
    action = fire.next_action(now, blocked or None, may_ask=may_ask, is_first=is_first)
    return action.do if action else None


# The times of questions


@pytest.mark.parametrize(
    ("rank", "now", "first", "last"),
    [
        (0, 0.0, START - 1, START - 1),
        (1, 0.0, START + 2, START + 2),
        (2, 0.0, START + 4, START + 7),
        (199, 0.0, START + 4, START + 7),
        (None, 0.0, START + 8, START + 8),
        (0, START + 30, START + 30, START + 30),  # late
    ],
)
def test_each_node_has_its_time_to_ask(rank: int | None, now: float, first: float, last: float) -> None:
    fire = make()
    fire.plan("node", rank, now)
    assert first <= fire.look_at <= last
    assert act(fire, math.nextafter(fire.look_at, 0)) is None
    if rank is not None:
        assert act(fire, fire.look_at) is Do.ASK


def test_the_others_do_not_all_ask_at_once() -> None:
    times = set()
    for number in range(50):
        fire = make()
        fire.plan(f"node{number}", 2, 0.0)
        times.add(fire.look_at)
    assert len(times) > 40
    assert max(times) - min(times) > 2


def test_a_fire_is_asked_for_once() -> None:
    fire = make()
    assert act(fire, START) is Do.ASK
    assert [act(fire, START + after) for after in (0, 1, 5, 9.9)] == [None] * 4


@pytest.mark.parametrize(("blocked", "may_ask"), [("paused", True), ("", False)])
def test_a_node_that_may_not_ask_looks_again_and_at_last_writes_a_verdict(
    blocked: str, may_ask: bool
) -> None:
    fire = make(look_at=START - 1)
    assert act(fire, START - 1, blocked, may_ask=may_ask) is None
    assert fire.look_at == START - 1 + RETRY_INTERVAL
    assert act(fire, START + CLOSE_AFTER - 0.5, blocked, may_ask=may_ask) is None
    assert fire.look_at == START + CLOSE_AFTER
    action = fire.next_action(START + CLOSE_AFTER, blocked or None, may_ask=may_ask, is_first=True)
    assert action
    assert action[:2] == (Do.CLOSE, blocked or "no-node")


def test_a_node_that_may_ask_after_all_asks() -> None:
    fire = make(look_at=START - 1)
    assert act(fire, START - 1, "paused") is None
    assert act(fire, START) is Do.ASK


def test_a_node_that_was_frozen_asks_although_it_is_late() -> None:
    """The database refuses fires that are too old; only it knows whether another node has the fire."""
    fire = make(RUNS, look_at=START - 1)
    late = START + 25
    assert act(fire, late, is_first=True) is Do.ASK
    assert act(fire, late + ANSWER_TIME - 0.1, is_first=True) is None
    assert fire.on_row(row("claimed", "another"), late + 1) == Action(Do.ELSEWHERE, "other", "claimed")


# The answers

ELSEWHERE, SKIP = Do.ELSEWHERE, Do.SKIP


@pytest.mark.parametrize(
    ("phase", "earlier_run", "answer", "do", "reason", "after"),
    [
        (Phase.ASKING, None, row("claimed"), None, "", Phase.OURS),
        (Phase.ASKING, None, row("running"), None, "", Phase.OURS),  # confirmed by the daemon before
        (Phase.ASKING, None, row("waiting"), None, "", Phase.QUEUED),
        (Phase.ASKING, None, row("skipped", reason="overlap"), SKIP, "overlap", Phase.OVER),
        (Phase.ASKING, None, row("lost"), SKIP, "daemon-down", Phase.OVER),
        (Phase.ASKING, None, row("claimed", "another"), ELSEWHERE, "other", Phase.OVER),
        (Phase.ASKING, None, row("skipped", "another"), ELSEWHERE, "other", Phase.OVER),
        (Phase.ASKING, None, None, SKIP, "no-database", Phase.OVER),
        (Phase.QUEUED, None, row("claimed"), None, "", Phase.OURS),
        (Phase.QUEUED, None, row("waiting"), None, "", Phase.QUEUED),
        (Phase.QUEUED, None, row("lost"), SKIP, "daemon-down", Phase.OVER),
        (Phase.QUEUED, None, row("claimed", "another"), ELSEWHERE, "other", Phase.OVER),
        (Phase.CLOSING, None, row("claimed", "another"), ELSEWHERE, "other", Phase.OVER),
        (Phase.CLOSING, None, row("skipped", reason="paused"), SKIP, "paused", Phase.OVER),
        (Phase.CLOSING, None, row("claimed"), SKIP, "no-node", Phase.OVER),
        (Phase.CLOSING, None, row("waiting"), SKIP, "no-node", Phase.OVER),
        (Phase.ASKING, EARLIER_RUN, row("claimed"), None, "", Phase.OURS),
        (Phase.ASKING, EARLIER_RUN, row("waiting"), None, "", Phase.QUEUED),
        (Phase.ASKING, EARLIER_RUN, None, ELSEWHERE, "another node", Phase.OVER),
        (Phase.ASKING, EARLIER_RUN, row("claimed", "old run"), ELSEWHERE, "other", Phase.OVER),
        (Phase.PLANNED, None, row("claimed"), None, "", Phase.PLANNED),  # of a claim that was cancelled
        (Phase.OURS, None, row("claimed"), None, "", Phase.OURS),  # of a second question
        (Phase.OURS, None, row("claimed", "another"), None, "", Phase.OURS),
        (Phase.CONFIRMING, None, row("claimed"), None, "", Phase.CONFIRMING),
        (Phase.OVER, None, row("claimed"), None, "", Phase.OVER),
    ],
)
def test_the_row_decides(
    phase: Phase, earlier_run: EarlierRun | None, answer: Row | None, do: Do | None, reason: str, after: Phase
) -> None:
    fire = make(earlier_run=earlier_run, phase=phase)
    action = fire.on_row(answer, START + 1)
    assert (action.do if action else None) == do
    assert action is None or action.reason == reason
    assert fire.phase is after


# Starts


def test_a_fire_that_is_ours_starts_at_its_time() -> None:
    fire = make(phase=Phase.ASKING)
    fire.on_row(row("claimed"), START - 0.9)
    assert act(fire, START - 0.1) is None
    assert act(fire, START) is Do.START
    assert act(fire, START + 1) is None


@pytest.mark.parametrize(("policy", "earlier_run"), [(CONFIRMS, None), (PLAIN, EARLIER_RUN)])
@pytest.mark.parametrize(
    ("answer", "after", "do"),
    [
        (row("running"), 0.1, Do.START),
        (row("running"), GIVE_UP_AFTER - 0.1, Do.START),
        (row("running"), GIVE_UP_AFTER, Do.SKIP),  # another node may have taken it over
        (None, 0.1, Do.SKIP),
        (row("running", "another"), 0.1, Do.SKIP),
        (row("lost"), 0.1, Do.SKIP),
    ],
)
def test_a_start_that_is_confirmed(
    policy: Policy, earlier_run: EarlierRun | None, answer: Row | None, after: float, do: Do
) -> None:
    fire = make(policy, earlier_run, phase=Phase.OURS, look_at=START)
    now = START + 100  # it had to wait for a lock
    assert act(fire, now) is Do.CONFIRM
    assert act(fire, now + GIVE_UP_AFTER - 0.1) is None
    action = fire.on_confirmed(answer, now + after)
    assert action
    assert action.do is do
    assert fire.on_confirmed(row("running"), now + after) is None
    assert act(fire, now + 100) is None


@pytest.mark.parametrize("phase", [Phase.PLANNED, Phase.ASKING, Phase.OURS, Phase.OVER])
def test_only_what_is_to_be_confirmed_is_started_by_a_confirmation(phase: Phase) -> None:
    assert make(CONFIRMS, phase=phase).on_confirmed(row("running"), START) is None


# No answer


@pytest.mark.parametrize(
    ("policy", "phase", "is_first", "blocked", "do"),
    [
        (PLAIN, Phase.ASKING, True, "", Do.SKIP),
        (CONFIRMS, Phase.ASKING, True, "", Do.SKIP),
        (CONFIRMS, Phase.CONFIRMING, True, "", Do.SKIP),
        (RUNS, Phase.ASKING, True, "", Do.START),
        (RUNS, Phase.ASKING, False, "", Do.SKIP),
        (RUNS, Phase.ASKING, True, "paused", Do.SKIP),
        (RUNS, Phase.CLOSING, True, "", Do.SKIP),  # it was blocked when it was to ask
        (BOTH, Phase.ASKING, True, "", Do.START),
        (BOTH, Phase.CONFIRMING, False, "", Do.START),  # no other node has it
    ],
)
def test_without_an_answer_it_is_given_up(
    policy: Policy, phase: Phase, is_first: bool, blocked: str, do: Do
) -> None:
    fire = make(policy, phase=phase, look_at=START + GIVE_UP_AFTER)
    assert act(fire, START + GIVE_UP_AFTER - 0.1, blocked, is_first=is_first) is None
    assert act(fire, START + GIVE_UP_AFTER, blocked, is_first=is_first) is do
    assert fire.phase is Phase.OVER
    assert fire.on_row(row("claimed"), START + 11) is None
    assert fire.on_confirmed(row("running"), START + 11) is None


def test_a_run_that_waits_for_a_lock_asks_one_question_at_a_time() -> None:
    fire = make(phase=Phase.ASKING)
    fire.on_row(row("waiting"), START)
    assert act(fire, START + RETRY_INTERVAL) is Do.ASK
    assert act(fire, START + 3600) is None
    fire.on_row(row("waiting"), START + 3600)
    assert act(fire, START + 3600 + RETRY_INTERVAL) is Do.ASK


@pytest.mark.parametrize("state", ["claimed", "waiting", "succeeded"])
def test_a_second_answer_to_the_same_question_changes_nothing(state: str) -> None:
    fire = make(phase=Phase.ASKING)
    assert fire.on_row(row("claimed"), START - 1) is None
    assert fire.on_row(row(state), START - 1) is None
    assert fire.phase is Phase.OURS
    assert act(fire, START) is Do.START
    assert fire.on_row(row(state), START) is None


# Take-overs


def test_a_take_over_waits_for_its_answer() -> None:
    fire = make(RUNS, EARLIER_RUN)
    assert act(fire, START) is Do.TAKE_OVER
    assert act(fire, START + 3600, is_first=True) is None
    fire.on_row(row("claimed"), START + 3600)
    assert act(fire, START + 3600) is Do.CONFIRM


def test_a_node_that_may_not_take_over_leaves_it_after_a_minute() -> None:
    fire = make(earlier_run=EARLIER_RUN)
    assert act(fire, START + TAKE_OVER_TIME - 1, "paused") is None
    assert act(fire, START + TAKE_OVER_TIME, "paused") is Do.ELSEWHERE
