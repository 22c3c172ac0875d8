"""The runs that wait for something other than a time, by what they wait for.

An end wakes only the runs that may start because of it, so that a user with thousands of waiting runs costs
the others nothing.
"""

import heapq
from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

from pycrond.jobs.run import Cause, Reason
from pycrond.runs.launcher import ClaimedRun
from pycrond.runs.policy import lock_of


class Lane(NamedTuple):
    """The thing that runs wait for."""

    reason: Reason
    """OVERLAP: the end of a run of the job; LOCK: the lock; MAX_RUNNING: a place; NONE: the disk."""
    name: str
    """The job's key, the lock, or the user; empty for the disk."""


DISK = Lane(Reason.NONE, "")
Place = tuple[datetime, int]
"""The fire time and the number of a run: runs of a lane start in this order."""


def lane_of(claimed: ClaimedRun, cause: Cause) -> Lane:
    """Return the lane in which a run waits for this cause."""
    job = claimed.run.job
    names = {
        Reason.OVERLAP: job.key,
        Reason.LOCK: lock_of(job) or "",
        Reason.MAX_RUNNING: job.user,
        Reason.NONE: "",
    }
    return Lane(cause.reason, names[cause.reason])


class WaitingQueue:
    """Runs that wait, in lanes; users take turns where they wait for a place."""

    def __init__(self) -> None:
        self._runs: dict[int, tuple[ClaimedRun, Lane]] = {}
        self._lanes: dict[Lane, list[Place]] = {}  # heaps; runs that have left are removed when they come up
        self._of_job: dict[str, dict[int, ClaimedRun]] = {}
        self._of_user: Counter[str] = Counter()
        self._deadlines: list[Place] = []  # when runs become too late to start; a heap
        self._woken: dict[Lane, None] = {}
        self._turns: dict[str, None] = {}  # users that wait for a place, the next one first
        self.retry_at: datetime | None = None
        """When runs that a full disk holds up are tried again."""

    def __len__(self) -> int:
        return len(self._runs)

    @property
    def claims(self) -> list[ClaimedRun]:
        """The waiting runs, in the order of their fires."""
        return sorted((claimed for claimed, _ in self._runs.values()), key=_place)

    @property
    def next_at(self) -> datetime | None:
        """When a run becomes too late, or the disk is tried again."""
        while self._deadlines and self._deadlines[0][1] not in self._runs:
            heapq.heappop(self._deadlines)
        times = [self._deadlines[0][0]] if self._deadlines else []
        return min([*times, *([self.retry_at] if self.retry_at else [])], default=None)

    def count(self, key: str) -> int:
        """Return the number of waiting runs of a job."""
        return len(self._of_job.get(key, ()))

    def count_of_user(self, user: str) -> int:
        """Return the number of waiting runs of a user."""
        return self._of_user[user]

    def is_waiting(self, claimed: ClaimedRun) -> bool:
        return claimed.run.id in self._runs

    def earlier(self, claimed: ClaimedRun) -> list[ClaimedRun]:
        """Return the waiting runs of the same job with earlier fires."""
        others = self._of_job.get(claimed.run.job.key, {}).values()
        return [other for other in others if _place(other) < _place(claimed)]

    def of_jobs(self, keys: Iterable[str]) -> list[ClaimedRun]:
        """Return the waiting runs of these jobs."""
        return [claimed for key in keys for claimed in self._of_job.get(key, {}).values()]

    # Coming and going

    def add(self, claimed: ClaimedRun, lane: Lane) -> None:
        """Have a run wait in a lane; it leaves the lane in which it waits."""
        run, place = claimed.run, _place(claimed)
        if run.id not in self._runs:
            self._of_job.setdefault(run.job.key, {})[run.id] = claimed
            self._of_user[run.job.user] += 1
            self.add_deadline(claimed)
        self._runs[run.id] = (claimed, lane)
        heapq.heappush(self._lanes.setdefault(lane, []), place)
        if lane.reason is Reason.MAX_RUNNING:
            self._turns.setdefault(lane.name)

    def add_deadline(self, claimed: ClaimedRun) -> None:
        """Report a run when the time of its option `within` is over."""
        run = claimed.run
        within = run.job.entry.options.within
        if within is not None and run.fire.trigger != "manual":
            too_late = run.fire.at + claimed.turned + timedelta(seconds=within + 0.001)
            heapq.heappush(self._deadlines, (too_late, run.id))

    def remove(self, claimed: ClaimedRun) -> None:
        """Remove a run, if it waits here."""
        run = claimed.run
        if self._runs.pop(run.id, None) is None:
            return
        runs = self._of_job[run.job.key]
        del runs[run.id]
        if not runs:
            del self._of_job[run.job.key]
        self._of_user[run.job.user] -= 1
        if not self._of_user[run.job.user]:
            del self._of_user[run.job.user]

    def pop_too_late(self, now: datetime) -> list[ClaimedRun]:
        """Return the runs whose deadline has passed; each is returned once, and stays in its lane."""
        late = []
        while self._deadlines and self._deadlines[0][0] <= now:
            entry = self._runs.get(heapq.heappop(self._deadlines)[1])
            if entry:
                late.append(entry[0])
        return late

    def clock_was_turned(self, step: timedelta) -> None:
        """Move the deadlines; the runs themselves know."""
        self._deadlines = [(at + step, run) for at, run in self._deadlines]
        if self.retry_at:
            self.retry_at += step

    # Waking

    def wake(self, lane: Lane) -> None:
        """Have the first run of a lane decided about again."""
        if lane in self._lanes:
            self._woken[lane] = None

    def wake_places(self) -> None:
        """Wake the lanes of all users that wait for a place."""
        for user in self._turns:
            self.wake(Lane(Reason.MAX_RUNNING, user))

    def sleep(self, lane: Lane) -> None:
        """The first run of a lane cannot start, so none of it can."""
        self._woken.pop(lane, None)

    def served(self, user: str) -> None:
        """A run of a user has taken a place: the others have their turns before it."""
        if user in self._turns:
            del self._turns[user]
            self._turns[user] = None

    def next_woken(self) -> tuple[ClaimedRun, Lane] | None:
        """Return the first run of a woken lane; None where no lane is woken.

        The earliest run comes first, but lanes in which users wait for a place come after the others, and in
        turns.
        """
        heads = [(place, lane) for lane in [*self._woken] if (place := self._head(lane))]
        if not heads:
            return None
        by_user = {lane.name: (place, lane) for place, lane in heads if lane.reason is Reason.MAX_RUNNING}
        others = [head for head in heads if head[1].reason is not Reason.MAX_RUNNING]
        if others:
            first = min(others)
            user = self._runs[first[0][1]][0].run.job.user
            place, lane = min(first, by_user.get(user, first))  # a user's runs keep their order
        else:
            place, lane = next(by_user[user] for user in self._turns if user in by_user)
        return self._runs[place[1]][0], lane

    def _head(self, lane: Lane) -> Place | None:
        """Return the first place of a lane; an empty lane is removed."""
        heap = self._lanes.get(lane, [])
        while heap:
            entry = self._runs.get(heap[0][1])
            if entry and entry[1] == lane:
                return heap[0]
            heapq.heappop(heap)
        self._lanes.pop(lane, None)
        self._woken.pop(lane, None)
        if lane.reason is Reason.MAX_RUNNING:
            self._turns.pop(lane.name, None)
        return None


def _place(claimed: ClaimedRun) -> Place:
    return claimed.run.fire.at, claimed.run.id
