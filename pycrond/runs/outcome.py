"""The outcome of a run, from the report of the kernel or the keeper about its process."""

import os
from collections.abc import Container
from datetime import datetime

from pycrond import clock
from pycrond.errors import UnusableAccountError, os_message
from pycrond.jobs.run import NO_CAUSE, Cause, Outcome, Reason, State
from pycrond.keeper.client import ProcessEnd

PAGE_COUNT_ERROR = 1024  # KiB by which the kernel's figures for one process may differ

ENDED_BY_US = {
    Reason.TIMEOUT: State.TIMED_OUT,
    Reason.REPLACED: State.KILLED,
    Reason.KILL: State.KILLED,
    Reason.STOP: State.KILLED,
}
"""The reasons for which pycrond ends a run, and the state that the run gets."""


def outcome(status: int, cpu_s: float | None = None, max_rss_kb: int | None = None) -> Outcome:
    """Return the outcome of a process from its wait(2) status; `max_rss_kb` in KiB."""
    code = os.waitstatus_to_exitcode(status)
    return Outcome(
        state=State.SUCCEEDED if code == 0 else State.FAILED,
        exit_status=code if code >= 0 else None,
        signal=-code if code < 0 else None,
        cpu_s=cpu_s,
        max_rss_kb=max_rss_kb,
    )


def start_failed(error: Exception) -> Outcome:
    """Return the outcome of a run whose program could not be executed."""
    reason = Reason.ACCOUNT if isinstance(error, UnusableAccountError) else Reason.START_FAILED
    return Outcome(State.FAILED, Cause.of(reason, os_message(error)))


def peak_memory(max_rss_kb: int | None, floor_kb: int) -> int | None:
    """Return the peak memory of a run in KiB; None if the process may have reached it before its exec.

    `max_rss_kb` includes the time before the exec (getrusage(2)). `floor_kb` is the most that the process
    could have then: the peak of the daemon, whose memory it used (vfork), or of the spawner, which it copied.
    """
    is_own = max_rss_kb is not None and max_rss_kb > floor_kb + PAGE_COUNT_ERROR
    return max_rss_kb if is_own else None


def reported_outcome(end: ProcessEnd, began_at: float | None) -> tuple[Outcome, datetime, float | None]:
    """Return the outcome from a keeper's report, the time of the end, and the duration in seconds or None."""
    duration = None if began_at is None else round(max(0.0, end.at - began_at), 3)
    return outcome(end.status, end.cpu_s, end.max_rss_kb), clock.at(end.at), duration


def judge(end: Outcome, success: Container[int], cause: Cause = NO_CAUSE) -> Outcome:
    """Return an outcome by the rules of the job: `success` has the exit statuses that count as success,
    `cause` is the reason for which pycrond was ending the run, if it was.

    A run that succeeds while pycrond is ending it has succeeded, except after a timeout.
    """
    if end.state in {State.SUCCEEDED, State.FAILED} and end.exit_status is not None:
        end = end._replace(state=State.SUCCEEDED if end.exit_status in success else State.FAILED)
    state = ENDED_BY_US.get(cause.reason)
    if state and (end.state != State.SUCCEEDED or state == State.TIMED_OUT):
        return end._replace(state=state, cause=cause)
    if cause.reason is Reason.SIGNAL and end.state == State.FAILED:
        return end._replace(state=State.KILLED, cause=cause)
    return end
