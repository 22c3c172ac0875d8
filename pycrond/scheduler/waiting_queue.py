"""The runs that wait for something other than a time, in lanes: runs of a lane wait for the same thing.

The end of a run wakes only the lanes that it concerns, so that a user with thousands of waiting runs does not
slow down other users.
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
    """OVERLAP: the end of a run of the job; LOCK: the lock; MAX_RUNNING: a place; NONE: space on the disk."""
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
    """The waiting runs in their lanes. Users take turns for places."""

    def __init__(self) -> None:
        self._runs: dict[int, tuple[ClaimedRun, Lane]] = {}
        self._lanes: dict[
            Lane, list[Place]
        ] = {}  # heaps; a run that has left is removed when it is the first
        self._of_job: dict[str, dict[int, ClaimedRun]] = {}
        self._of_user: Counter[str] = Counter()
        self._deadlines: list[Place] = []  # a heap of the times after which runs are too late to start
        self._woken: dict[Lane, None] = {}
        self._turns: dict[str, None] = {}  # users that wait for a place, the next user first
        self.retry_at: datetime | None = None
        """The time at which runs that wait for space on the disk are retried."""

    def __len__(self) -> int:
        return len(self._runs)

    @property
    def claims(self) -> list[ClaimedRun]:
        """The waiting runs, in the order of their fires."""
        return sorted((claimed for claimed, _ in self._runs.values()), key=_place)

    @property
    def next_at(self) -> datetime | None:
        """The time at which a run becomes too late or the disk is retried; None if there is none."""
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
        waiting_runs = self._of_job.get(claimed.run.job.key, {}).values()
        return [waiting for waiting in waiting_runs if _place(waiting) < _place(claimed)]

    def of_jobs(self, keys: Iterable[str]) -> list[ClaimedRun]:
        """Return the waiting runs of these jobs."""
        return [claimed for key in keys for claimed in self._of_job.get(key, {}).values()]

    # Adding and removing

    def add(self, claimed: ClaimedRun, lane: Lane) -> None:
        """Add a run to a lane; it leaves its previous lane."""
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
        """Note the time at which the option `within` of a run is over, for `pop_too_late`."""
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
        """Move the deadlines; the runs have the change in `ClaimedRun.turned`."""
        self._deadlines = [(at + step, run) for at, run in self._deadlines]
        if self.retry_at:
            self.retry_at += step

    # Waking

    def wake(self, lane: Lane) -> None:
        """Mark a lane, so that admission decides again about its first run."""
        if lane in self._lanes:
            self._woken[lane] = None

    def wake_places(self) -> None:
        """Wake the lanes of all users that wait for a place."""
        for user in self._turns:
            self.wake(Lane(Reason.MAX_RUNNING, user))

    def sleep(self, lane: Lane) -> None:
        """Unmark a lane: its first run cannot start, so no run of the lane can."""
        self._woken.pop(lane, None)

    def end_turn(self, user: str) -> None:
        """Let all other users have their turns before this user's next turn."""
        if user in self._turns:
            del self._turns[user]
            self._turns[user] = None

    def next_woken(self) -> tuple[ClaimedRun, Lane] | None:
        """Return the next run to decide about, with its woken lane; None if no lane is woken.

        The earliest run comes first. Lanes in which users wait for a place come after all other lanes, in the
        order of the users' turns.
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
