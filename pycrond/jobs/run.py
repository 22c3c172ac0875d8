"""Fires and runs: a job and the time it is due, and one execution of it with its outcome."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple

from pycrond.jobs.job import Job

State = Literal[
    "claimed", "waiting", "running", "succeeded", "failed", "timed-out",
    "killed", "skipped", "missed", "lost", "unknown",
]  # fmt: skip
Trigger = Literal["schedule", "catch-up", "retry", "reboot", "manual"]


@dataclass(frozen=True, slots=True)
class Fire:
    """A job and a fire time that has come.

    `at` is the instant it is due, aware UTC. `wall` and `fold` are the wall-clock minute it is named after,
    in the job's zone (None for @reboot): two fires that a change of clocks moved to one instant differ here.
    `era` tells minutes apart that come again because the clock was turned back.
    """

    job: Job
    at: datetime
    wall: int | None
    fold: int = 0
    era: int = 0
    trigger: Trigger = "schedule"
    start_at: datetime | None = None
    """When to start it, if that is later than now."""
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended: by an exit status or a signal, or by neither where that is not known."""

    state: State
    reason: str = ""
    exit_status: int | None = None
    signal: int | None = None
    cpu_s: float | None = None
    max_rss_kb: int | None = None


class Unfinished(NamedTuple):
    """A run that an earlier daemon left: still open, or not yet told to syslog in full."""

    id: int
    key: str
    fire: float
    wall: int | None
    fold: int
    era: int
    trigger: Trigger
    attempt: int
    state: State
    reason: str
    pid: int | None
    pid_start: int | None
    started_at: float | None
    duration_s: float | None
    exit_status: int | None
    signal: int | None
    cpu_s: float | None
    max_rss_kb: int | None
    delivered: int
    told: int

    def outcome(self) -> Outcome:
        """How it ended, where that is known."""
        return Outcome(
            self.state,
            self.reason,
            exit_status=self.exit_status,
            signal=self.signal,
            cpu_s=self.cpu_s,
            max_rss_kb=self.max_rss_kb,
        )


class WaitingRow(NamedTuple):
    """A fire that was claimed and waits for its start. Times are Unix seconds."""

    id: int
    key: str
    fire: float
    wall: int | None
    fold: int
    era: int
    trigger: Trigger
    attempt: int
    start_at: float | None
    """None: it waits for something else than a time."""


class OldRow(NamedTuple):
    """A run that is to be folded."""

    id: int
    fire: float
    wall: int | None
    fold: int
    era: int
    attempt: int
    state: State
    bytes: int


class FoldedRow(NamedTuple):
    """The runs of a job, a day and a state: what stands for them all, the last fire, and how many."""

    id: int
    fire: float
    wall: int | None
    fold: int
    era: int
    attempt: int
    state: State
    until: float
    folded: int


class GapRow(NamedTuple):
    """Fires of a job that were passed over: the first of them, the last, and how many."""

    key: str
    fire: float
    wall: int
    fold: int
    era: int
    state: State
    reason: str
    noticed_at: float
    until: float
    folded: int
