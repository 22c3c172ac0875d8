"""The states of a run: the table of transitions, the allowed steps, and its picture in the design."""

import itertools
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pycrond.jobs import run as runs
from pycrond.jobs.run import (
    BAD_ENDS,
    ENDS,
    NO_CAUSE,
    NOT_STARTED,
    OPEN,
    TRANSITIONS,
    Cause,
    Fire,
    IllegalTransitionError,
    Reason,
    Run,
    State,
)
from tests.conftest import jobs_of

DESIGN = Path(__file__).parents[2] / "docs" / "design.md"


def new_run(state: State) -> Run:
    (job,) = jobs_of("* * * * * true\n")
    return Run(7, Fire(job, datetime(2026, 6, 1, tzinfo=UTC), 0), state, Cause.of(Reason.LOCK, "before"))


@pytest.mark.parametrize(("before", "after"), [*itertools.product(State, State)])
def test_a_transition_is_made_or_changes_nothing(before: State, after: State) -> None:
    run, cause = new_run(before), Cause.of(Reason.KILL, "by me")
    if after in TRANSITIONS[before]:
        run.enter(after, cause)
        assert (run.state, run.cause) == (after, cause)
    else:
        with pytest.raises(IllegalTransitionError, match=f"run 7 cannot become {after}: it is {before}"):
            run.enter(after, cause)
        assert (run.state, run.cause) == (before, Cause.of(Reason.LOCK, "before"))


def test_every_state_is_open_ended_or_not_started() -> None:
    assert {*State} == OPEN | ENDS | NOT_STARTED
    assert not (OPEN & ENDS or OPEN & NOT_STARTED or ENDS & NOT_STARTED)
    assert BAD_ENDS < ENDS | NOT_STARTED


def test_every_state_is_in_the_table_and_can_be_reached() -> None:
    assert TRANSITIONS.keys() == {None, *State}
    assert set().union(*TRANSITIONS.values()) == {*State}


def test_no_transition_leads_out_of_a_final_state() -> None:
    assert not any(TRANSITIONS[state] for state in ENDS | NOT_STARTED)


@pytest.mark.parametrize(
    ("reason", "details", "text"),
    [
        (Reason.OVERLAP, "run 7 still runs", "overlap: run 7 still runs"),
        (Reason.REPLACED, "replaced by run 8", "overlap: replaced by run 8"),
        (Reason.SIGNAL, "by root, SIGTERM", "kill: by root, SIGTERM"),
        (Reason.PAUSED, "", "paused"),
    ],
)
def test_the_text_of_a_cause_begins_with_its_word(reason: Reason, details: str, text: str) -> None:
    assert Cause.of(reason, details) == (reason, text)


def test_no_cause_has_neither_code_nor_text() -> None:
    assert NO_CAUSE == (Reason.NONE, "") == ("", "")


def test_every_state_and_reason_is_documented() -> None:
    source = Path(runs.__file__).read_text()
    for name in (*State.__members__, *Reason.__members__):
        assert re.search(rf'^    {name} = "[a-z-]*"\n    """', source, re.MULTILINE), name


def test_the_picture_in_the_design_is_that_of_the_table() -> None:
    assert f"```mermaid\n{diagram()}```" in DESIGN.read_text()


def diagram() -> str:
    """Return the table of transitions as a Mermaid state diagram."""
    lines = ["stateDiagram-v2"]
    for before, states in runs.TRANSITIONS.items():
        start = f"{before}".replace("-", "_") if before else "[*]"
        lines += [f"    {start} --> {after.replace('-', '_')}" for after in State if after in states]
        if before and not states:
            lines.append(f"    {start} --> [*]")
    return "\n".join(lines) + "\n"
