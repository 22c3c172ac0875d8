"""The completion of runs: records their starts and ends, claims retries, and creates alarms."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from pycrond.alarms.alarms import Alarms
from pycrond.jobs.job import Job
from pycrond.jobs.run import Fire, State
from pycrond.runs.active import EndedRun
from pycrond.runs.retries import retries_of
from pycrond.runs.runs import Runs, ended_event
from pycrond.scheduler.scheduler import Scheduler

MAX_ABSENCE = timedelta(minutes=10)  # after a longer absence, this node does not run its own fires again


class RunCompletion:
    """Processes the starts and ends that came since the last step."""

    def __init__(self, runs: Runs, scheduler: Scheduler, alarms: Alarms) -> None:
        self._runs = runs
        self._scheduler = scheduler
        self._alarms = alarms

    def step(self, jobs: Mapping[str, Job], now: datetime) -> None:
        """Process them. The order (starts, retries, ends, release) makes a crash between two steps
        recoverable: if an end is not recorded, its retry may be claimed, and no attempt is claimed twice.
        """
        self._runs.write_starts()
        ended = self._runs.take_ended()
        events = [*self._scheduler.take_events(), *self._runs.take_started()]
        if events:
            self._alarms.process(events, now)
        cluster = self._scheduler.cluster
        if cluster and (events or ended):
            cluster.has_changed()
        if ended:
            retries = retries_of(ended, jobs, now)
            self._scheduler.delayed.claim([*retries.values()])
            if cluster and self._scheduler.absence <= MAX_ABSENCE:
                cluster.run_again(_unknown(ended), now)
            alarms = self._alarms.after([ended_event(run) for run in ended], retries.keys(), now)
            self._runs.write_ends(ended, *alarms)
        self._runs.journal.release()
        other_children = self._runs.reaper.take_other_children()
        self._alarms.outbox.children_ended(other_children, now)
        if cluster:
            cluster.children_ended(other_children)


def _unknown(ended: Sequence[EndedRun]) -> list[Fire]:
    """Return the fires of runs whose end is not known, because the machine died."""
    return [end.run.fire for end in ended if end.outcome.state in {State.UNKNOWN, State.LOST}]
