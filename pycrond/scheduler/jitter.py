"""How much later than its fire time a job starts: RANDOM_DELAY as cronie's, and the option `jitter`. Pure."""

from datetime import datetime

from pycrond.hashing import digest
from pycrond.jobs.job import Job

MOST = 24 * 60  # minutes of RANDOM_DELAY


def delay(job: Job, at: datetime, seed: str, dialect: str) -> int:
    """Seconds. RANDOM_DELAY, which Debian cron does not know, draws whole minutes, once a job and machine
    (`seed`); jitter anew for each fire.

    Neither asks a clock or a dice, so that a restart does not draw again.
    """
    most = dict(job.entry.environment).get("RANDOM_DELAY", "")
    known = dialect == "cronie" and most.isascii() and most.isdigit() and len(most) < 9
    minutes = min(int(most), MOST) if known else 0
    jitter = int(job.entry.options.jitter)
    seconds = 60 * _draw(f"{seed} {job.key}", minutes + 1) if minutes else 0
    return seconds + (_draw(f"{seed} {job.key} {at.timestamp():.0f}", jitter + 1) if jitter else 0)


def _draw(text: str, sides: int) -> int:
    return int(digest(text.encode("utf-8", "surrogateescape"), 8), 16) % sides
