"""The running runs, and ended runs that are not written to the ledger yet."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from pycrond import clock
from pycrond.host import procfs, spawn
from pycrond.jobs.job import Job
from pycrond.jobs.run import Outcome, Run
from pycrond.output.capture import CapturedOutput
from pycrond.runs.policy import lock_of

NEVER = float("inf")


@dataclass(slots=True, eq=False)
class ActiveRun:
    """A running run. Times are those of `clock.elapsed` unless noted otherwise."""

    run: Run
    pid: int
    output: CapturedOutput
    began: float | None = None  # None for an adopted run
    began_at: float | None = None  # Unix seconds
    start: int = 0  # start time of an adopted run's process, in clock ticks since boot
    pidfd: int = -1  # of an adopted run whose process is not our child
    is_being_ended: bool = False  # pycrond is ending it, for `run.cause`
    floor_kb: int | None = None  # memory that its process may have had before its exec; None if not known
    act_at: float = NEVER  # the end of its timeout or its grace
    status_due_at: float | None = None  # its process has ended; the deadline for the report of its status
    is_overdue: bool = False  # the deadline is not extended again

    def signal(self, number: int) -> bool:
        """Send a signal to the process group, unless its leader was reaped; return whether it was sent."""
        return self.status_due_at is None and spawn.signal_group(self.pid, number)

    @property
    def timeout(self) -> float | None:
        return self.run.job.entry.options.timeout

    @property
    def grace(self) -> float:
        return self.run.job.entry.options.grace


class EndedRun(NamedTuple):
    """A run that is over, or could not be started."""

    run: Run
    outcome: Outcome
    at: datetime
    duration: float | None = None  # seconds, where it was measured
    active: ActiveRun | None = None  # None for a run that could not be started


class ActiveRuns:
    """The running runs by pid, by job and by lock, with their next deadline."""

    def __init__(self) -> None:
        self.by_pid: dict[int, ActiveRun] = {}
        self.of_job: dict[str, list[ActiveRun]] = {}  # in the order of their starts
        self.lock_holders: dict[str, ActiveRun] = {}
        self.act_at = NEVER
        """No later than the earliest `act_at` of the runs."""
        self._ended_jobs: list[Job] = []
        self._started: list[ActiveRun] = []
        self._ended: list[EndedRun] = []

    @property
    def count(self) -> int:
        return len(self.by_pid)

    def add(self, active: ActiveRun) -> None:
        job = active.run.job
        self.by_pid[active.pid] = active
        self.of_job.setdefault(job.key, []).append(active)
        if lock := lock_of(job):
            self.lock_holders[lock] = active
        if active.timeout is not None:
            age = max(0.0, clock.now().timestamp() - (active.began_at or 0))
            began = active.began or clock.elapsed() - age
            self.set_act_at(active, began + active.timeout)

    def set_act_at(self, active: ActiveRun, elapsed: float) -> None:
        """Set the time at which `Termination` acts on a run."""
        active.act_at = elapsed
        self.act_at = min(self.act_at, elapsed)

    def remove(self, active: ActiveRun) -> None:
        self._ended_jobs.append(active.run.job)
        if self.by_pid.get(active.pid) is not active:
            return
        del self.by_pid[active.pid]
        key, lock = active.run.job.key, lock_of(active.run.job)
        runs = self.of_job[key]
        runs.remove(active)
        if not runs:
            del self.of_job[key]
        if lock and self.lock_holders.get(lock) is active:
            del self.lock_holders[lock]

    def rows(self) -> list[tuple[int, str, float, str, int, int, int, float | None]]:
        """Return a row for each running run, for a new ledger that has replaced a damaged ledger."""
        return [
            (
                active.run.id,
                active.run.job.key,
                active.run.fire.at.timestamp(),
                active.run.fire.trigger,
                active.run.fire.attempt,
                pid,
                active.start or procfs.start_ticks(pid) or 0,
                active.began_at,
            )
            for pid, active in self.by_pid.items()
        ]

    # Starts and ends since the last call

    def add_started(self, active: ActiveRun) -> None:
        self._started.append(active)

    def add_ended(self, ended: EndedRun) -> None:
        self._ended.append(ended)

    def take_ended_jobs(self) -> Sequence[Job]:
        """Return the job of each run that has ended: fires may wait for the end."""
        jobs, self._ended_jobs = self._ended_jobs, []
        return jobs

    def take_started(self) -> Sequence[ActiveRun]:
        started, self._started = self._started, []
        return started

    def take_ended(self) -> Sequence[EndedRun]:
        ended, self._ended = self._ended, []
        return ended
