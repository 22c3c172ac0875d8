"""Termination of runs: TERM to the process group, KILL after a grace, then KILL to all other processes."""

import signal
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from pycrond import clock
from pycrond.host import procfs
from pycrond.host.cgroup import ResourceLimits
from pycrond.host.names import NAMES
from pycrond.jobs.run import Cause, Fire, Reason
from pycrond.keeper.client import KeeperClient
from pycrond.ledger.writer import Ledger
from pycrond.output.daemon_log import DaemonLog
from pycrond.runs.active import NEVER, ActiveRun, ActiveRuns
from pycrond.runs.command import marks
from pycrond.text import duration

ENDING_SIGNALS = {signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGQUIT}
"""Signals that end most programs: if a user sends one of them to a run and it fails, it was killed."""

SEARCH_TIME = 0.003  # seconds of a turn spent on the search for processes


class _LeftBehind(NamedTuple):
    """Processes that an ended run may have left, and the time to kill them: NEVER if it ended by itself."""

    run: int
    fire: Fire
    kill_at: float
    is_new: bool = False  # not searched for yet

    def is_due(self, elapsed: float) -> bool:
        return self.is_new or elapsed >= self.kill_at

    @property
    def name(self) -> str:
        return self.fire.job.display_name


class Termination:
    """Ends runs: at their timeout, or on request."""

    def __init__(
        self, ledger: Ledger, log: DaemonLog, active: ActiveRuns, keeper: KeeperClient, limits: ResourceLimits
    ) -> None:
        self._ledger = ledger
        self.log = log
        self._active = active
        self._keeper = keeper
        self._limits = limits
        self._left: list[_LeftBehind] = []
        self._searching: list[_LeftBehind] = []  # moved from that list until the search ends
        self._search = procfs.ProcessSearch({}, {}, ours=False)

    def end(self, runs: Iterable[ActiveRun], cause: Cause, number: int = signal.SIGTERM) -> None:
        """Send TERM, or another signal, now and KILL after each run's grace. Nothing changes for a run that
        is already being ended.
        """
        ending = []
        for active in runs:
            if not active.is_being_ended and active.signal(number):
                active.is_being_ended, active.run.cause = True, cause
                self._active.set_act_at(active, clock.elapsed() + active.grace)
                ending.append(active.run)
        if ending:  # the next daemon needs the cause
            self._ledger.note([(run.id, cause) for run in ending])

    def shorten_graces(self, latest: float) -> None:
        """Shorten graces that have begun to end at `latest`, also those of processes that ended runs have
        left.
        """
        for active in self._active.by_pid.values():
            if active.is_being_ended and latest < active.act_at != NEVER:
                self._active.set_act_at(active, latest)
        for waiting in (self._left, self._searching):
            waiting[:] = [
                left._replace(kill_at=min(left.kill_at, latest)) if left.kill_at != NEVER else left
                for left in waiting
            ]

    def signal(self, runs: Iterable[ActiveRun], number: int, cause: Cause) -> list[ActiveRun]:
        """Send a signal and do nothing more; return the runs that got it."""
        reached = [active for active in runs if active.signal(number)]
        if number in ENDING_SIGNALS:
            noted = [active.run for active in reached if not active.is_being_ended]
            for run in noted:
                run.cause = cause
            self._ledger.note([(run.id, cause) for run in noted])
        return reached

    def step(self, elapsed: float) -> None:
        """End runs at their timeout; kill runs whose grace is over."""
        self._limits.remove_empty()
        if elapsed >= self._active.act_at:
            self._act(elapsed)
        if not self._searching:
            self._begin_search(elapsed)
        if self._searching and self._search.step(SEARCH_TIME):
            self._end_search()

    def _act(self, elapsed: float) -> None:
        due = [active for active in self._active.by_pid.values() if elapsed >= active.act_at]
        for active in due:
            active.act_at = NEVER
            if active.is_being_ended:
                active.signal(signal.SIGKILL)
                self._left.append(_LeftBehind(active.run.id, active.run.fire, elapsed))
            else:
                details = f"it ran for more than {duration(active.timeout)}"
                self.end([active], Cause.of(Reason.TIMEOUT, details))
        self._active.act_at = min((run.act_at for run in self._active.by_pid.values()), default=NEVER)

    def run_ended(self, active: ActiveRun) -> None:
        """Search for processes that a run left. If pycrond ended the run, they have the rest of its grace."""
        run = active.run
        if active.is_being_ended:
            kill_at = active.act_at if active.act_at != NEVER else 0.0
            self._left.append(_LeftBehind(run.id, run.fire, kill_at, is_new=True))
        elif active.output.reader >= 0:  # a process still has it open
            self._left.append(_LeftBehind(run.id, run.fire, NEVER, is_new=True))
        else:
            self._limits.remove(run.id)

    def _begin_search(self, elapsed: float) -> None:
        """Begin to search for processes that ended runs left, and again for those whose grace is over."""
        self._searching = [left for left in self._left if left.is_due(elapsed)]
        self._left = [left for left in self._left if not left.is_due(elapsed)]
        by_marks = {
            left.run: marks(left.run, left.fire, self._limits.state_dir)
            for left in self._searching
            if self._limits.pids(left.run) is None
        }
        self._search = self.search(by_marks, {left.run: left.fire.job.user for left in self._searching})

    def search(
        self, marks_of: Mapping[int, Sequence[bytes]], users_of: Mapping[int, str]
    ) -> procfs.ProcessSearch:
        """Return a search for the processes of runs or hooks, by their marks and their users."""
        uids = {number: NAMES.uid_of(users_of[number]) for number in marks_of}
        return procfs.ProcessSearch(marks_of, uids, ours=not self._keeper.is_gone)

    def _end_search(self) -> None:
        searched, self._searching = self._searching, []
        for left in searched:
            members = self._limits.pids(left.run)
            pids = self._search.pids.get(left.run, []) if members is None else members
            if left.is_new:
                self._grant_grace(left, pids)
            else:
                self._kill(left, pids)

    def _grant_grace(self, left: _LeftBehind, pids: Sequence[int]) -> None:
        """Give processes that a run has left the rest of its grace. After a normal end, only log them."""
        if pids and left.kill_at != NEVER:
            self._left.append(left._replace(is_new=False))
            return
        self._limits.remove(left.run)
        if pids:
            detail = f"{left.name} left {_processes(pids)} running: {' '.join(map(str, pids))}"
            self.log.write("LEFT", detail, clock.now(), level="notice")

    def _kill(self, left: _LeftBehind, pids: Sequence[int]) -> None:
        """Send KILL to all processes that a run has left, in its process group or not."""
        if not self._limits.kill(left.run):
            procfs.kill_marked(pids, marks(left.run, left.fire, self._limits.state_dir))
        self._limits.remove(left.run)
        if pids:
            detail = f"{left.name}: {_processes(pids)} of run {left.run} killed"
            self.log.write("KILLED", detail, clock.now(), level="notice")

    @property
    def is_busy(self) -> bool:
        """Return whether processes that ended runs have left still have a grace."""
        return bool(self._left or self._searching)

    def retry_in(self, elapsed: float) -> float | None:
        """Return the seconds until `step` has something to do; None if nothing waits."""
        if self._searching or any(left.is_new for left in self._left):
            return 0.0
        first = min([self._active.act_at, *(left.kill_at for left in self._left)])
        return None if first == NEVER else max(0.0, first - elapsed)


def _processes(pids: Sequence[int]) -> str:
    return "1 process" if len(pids) == 1 else f"{len(pids)} processes"
