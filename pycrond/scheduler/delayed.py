"""Fires that are claimed and start later: delayed ones, and those that were missed and are caught up."""

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from pycrond.jobs.job import Job
from pycrond.jobs.run import Fire
from pycrond.ledger.writer import Ledger
from pycrond.runs.launcher import ClaimedRun, Launcher
from pycrond.scheduler import jitter
from pycrond.scheduler.admission import Admission
from pycrond.scheduler.clock_changes import CatchUp

SPACE = timedelta(seconds=1)  # between two catch-ups
GONE = "removed: the job is gone"


class DelayedStarts:
    """In the order in which they are to start; the ledger has them too."""

    def __init__(
        self, ledger: Ledger, launching: Launcher, admission: Admission, seed: str, dialect: str
    ) -> None:
        """`seed` tells this machine from others."""
        self._ledger = ledger
        self._launcher = launching
        self._admission = admission
        self._seed = seed
        self._dialect = dialect
        self._heap: list[tuple[datetime, int, ClaimedRun]] = []

    @property
    def next_at(self) -> datetime | None:
        return self._heap[0][0] if self._heap else None

    @property
    def all(self) -> list[ClaimedRun]:
        """In the order of their starts."""
        return [one for _, _, one in sorted(self._heap)]

    def withdraw(self, one: ClaimedRun) -> None:
        """It is not to start, if it waits here."""
        self._heap = [place for place in self._heap if place[2] is not one]
        heapq.heapify(self._heap)

    def delayed(self, fires: Iterable[Fire]) -> list[Fire]:
        """The same fires, each told when to start if that is later."""
        return [
            replace(fire, start_at=fire.at + timedelta(seconds=late))
            if (late := jitter.delay(fire.job, fire.at, self._seed, self._dialect))
            else fire
            for fire in fires
        ]

    def add(self, claimed: Iterable[ClaimedRun]) -> list[ClaimedRun]:
        """Keep those that are to start later; the others are given back."""
        now = []
        for one in claimed:
            if one.fire.start_at:
                heapq.heappush(self._heap, (one.fire.start_at, one.run, one))
            else:
                now.append(one)
        return now

    def take(self, now: datetime) -> None:
        """Those whose time has come may start."""
        due: list[ClaimedRun] = []
        while self._heap and self._heap[0][0] <= now:
            due.append(heapq.heappop(self._heap)[2])
        if due:
            self._admission.enter(due, now)

    def claim(self, fires: Sequence[Fire]) -> None:
        """Fires that start later, each at its `start_at`."""
        self.add(self._launcher.claim(fires) if fires else ())

    def catch_up(self, missed: Sequence[CatchUp], jobs: Mapping[str, Job], now: datetime) -> None:
        """Claim what was missed and is to run all the same, in order, one a second."""
        start = max([now, *(at + SPACE for at, _, one in self._heap if one.fire.trigger == "catch-up")])
        fires: list[Fire] = []
        for one in sorted(missed, key=lambda one: one.fire.at):
            if job := jobs.get(one.key):
                at = start + len(fires) * SPACE
                wall, fold = one.fire.wall, one.fire.fold
                fires.append(Fire(job, one.fire.at, wall, fold, one.era, "catch-up", start_at=at))
        self.claim(fires)

    def restore(self, jobs: Mapping[str, Job], now: datetime) -> None:
        """What waited when the daemon before ended; of a job that is gone it will not run, which is said."""
        gone, start = [], now
        for left in self._ledger.waiting():
            at = now if left.start_at is None else datetime.fromtimestamp(left.start_at, UTC)
            if left.trigger == "catch-up" and left.start_at is not None:
                at, start = start, start + SPACE
            job = jobs.get(left.key)
            if job is None:
                gone.append((left.id, GONE))
                continue
            fire = Fire(
                job,
                datetime.fromtimestamp(left.fire, UTC),
                left.wall,
                left.fold,
                left.era,
                left.trigger,
                start_at=at,
                attempt=left.attempt,
            )
            self.add([ClaimedRun(fire, left.id, waits=True)])
        self._ledger.settle(gone, "skipped", now)

    def replace(self, jobs: Mapping[str, Job], now: datetime) -> None:
        """The jobs that are loaded now: what waits of others will not run, what waits of one that has changed
        is of the new one.
        """
        gone = [one for _, _, one in self._heap if one.fire.job.key not in jobs]
        self._heap = [place for place in self._heap if place[2].fire.job.key in jobs]
        heapq.heapify(self._heap)
        for _, _, one in self._heap:
            one.fire = replace(one.fire, job=jobs[one.fire.job.key])
        self._admission.close([(one, GONE) for one in gone], "skipped", now)
