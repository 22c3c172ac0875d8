"""Fires and runs: a job and the time it is due, and one execution of it with its outcome."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

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
