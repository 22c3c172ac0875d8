"""Fires and runs: a job with the minute at which it is due, and an execution with its states and reasons.

This module defines everything about the states of a run: the states, the reasons, and the table of allowed
transitions. `docs/design.md` has a picture of the table; a test compares the two.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple

from pycrond.jobs.job import Job

Trigger = Literal["schedule", "catch-up", "retry", "reboot", "manual", "take-over"]


class State(enum.StrEnum):
    """The state of a run, as the ledger and ``--json`` name it."""

    CLAIMED = "claimed"
    """Recorded; its command has not been started."""
    WAITING = "waiting"
    """Recorded; it starts at a later time, or when another run has ended."""
    RUNNING = "running"
    """Its command was started."""
    SUCCEEDED = "succeeded"
    """Ended with an exit status that counts as success."""
    FAILED = "failed"
    """Ended with another exit status or by a signal, or could not be started."""
    TIMED_OUT = "timed-out"
    """Ended by pycrond because its `timeout` was over."""
    KILLED = "killed"
    """Ended by pycrond for another reason: `kill`, `overlap=replace`, a stop."""
    SKIPPED = "skipped"
    """Never started, by a rule."""
    MISSED = "missed"
    """Never started: its time had passed, because no daemon ran then or `within` was over."""
    LOST = "lost"
    """Recorded, and certainly not started: the daemon died."""
    UNKNOWN = "unknown"
    """Perhaps started; its end is not known."""

    @classmethod
    def _missing_(cls, _value: object) -> "State":
        """Return UNKNOWN for a stored word that is not a state."""
        return cls.UNKNOWN


class Reason(enum.StrEnum):
    """The reason for a state: a code, stored in the ledger beside the text for people."""

    NONE = ""
    """No reason is needed: the run started, or ended by itself."""
    OVERLAP = "overlap"
    """A run of the same job is still running."""
    REPLACED = "replaced"
    """A newer run of the same job takes its place (`overlap=replace`)."""
    LOCK = "lock"
    """Another run holds the job's lock."""
    QUEUE_FULL = "queue-full"
    """Another run of the same job already waits."""
    MAX_RUNNING = "max-running"
    """`max-running` jobs are running."""
    PAUSED = "paused"
    """The job is paused."""
    WITHIN = "within"
    """It could not start within the time that the option `within` allows."""
    REMOVED = "removed"
    """The job's entry is no longer in a crontab."""
    DAEMON_DOWN = "daemon-down"
    """No daemon ran, or it was delayed."""
    CLOCK_STEP = "clock-step"
    """The clock was set forward or back."""
    SUSPENDED = "suspended"
    """The machine slept."""
    DISK_FULL = "disk-full"
    """The disk was full, and then the daemon crashed."""
    START_FAILED = "start-failed"
    """The command could not be started."""
    ACCOUNT = "account"
    """The account of its user does not exist any more, has another uid, or has expired."""
    TIMEOUT = "timeout"
    """The run took longer than its `timeout`."""
    KILL = "kill"
    """`pycrond kill` ended it, or cancelled it while it waited."""
    SIGNAL = "signal"
    """`pycrond kill --signal` sent a signal that ends most programs."""
    STOP = "stop"
    """`pycrond stop --kill-jobs`, or a stop with `stop-jobs=term`, ended it."""
    ELSEWHERE = "elsewhere"
    """Another node of the cluster is to run the fire."""
    NO_NODE = "no-node"
    """No node of the cluster may run it."""
    NO_DATABASE = "no-database"
    """The cluster's database did not answer in time which node is to run it."""
    STATUS_UNKNOWN = "status-unknown"
    """It ended while no keeper watched it, or the machine died."""
    START_UNKNOWN = "start-unknown"
    """The daemon died while it started the command."""

    @classmethod
    def _missing_(cls, _value: object) -> "Reason":
        """Return NONE for a stored word that is not a reason."""
        return cls.NONE


_WORDS = {Reason.REPLACED: "overlap", Reason.SIGNAL: "kill"}
"""The first word of a cause's text, if it differs from the reason's code."""


class Cause(NamedTuple):
    """A reason and its text for people, such as ``overlap: run 7 is still running``."""

    reason: Reason = Reason.NONE
    text: str = ""

    @classmethod
    def of(cls, reason: Reason, details: str) -> "Cause":
        """Return a cause whose text is the reason's word and the details."""
        return cls(reason, f"{_WORDS.get(reason, reason)}: {details}".removesuffix(": "))


NO_CAUSE = Cause()
NO_LABEL = Cause.of(Reason.ELSEWHERE, "this node does not have the label")

ENDS = frozenset({State.SUCCEEDED, State.FAILED, State.TIMED_OUT, State.KILLED, State.LOST, State.UNKNOWN})
"""The states of a run that has ended."""

NOT_STARTED = frozenset({State.SKIPPED, State.MISSED})
"""The states of a fire that did not become a run."""

BAD_ENDS = frozenset({*ENDS, State.MISSED}) - {State.SUCCEEDED}
"""The states of runs and fires that did not go well."""

OPEN = frozenset({State.CLAIMED, State.WAITING, State.RUNNING})
"""The states of a run that is not over."""

TRANSITIONS: Mapping[State | None, frozenset[State]] = {
    # A new ledger records runs that already run. Missed and skipped fires are recorded as such at once.
    None: frozenset({State.CLAIMED, State.WAITING, State.RUNNING, State.UNKNOWN}) | NOT_STARTED,
    State.CLAIMED: frozenset(
        {State.WAITING, State.RUNNING, State.FAILED, State.KILLED, State.LOST, State.UNKNOWN}
    )
    | NOT_STARTED,
    State.WAITING: frozenset({State.CLAIMED, State.KILLED}) | NOT_STARTED,
    State.RUNNING: ENDS - {State.LOST},
    **dict.fromkeys(sorted(ENDS | NOT_STARTED), frozenset[State]()),
}
"""The states that may follow each state; None is a run that is not in the ledger."""


class IllegalTransitionError(Exception):
    """A run cannot go from its state to the given one: a bug of ours."""

    def __init__(self, run: int, before: State | None, after: State) -> None:
        super().__init__(f"run {run} cannot become {after}: it is {before or 'new'}")


def check_transition(run: int, before: State | None, after: State) -> None:
    """Raise IllegalTransitionError unless the table allows the transition."""
    if after not in TRANSITIONS[before]:
        raise IllegalTransitionError(run, before, after)


class Fire(NamedTuple):
    """A job and a fire time that has come."""

    job: Job
    at: datetime
    """The instant at which it is due, aware UTC."""
    wall: int | None
    """The wall minute that identifies the fire, in the job's zone; None for @reboot and for a run by hand. If
    a clock change moves two fires to one instant, they differ in it."""
    fold: int = 0
    era: int = 0
    """Distinguishes minutes that come again because the clock was set back."""
    trigger: Trigger = "schedule"
    start_at: datetime | None = None
    """The time at which it starts, if it is delayed."""
    attempt: int = 1


@dataclass(slots=True, eq=False)
class Run:
    """An execution of a job, from its claim to its end."""

    id: int
    fire: Fire
    state: State = State.CLAIMED
    cause: Cause = NO_CAUSE

    @classmethod
    def claimed(cls, number: int, fire: Fire) -> "Run":
        """Return a new run, which is waiting if its start is delayed."""
        state = State.WAITING if fire.start_at else State.CLAIMED
        check_transition(number, None, state)
        return cls(number, fire, state)

    @property
    def job(self) -> Job:
        return self.fire.job

    def enter(self, state: State, cause: Cause = NO_CAUSE) -> None:
        """Change the state. Raises IllegalTransitionError, and changes nothing, if the table forbids it."""
        check_transition(self.id, self.state, state)
        self.state, self.cause = state, cause


class Outcome(NamedTuple):
    """The end of a run: an exit status or a signal; neither if it is not known."""

    state: State
    cause: Cause = NO_CAUSE
    exit_status: int | None = None
    signal: int | None = None
    cpu_s: float | None = None
    max_rss_kb: int | None = None
