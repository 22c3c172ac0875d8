"""Fires that are claimed and start later: delayed ones, and those that were missed and are caught up."""

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from pycrond import delays
from pycrond.job import Job
from pycrond.jumps import Caught
from pycrond.ledger import Ledger
from pycrond.run import Fire
from pycrond.running import Claimed, Runs

SPACE = timedelta(seconds=1)  # between two catch-ups


class Waiting:
    """In the order in which they are to start; the ledger has them too."""

    def __init__(self, ledger: Ledger, runs: Runs, seed: str, dialect: str) -> None:
        """`seed` tells this machine from others."""
        self._ledger = ledger
        self._runs = runs
        self._seed = seed
        self._dialect = dialect
        self._heap: list[tuple[datetime, int, Claimed]] = []

    @property
    def next_at(self) -> datetime | None:
        return self._heap[0][0] if self._heap else None

    def delayed(self, fires: Iterable[Fire]) -> list[Fire]:
        """The same fires, each told when to start if that is later."""
        return [
            replace(fire, start_at=fire.at + timedelta(seconds=late))
            if (late := delays.delay(fire.job, fire.at, self._seed, self._dialect))
            else fire
            for fire in fires
        ]

    def add(self, claimed: Iterable[Claimed]) -> list[Claimed]:
        """Keep those that are to start later; the others are given back."""
        now = []
        for one in claimed:
            if one.fire.start_at:
                heapq.heappush(self._heap, (one.fire.start_at, one.run, one))
            else:
                now.append(one)
        return now

    def take(self, now: datetime) -> None:
        """Start those whose time has come. First it is written down that they may have been started."""
        due: list[Claimed] = []
        while self._heap and self._heap[0][0] <= now:
            due.append(heapq.heappop(self._heap)[2])
        if due and not self._ledger.may_start([one.run for one in due]):
            self.add(due)  # the disk is full: after a crash now they would be started again
        elif due:
            self._runs.start(due)

    def catch_up(self, missed: Sequence[Caught], jobs: Mapping[str, Job], now: datetime) -> None:
        """Claim what was missed and is to run all the same, in order, one a second."""
        start = max([now, *(at + SPACE for at, _, one in self._heap if one.fire.trigger == "catch-up")])
        fires: list[Fire] = []
        for one in sorted(missed, key=lambda one: one.fire.at):
            if job := jobs.get(one.key):
                at = start + len(fires) * SPACE
                wall, fold = one.fire.wall, one.fire.fold
                fires.append(Fire(job, one.fire.at, wall, fold, one.era, "catch-up", start_at=at))
        self.add(self._runs.claim(fires) if fires else ())

    def restore(self, jobs: Mapping[str, Job], now: datetime) -> None:
        """What waited when the daemon before ended; of a job that is gone it will not run, which is said."""
        gone, start = [], now
        for left in self._ledger.waiting():
            at = datetime.fromtimestamp(left.start_at, UTC)
            if left.trigger == "catch-up":
                at, start = start, start + SPACE
            job = jobs.get(left.key)
            if job is None:
                gone.append(left.id)
                continue
            fire = Fire(
                job,
                datetime.fromtimestamp(left.fire, UTC),
                left.wall,
                left.fold,
                left.era,
                left.trigger,
                start_at=at,
            )
            self.add([Claimed(fire, left.id, None)])
        self._ledger.skip(gone, "removed: the job is gone", now)

    def replace(self, jobs: Mapping[str, Job], now: datetime) -> None:
        """The jobs that are loaded now; what waits of others will not run."""
        gone = [one for one in self._heap if one[2].fire.job.key not in jobs]
        if gone:
            self._heap = [one for one in self._heap if one not in gone]
            heapq.heapify(self._heap)
            self._ledger.skip([run for _, run, _ in gone], "removed: the job is gone", now)
