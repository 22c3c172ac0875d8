"""The delay between a fire time and the start: RANDOM_DELAY as in cronie, and the option `jitter`. Pure."""

from datetime import datetime, timedelta

from pycrond.hashing import draw_below
from pycrond.jobs.job import Job

MAX_RANDOM_DELAY = 24 * 60  # minutes


def delay(job: Job, at: datetime, seed: str, dialect: str, cluster: str = "") -> int:
    """Return the delay in seconds. RANDOM_DELAY, which Debian cron does not have, draws whole minutes, once
    for a job and machine (`seed`); jitter draws for each fire.

    Both draws are hashes, so that they are the same after a restart of the daemon. The draws of a shared job
    are the same on all nodes: they use the name of the `cluster` if it is known.
    """
    if cluster and job.entry.options.is_shared:
        seed = cluster
    minutes = _random_delay(job) if dialect == "cronie" else 0
    jitter = int(job.entry.options.jitter)
    seconds = 60 * draw_below(minutes + 1, f"{seed} {job.key}") if minutes else 0
    return seconds + (draw_below(jitter + 1, f"{seed} {job.key} {at.timestamp():.0f}") if jitter else 0)


def longest_delay(job: Job) -> timedelta:
    """Return the longest delay that a fire of a job can have in any dialect."""
    return timedelta(seconds=job.entry.options.jitter, minutes=_random_delay(job))


def _random_delay(job: Job) -> int:
    """Return the value of RANDOM_DELAY in minutes; 0 if it is missing or invalid."""
    text = dict(job.entry.environment).get("RANDOM_DELAY", "")
    return min(int(text), MAX_RANDOM_DELAY) if is_random_delay(text) else 0


def is_random_delay(text: str) -> bool:
    """Return whether a value of RANDOM_DELAY is a number of minutes."""
    return text.isascii() and text.isdigit() and len(text) < 9
