"""Delayed starts: fires with a delay, missed fires that are caught up, retries."""

import heapq
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from pycrond import clock
from pycrond.jobs.jitter import delay
from pycrond.jobs.job import Job
from pycrond.jobs.run import Cause, Fire, Run, State
from pycrond.ledger.writer import Ledger
from pycrond.runs.launcher import ClaimedRun
from pycrond.runs.retries import longest_retry_delay
from pycrond.runs.runs import Runs
from pycrond.scheduler.admission import REMOVED, Admission
from pycrond.scheduler.clock_changes import CatchUp

CATCH_UP_INTERVAL = timedelta(seconds=1)  # between two catch-ups of a user


class DelayedStarts:
    """Claimed runs that start at a later time, in the order of their starts; the ledger has them too."""

    def __init__(self, ledger: Ledger, runs: Runs, admission: Admission, seed: str, dialect: str) -> None:
        """`seed` identifies this machine."""
        self._ledger = ledger
        self._runs = runs
        self._admission = admission
        self._seed = seed
        self.cluster = ""
        """The name of the cluster, once it is known."""
        self._dialect = dialect
        self._heap: list[tuple[datetime, int, ClaimedRun]] = []
        self._catch_up_at: dict[str, datetime] = {}  # the earliest start of each user's next catch-up

    @property
    def next_at(self) -> datetime | None:
        return self._heap[0][0] if self._heap else None

    @property
    def claims(self) -> list[ClaimedRun]:
        """The runs in the order of their starts."""
        return [claimed for _, _, claimed in sorted(self._heap)]

    def withdraw(self, claimed: ClaimedRun) -> None:
        """Remove a run, if it waits here."""
        self._heap = [entry for entry in self._heap if entry[2] is not claimed]
        heapq.heapify(self._heap)

    def with_delays(self, fires: Iterable[Fire]) -> list[Fire]:
        """Return the fires; those with a delay have `start_at`."""
        return [
            fire._replace(start_at=fire.at + timedelta(seconds=seconds))
            if (seconds := self._delay(fire))
            else fire
            for fire in fires
        ]

    def _delay(self, fire: Fire) -> int:
        return delay(fire.job, fire.at, self._seed, self._dialect, self.cluster)

    def add(self, claims: Iterable[ClaimedRun]) -> list[ClaimedRun]:
        """Keep the runs that start later; return the others."""
        due = []
        for claimed in claims:
            if claimed.run.fire.start_at:
                heapq.heappush(self._heap, (claimed.run.fire.start_at, claimed.run.id, claimed))
            else:
                due.append(claimed)
        return due

    def step(self, now: datetime) -> None:
        """Admit the runs whose time has come."""
        due: list[ClaimedRun] = []
        while self._heap and self._heap[0][0] <= now:
            due.append(heapq.heappop(self._heap)[2])
        if due:
            self._admission.enter(due, now)

    def claim(self, fires: Sequence[Fire]) -> None:
        """Claim fires that start later, each at its `start_at`."""
        self.add(self._runs.claim(fires) if fires else ())

    def catch_up(self, missed: Sequence[CatchUp], jobs: Mapping[str, Job], now: datetime) -> None:
        """Claim the missed fires that are to be caught up, in order: each user's start one a second."""
        if not any(claimed.run.fire.trigger == "catch-up" for _, _, claimed in self._heap):
            self._catch_up_at.clear()  # the clock may have been set back since
        fires: list[Fire] = []
        for key, fire_time, era in sorted(missed, key=lambda catch_up: catch_up.fire.at):
            if job := jobs.get(key):
                at = self._reserve_catch_up(job.user, now)
                wall, fold = fire_time.wall, fire_time.fold
                fires.append(Fire(job, fire_time.at, wall, fold, era, "catch-up", start_at=at))
        self.claim(fires)

    def _reserve_catch_up(self, user: str, now: datetime) -> datetime:
        """Reserve the time at which the next catch-up of a user may start, and return it."""
        at = max(now, self._catch_up_at.get(user, now))
        self._catch_up_at[user] = at + CATCH_UP_INTERVAL
        return at

    def clock_was_turned(self, step: timedelta) -> None:
        """Move the times of all starts, here and in the ledger."""
        for _, _, claimed in self._heap:
            fire = claimed.run.fire
            claimed.run.fire = fire._replace(start_at=fire.start_at and fire.start_at + step)
        self._heap = [(at + step, run, claimed) for at, run, claimed in self._heap]
        self._catch_up_at = {user: at + step for user, at in self._catch_up_at.items()}
        self._ledger.move_starts(step.total_seconds())

    def take_clustered(self) -> list[ClaimedRun]:
        """Remove and return the runs that need the cluster's consent."""
        runs = [run for run in self.claims if run.run.job.entry.options.is_clustered]
        # A retry has the consent of its first attempt, and a run by hand needs none.
        removed = [run for run in runs if run.run.fire.trigger != "retry" and run.run.fire.wall is not None]
        removed_ids = {claimed.run.id for claimed in removed}
        self._heap = [entry for entry in self._heap if entry[1] not in removed_ids]
        heapq.heapify(self._heap)
        return removed

    def restore(self, jobs: Mapping[str, Job], now: datetime) -> None:
        """Restore the runs that waited when the previous daemon ended; skip runs of removed jobs."""
        removed: list[tuple[int, Cause]] = []
        for row in self._ledger.waiting():
            job = jobs.get(row.key)
            if job is None:
                removed.append((row.id, REMOVED))
                continue
            fire = row.fire_of(job)
            fire = fire._replace(start_at=self._restored_start(fire, row.start_at, now))
            turned = min(timedelta(0), now - fire.at)  # if the clock is behind the fire, it was set back
            self.add([ClaimedRun(Run(row.id, fire, State.WAITING), has_waited=True, turned=turned)])
        self._ledger.settle(removed, State.SKIPPED, now)

    def _restored_start(self, fire: Fire, planned: float | None, now: datetime) -> datetime:
        """Return the start of a restored fire, `planned` in Unix seconds; None: as soon as it can start.

        It is at most the fire's full delay away, even if the clock was changed meanwhile.
        """
        if planned is None:
            return now
        if fire.trigger == "catch-up":
            return self._reserve_catch_up(fire.job.user, now)
        seconds: float = self._delay(fire)
        if fire.trigger == "retry":
            seconds = longest_retry_delay(fire.job.entry.options, fire.attempt - 1)
        return min(clock.at(planned), now + timedelta(seconds=seconds))

    def replace_jobs(self, jobs: Mapping[str, Job], now: datetime) -> None:
        """Give the waiting runs the jobs that are loaded now."""
        claims, self._heap = self.claims, []
        self.add(self._admission.update_jobs(claims, jobs, now))
