"""Decisions about fires that are due. Pure."""

import enum
from typing import NamedTuple

from pycrond.jobs.job import Job
from pycrond.jobs.options import Options, is_global
from pycrond.jobs.run import NO_CAUSE, Cause, Fire, Reason, Run
from pycrond.text import duration


class Verdict(enum.Enum):
    """The decision about a fire."""

    START = enum.auto()
    SKIP = enum.auto()
    WAIT = enum.auto()
    REPLACE = enum.auto()
    """End the job's running runs, and wait until they have ended."""
    MISS = enum.auto()


class Situation(NamedTuple):
    """The facts that a decision depends on."""

    running: tuple[int, ...] = ()
    """The running runs of the same job."""
    waiting: int = 0
    """The number of fires of the same job that wait already."""
    holder: int = 0
    """The run that holds the job's lock; 0: none."""
    full: bool = False
    """The limit of running jobs is reached: that of all users, or that of this user."""
    queue_full: bool = False
    """The limit of the user's waiting fires is reached."""
    paused: str | None = None
    """The reason of the job's pause; None: it is not paused."""
    late: float = 0.0
    """Seconds since the fire time."""


class Decision(NamedTuple):
    """A verdict and, unless it is START, its cause."""

    verdict: Verdict
    cause: Cause = NO_CAUSE


START = Decision(Verdict.START)


def admit(fire: Fire, now: Situation) -> Decision:
    """Decide whether a fire starts. A pause and `within` do not hold up a run that was started by hand."""
    options = fire.job.entry.options
    by_hand = fire.trigger == "manual"
    if now.paused is not None and not by_hand:
        return Decision(Verdict.SKIP, Cause.of(Reason.PAUSED, now.paused))
    if options.within is not None and now.late > options.within and not by_hand:
        details = f"it could not start within {duration(options.within)}"
        return Decision(Verdict.MISS, Cause.of(Reason.WITHIN, details))
    decision = _busy(fire, options, now)
    if not decision and now.full:
        decision = Decision(
            Verdict.WAIT, Cause.of(Reason.MAX_RUNNING, "the limit of running jobs is reached")
        )
    if decision and decision.verdict is Verdict.WAIT and now.queue_full:
        text = f"the limit of the user's waiting fires is reached, {decision.cause.text}"
        return Decision(Verdict.SKIP, Cause.of(Reason.QUEUE_FULL, text))
    return decision or START


def _busy(fire: Fire, options: Options, now: Situation) -> Decision | None:
    """Decide about a fire whose job is running or whose lock is held; None if neither is true."""
    running = now.running if options.overlap != "allow" else ()
    if running:
        cause = Cause.of(Reason.OVERLAP, f"run {running[-1]} still runs")
        if options.overlap == "replace":
            return Decision(Verdict.REPLACE, cause)
    elif now.holder:
        cause = Cause.of(Reason.LOCK, f"run {now.holder} holds {options.lock}")
    else:
        return None
    if options.overlap == "skip":
        return Decision(Verdict.SKIP, cause)
    if now.waiting and fire.trigger == "schedule":
        return Decision(Verdict.SKIP, Cause.of(Reason.QUEUE_FULL, f"a fire waits already, {cause.text}"))
    return Decision(Verdict.WAIT, cause)


def lock_of(job: Job) -> str | None:
    """Return the name of a job's lock on this machine: per user, or `global:NAME`; None without lock."""
    return _of_user(job, job.entry.options.lock)


def cluster_lock_of(job: Job) -> str | None:
    """Return the name of a job's lock in the cluster, `user/NAME` or `global:NAME`; None without lock."""
    return _of_user(job, job.entry.options.cluster_lock)


def _of_user(job: Job, lock: str | None) -> str | None:
    return lock if lock is None or is_global(lock) else f"{job.user}/{lock}"


def replaced_by(run: Run) -> Cause:
    """Return the cause of the end of the runs that `run` replaces."""
    return Cause.of(Reason.REPLACED, f"replaced by run {run.id}")
