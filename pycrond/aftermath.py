"""What follows from the end of a run: that it is written down, another attempt, alarms."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from pycrond.endings import Endings
from pycrond.job import Job
from pycrond.ledger import Ledger
from pycrond.policy import retry_in
from pycrond.run import Fire
from pycrond.running import Ended, Runs
from pycrond.waiting import Waiting


class Aftermath:
    """Takes the ends, as they come."""

    def __init__(self, ledger: Ledger, runs: Runs, endings: Endings, waiting: Waiting) -> None:
        self._ledger = ledger
        self._runs = runs
        self._endings = endings
        self._waiting = waiting

    def take(self, jobs: dict[str, Job], now: datetime) -> None:
        """Write down what was started and what has ended since the last time."""
        self._runs.store_starts()
        ended = self._runs.ended()
        for one in ended:
            if one.running:
                self._endings.over(one.running)
        if ended:
            # Before the ends: a daemon that dies in between finds the runs open, and claims no attempt twice.
            self._waiting.claim(self._retries(ended, jobs, now))
            self._ledger.finished((one.run, one.outcome, one.at, one.duration) for one in ended)
        self._runs.release()

    def _retries(self, ended: Sequence[Ended], jobs: dict[str, Job], now: datetime) -> list[Fire]:
        """The attempts that are to follow, of jobs as they are now."""
        fires = []
        for one in ended:
            job = jobs.get(one.fire.job.key)
            delay = retry_in(job.entry.options, one.fire, one.outcome) if job else None
            if job and delay is not None:
                at = max(now, one.at + timedelta(seconds=delay))
                attempt = one.fire.attempt + 1
                fires.append(replace(one.fire, job=job, trigger="retry", start_at=at, attempt=attempt))
        return fires
