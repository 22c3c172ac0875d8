"""The delay between a fire time and the start: RANDOM_DELAY as in cronie, and the option `jitter`. Pure."""

from datetime import datetime

from pycrond.hashing import digest
from pycrond.jobs.job import Job

MAX_RANDOM_DELAY = 24 * 60  # minutes


def delay(job: Job, at: datetime, seed: str, dialect: str) -> int:
    """The delay in seconds. RANDOM_DELAY, which Debian cron does not know, draws whole minutes, once for a
    job and machine (`seed`); jitter draws for each fire.

    Both draws are hashes, so that a restart of the daemon does not draw again.
    """
    text = dict(job.entry.environment).get("RANDOM_DELAY", "")
    is_valid = dialect == "cronie" and text.isascii() and text.isdigit() and len(text) < 9
    minutes = min(int(text), MAX_RANDOM_DELAY) if is_valid else 0
    jitter = int(job.entry.options.jitter)
    seconds = 60 * _draw(f"{seed} {job.key}", minutes + 1) if minutes else 0
    return seconds + (_draw(f"{seed} {job.key} {at.timestamp():.0f}", jitter + 1) if jitter else 0)


def _draw(text: str, sides: int) -> int:
    return int(digest(text.encode("utf-8", "surrogateescape"), 8), 16) % sides
