"""What follows from the end of a run: that it is written down, another attempt, alarms."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from pycrond.alarms.outbox import Outbox
from pycrond.alarms.rules import Alarms
from pycrond.jobs.job import Job
from pycrond.jobs.run import Fire
from pycrond.ledger.writer import Ledger
from pycrond.runs.active import ActiveRuns, EndedRun
from pycrond.runs.pending import PendingWrites
from pycrond.runs.policy import retry_in
from pycrond.runs.termination import Termination
from pycrond.scheduler.delayed import DelayedStarts


class Completion:
    """Takes the ends, as they come."""

    def __init__(
        self,
        ledger: Ledger,
        runs: ActiveRuns,
        owed: PendingWrites,
        endings: Termination,
        *,
        waiting: DelayedStarts,
        alarms: Alarms,
        outbox: Outbox,
    ) -> None:
        self._ledger = ledger
        self._runs = runs
        self._pending = owed
        self._termination = endings
        self._waiting = waiting
        self._alarms = alarms
        self._outbox = outbox

    def take(self, jobs: Mapping[str, Job], now: datetime) -> None:
        """Write down what was started and what has ended since the last time."""
        self._pending.store_starts(self._runs.living)
        ended = self._runs.ended()
        for one in ended:
            if one.running:
                self._termination.over(one.running)
        if begun := self._runs.take_begun():
            self._alarms.begun(begun, now)
        if ended:
            # Before the ends: a daemon that dies in between finds the runs open, and claims no attempt twice.
            retries = self._retries(ended, jobs, now)
            self._waiting.claim([*retries.values()])
            alarms = self._alarms.after(ended, {*retries}, now)
            self._ledger.finished([(one.run, one.outcome, one.at, one.duration) for one in ended], *alarms)
        self._pending.release()
        self._outbox.reaped(self._runs.take_strangers(), now)

    def _retries(self, ended: Sequence[EndedRun], jobs: Mapping[str, Job], now: datetime) -> dict[int, Fire]:
        """The attempts that are to follow each run, of jobs as they are now."""
        fires = {}
        for one in ended:
            job = jobs.get(one.fire.job.key)
            delay = retry_in(job.entry.options, one.fire, one.outcome) if job else None
            if job and delay is not None:
                at = max(now, one.at + timedelta(seconds=delay))
                attempt = one.fire.attempt + 1
                fires[one.run] = replace(one.fire, job=job, trigger="retry", start_at=at, attempt=attempt)
        return fires
