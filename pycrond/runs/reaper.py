"""The ends of runs: children are reaped, adopted runs are watched, the keeper reports."""

import os
import resource
from datetime import datetime

from pycrond import clock
from pycrond.host import procfs, spawn
from pycrond.host.cgroup import ResourceLimits
from pycrond.host.poller import Poller
from pycrond.host.spawner import SPAWNER
from pycrond.jobs.run import Cause, Outcome, Reason, State
from pycrond.keeper.client import KeeperClient
from pycrond.output.output import Output
from pycrond.runs.active import NEVER, ActiveRun, ActiveRuns, EndedRun
from pycrond.runs.journal import Journal, JournalEntry
from pycrond.runs.outcome import judge, outcome, peak_memory, reported_outcome, start_failed

REPORT_TIMEOUT = 1.0  # seconds to wait for the keeper's report of what has ended
LAST_TIMEOUT = 10.0  # further seconds if the kernel has no status: the keeper is slow, or the clock leapt
STATUS_UNKNOWN = Outcome(
    State.UNKNOWN, Cause(Reason.STATUS_UNKNOWN, "it ended while no pycrond watched it, or the machine died")
)


class Reaper:
    """Detects the ends of processes, and turns active runs into ended runs."""

    def __init__(
        self,
        active: ActiveRuns,
        output: Output,
        keeper: KeeperClient,
        journal: Journal,
        poller: Poller,
        limits: ResourceLimits,
    ) -> None:
        self._active = active
        self._output = output
        self._keeper = keeper
        self.journal = journal
        self._poller = poller
        self._limits = limits
        self._awaited: list[ActiveRun] = []  # runs that have ended, but whose status is not reported yet
        self._other_children: list[tuple[int, int]] = []

    def reap(self, now: datetime) -> None:
        """Reap every child that has ended. Each status is in the journal before the child is reaped."""
        while (ended := spawn.peek_ended_child()) is not None:
            pid, status = ended
            active = self._active.by_pid.get(pid)
            if active and active.pidfd < 0:
                self.journal.note(active.run.id, JournalEntry(pid, status, now.timestamp()))
            _, _, usage = os.wait4(pid, 0)
            if active is None:
                self._other_children.append((pid, status))
            elif active.pidfd < 0:
                cpu = round(usage.ru_utime + usage.ru_stime, 3)
                error = SPAWNER.take_failure(pid, status)
                end = start_failed(error) if error else outcome(status, cpu, usage.ru_maxrss)
                self.end(active, end, now)

    def take_other_children(self) -> list[tuple[int, int]]:
        """Return pid and status of children that ended since the last call and do not belong to runs."""
        children, self._other_children = self._other_children, []
        return children

    # Adopted runs

    def adopt(self, active: ActiveRun) -> None:
        """Watch a running run of an earlier daemon. If it was being ended, its grace begins again, except
        after a timeout.
        """
        self._active.add(active)
        if active.run.cause.reason in {Reason.KILL, Reason.REPLACED, Reason.STOP}:
            self._active.set_act_at(active, clock.elapsed() + active.grace)
        if active.pidfd >= 0:
            self._poller.register(active.pidfd, lambda: self._adopted_ended(active))

    def await_status(self, active: ActiveRun) -> None:
        """Wait for the keeper's report about a run of an earlier daemon that has just ended."""
        self._active.add(active)
        self._await(active)

    def _await(self, active: ActiveRun) -> None:
        active.act_at = NEVER
        active.status_due_at = clock.elapsed() + (0.0 if self._keeper.is_gone else REPORT_TIMEOUT)
        keeper_start = procfs.start_ticks(os.getppid()) or 0
        active.is_overdue = 0 < active.start < keeper_start  # this keeper was not its parent
        self._awaited.append(active)

    def _adopted_ended(self, active: ActiveRun) -> None:
        """Wait for the status of a run: its parent, the keeper, has reported it or is about to."""
        self._poller.unregister(active.pidfd)
        self._await(active)
        self.read_reports()

    def read_reports(self) -> None:
        """Read the keeper's reports: the ends of adopted runs, and of processes that are not runs."""
        self._keeper.flush()
        for end in self._keeper.read_ends():
            active = self._active.by_pid.get(end.pid)
            # The start time of a run is not known if it ended while its process was searched for.
            has_no_start = active in self._awaited and not active.start if active else False
            if active and (active.start == end.start or has_no_start):
                active.start = end.start
                if active.pidfd >= 0:
                    self._poller.unregister(active.pidfd)
                if active in self._awaited:
                    self._awaited.remove(active)
                self.end(active, *reported_outcome(end, active.began_at))
            else:
                self.journal.forget_processes([(end.pid, end.start)])
        if self._keeper.is_gone and self._keeper.fileno() >= 0:
            self._poller.unregister(self._keeper)
            self._keeper.close()
            detail = "the keeper is gone: if the daemon dies, nothing starts it again or sees its runs end"
            self._output.log.write("ERROR", detail, clock.now(), level="err")

    def step(self, now: datetime, elapsed: float) -> None:
        """End runs whose status has not been reported in time."""
        self._keeper.flush()
        for active in [run for run in self._awaited if elapsed >= (run.status_due_at or 0.0)]:
            status = procfs.exit_status(active.pidfd, active.pid, active.start)
            if status is None and not (self._keeper.is_gone or active.is_overdue):
                active.status_due_at, active.is_overdue = elapsed + LAST_TIMEOUT, True
                continue
            self._awaited.remove(active)
            self.end(active, STATUS_UNKNOWN if status is None else outcome(status), now)

    def retry_in(self, elapsed: float) -> float | None:
        """Return the seconds until `step` has something to do; None if nothing waits."""
        first = min((active.status_due_at or 0.0 for active in self._awaited), default=None)
        return None if first is None else max(0.0, first - elapsed)

    # The end

    def end(self, active: ActiveRun, end: Outcome, at: datetime, duration: float | None = None) -> None:
        """End a run whose main process has ended. Its output so far is captured now; output of processes that
        it left behind is captured later.
        """
        self._active.remove(active)
        run = active.run
        peak = self._limits.peak(run.id) or peak_memory(end.max_rss_kb, _memory_floor(active))
        end = judge(end._replace(max_rss_kb=peak), run.job.entry.options.success, run.cause)
        if active.began is not None:
            duration = round(clock.elapsed() - active.began, 6)
        elif duration is None and active.began_at is not None and end.state != State.UNKNOWN:
            duration = round(max(0.0, at.timestamp() - active.began_at), 3)
        if active.pidfd >= 0:
            os.close(active.pidfd)
        run.enter(end.state, end.cause)
        self._active.add_ended(EndedRun(run, end, at, duration, active))
        self.journal.forget_processes([(active.pid, active.start)])
        self._output.end(active.output, end, duration, at)


def _memory_floor(active: ActiveRun) -> int:
    """Return the most memory in KiB that a run's process may have had before its exec. For a run of an
    earlier daemon, use the peak of this daemon, which has read the same files.
    """
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss if active.floor_kb is None else active.floor_kb
