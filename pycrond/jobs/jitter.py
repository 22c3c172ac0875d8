"""The delay between a fire time and the start: RANDOM_DELAY as in cronie, and the option `jitter`. Pure."""

from datetime import datetime, timedelta

from pycrond.hashing import draw_below
from pycrond.jobs.job import Job

MAX_RANDOM_DELAY = 24 * 60  # minutes


def delay(job: Job, at: datetime, seed: str, dialect: str, cluster: str = "") -> int:
    """The delay in seconds. RANDOM_DELAY, which Debian cron does not know, draws whole minutes, once for a
    job and machine (`seed`); jitter draws for each fire.

    Both draws are hashes, so that a restart of the daemon does not draw again. Those of a shared job are the
    same on all nodes: they come from the name of the `cluster`, where it is known.
    """
    if cluster and job.entry.options.is_shared:
        seed = cluster
    minutes = _random_delay(job) if dialect == "cronie" else 0
    jitter = int(job.entry.options.jitter)
    seconds = 60 * draw_below(minutes + 1, f"{seed} {job.key}") if minutes else 0
    return seconds + (draw_below(jitter + 1, f"{seed} {job.key} {at.timestamp():.0f}") if jitter else 0)


def longest_delay(job: Job) -> timedelta:
    """The longest delay that a fire of a job can have, in whatever dialect."""
    return timedelta(seconds=job.entry.options.jitter, minutes=_random_delay(job))


def _random_delay(job: Job) -> int:
    """The value of RANDOM_DELAY in minutes; 0 where there is none, or none that is valid."""
    text = dict(job.entry.environment).get("RANDOM_DELAY", "")
    is_valid = text.isascii() and text.isdigit() and len(text) < 9
    return min(int(text), MAX_RANDOM_DELAY) if is_valid else 0
