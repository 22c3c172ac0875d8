"""Retries: whether and when a failed run is tried again. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from pycrond.hashing import draw_below
from pycrond.jobs.job import Job
from pycrond.jobs.options import Options
from pycrond.jobs.run import Fire, Outcome, State
from pycrond.runs.active import EndedRun

MAX_RETRY_DELAY = 3600.0  # seconds between two attempts
RETRY_SPREAD = 10
"""Per cent by which a retry may be later, so that runs that failed together do not retry together."""


def retries_of(ended: Sequence[EndedRun], jobs: Mapping[str, Job], now: datetime) -> dict[int, Fire]:
    """Return the next attempts of failed runs, by run, with the jobs that are loaded now."""
    fires = {}
    for end in ended:
        fire = end.run.fire
        job = jobs.get(fire.job.key)
        delay = retry_in(job.entry.options, fire, end.outcome) if job else None
        if job and delay is not None:
            at = max(now, end.at + timedelta(seconds=delay))
            fires[end.run.id] = fire._replace(job=job, trigger="retry", start_at=at, attempt=fire.attempt + 1)
    return fires


def retry_in(options: Options, fire: Fire, end: Outcome) -> float | None:
    """Return the seconds until the next attempt of a failed run; None if there is none.

    The delay doubles with each attempt up to an hour. Up to a tenth is added, which is computed from job and
    fire, so that it is the same after a restart of the daemon.
    """
    if end.state not in {State.FAILED, State.TIMED_OUT} or fire.attempt > options.retries:
        return None
    drawn = draw_below(1001, f"{fire.job.key} {fire.at.timestamp():.0f} {fire.attempt}", size=4)
    return _retry_delay(options, fire.attempt) * (1 + RETRY_SPREAD / 100 * drawn / 1000)


def longest_retry_delay(options: Options, attempt: int) -> float:
    """Return the most seconds between a failed attempt and the next."""
    return _retry_delay(options, attempt) * (1 + RETRY_SPREAD / 100)


def _retry_delay(options: Options, attempt: int) -> float:
    # The maximum is reached long before the 40th attempt: the limit of 40 only keeps the number small.
    delay: float = min(options.retry_delay * 2 ** min(attempt - 1, 40), MAX_RETRY_DELAY)
    return delay
