"""The start of runs. FIFOs and cgroups are made in advance; a start that fails temporarily is retried."""

import contextlib
import functools
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from pycrond import clock
from pycrond.errors import PycrondError, os_reason
from pycrond.host import procfs, spawn
from pycrond.host.cgroup import ResourceLimits
from pycrond.host.names import User
from pycrond.host.parked_fds import parked_fds
from pycrond.host.spawn import Launch
from pycrond.host.spawner import SPAWNER
from pycrond.jobs.run import Run, State
from pycrond.keeper.client import KeeperClient
from pycrond.output.output import Output
from pycrond.runs.active import ActiveRun, ActiveRuns, EndedRun
from pycrond.runs.command import CommandBuilder
from pycrond.runs.journal import BEGINS, NOT_BEGUN, Journal, JournalEntry
from pycrond.runs.lateness import Lateness
from pycrond.runs.outcome import start_failed

RETRY_INTERVAL, RETRY_TIME = 1.0, 60.0  # seconds; for starts that fail temporarily, see `is_transient`


@dataclass(slots=True, eq=False)
class ClaimedRun:
    """A run that is in the ledger, and the command and FIFOs of its start, if they could be prepared."""

    run: Run
    launch: Launch | None = None
    readers: dict[int, int] = field(default_factory=dict)
    """The read ends of its FIFO, by run, and with `log=split` of the FIFO of standard error, by -run."""
    give_up_at: float = 0.0  # by clock.elapsed; 0 before the first try
    has_waited: bool = False  # the ledger must have its start before it is started
    turned: timedelta = timedelta(0)  # the steps of the clock while it waited

    def late(self, now: datetime) -> timedelta:
        """Return the time since its fire time."""
        return now - self.run.fire.at - self.turned


class _Start(NamedTuple):
    """The result of a start: a pid, or an error."""

    claimed: ClaimedRun
    at: datetime
    elapsed: float
    pid: int = 0
    error: Exception | None = None


class Launcher:
    """Starts claimed runs."""

    def __init__(
        self,
        output: Output,
        keeper: KeeperClient,
        active: ActiveRuns,
        journal: Journal,
        builder: CommandBuilder,
        limits: ResourceLimits,
    ) -> None:
        self._output = output
        self._keeper = keeper
        self._active = active
        self._journal = journal
        self.builder = builder
        self._limits = limits
        self.retrying: list[ClaimedRun] = []
        """Runs whose start has failed temporarily."""
        self._retry_at = 0.0
        self.trouble = ""
        """The reason why runs cannot be started at present, whatever their commands."""
        self.lateness = Lateness()

    # Before the start

    def prepare(self, claims: Sequence[ClaimedRun]) -> None:
        """Build the commands and make the FIFOs. A failure is no error yet: the start tries again."""
        now = clock.now()
        for claimed in claims:
            with contextlib.suppress(PycrondError, OSError):
                self._prepare(claimed, self.builder.user_of(claimed.run.job, now))
        self._hold(claims)

    def _prepare(self, claimed: ClaimedRun, user: User) -> Launch:
        """Build the command and make its FIFOs. Raises OSError, such as for a full disk."""
        run = claimed.run
        limits = self._limits.limits(run.job.entry.options, run.id)
        fifo = self._output.capture.path(run.id)
        launch = self.builder.build(run.fire, run.id, fifo, user, limits=limits)
        claimed.readers = {run.id: spawn.make_fifo(launch)}
        if run.job.entry.options.log == "split":
            launch = launch._replace(errors=self._output.capture.path(-run.id))
            try:
                claimed.readers[-run.id] = spawn.make_fifo(launch, launch.errors)
            except OSError:
                os.close(claimed.readers.pop(run.id))
                raise
        claimed.launch = launch
        return launch

    def _hold(self, claims: Iterable[ClaimedRun]) -> None:
        """Have the keeper hold the read ends too, before the runs are started."""
        self._keeper.hold([end for claimed in claims if claimed.launch for end in claimed.readers.items()])

    def discard(self, claims: Sequence[ClaimedRun]) -> None:
        """Undo `prepare`. The keeper releases the FIFOs immediately: a run that is prepared again has new
        ones.
        """
        held = [(claimed.run.id, 0, 0) for claimed in claims if claimed.launch]
        for claimed in claims:
            if claimed.launch:
                for reader in claimed.readers.values():
                    os.close(reader)
                claimed.launch = None
            self._output.capture.remove(claimed.run.id)
            self._limits.remove(claimed.run.id)
        self._keeper.release(held)

    # The start

    def start(self, claims: Sequence[ClaimedRun]) -> None:
        """Start the runs without any work in between; the ledger is written later."""
        ready = self._prepared(claims)
        if not ready:
            return
        ends = [(claimed.readers, number) for claimed, _ in ready for number in claimed.readers]
        with parked_fds([readers[number] for readers, number in ends]) as parked, spawn.Starter() as starter:
            starts = [self._start(starter, claimed, launch) for claimed, launch in ready]
        for (readers, number), reader in zip(ends, parked, strict=True):
            readers[number] = reader
        for start in starts:
            if start.error:
                self._not_started(start.claimed, start.error, start.at, start.elapsed)
        self._follow([start for start in starts if not start.error])

    def _prepared(self, claims: Sequence[ClaimedRun]) -> list[tuple[ClaimedRun, Launch]]:
        """Return the runs that can start, with their commands."""
        now, elapsed = clock.now(), clock.elapsed()
        new, ready = [], []
        for claimed in claims:
            try:
                user, launch = self.builder.user_of(claimed.run.job, now), claimed.launch
                if launch and launch.owner and (launch.owner, launch.groups) != (user.account, user.groups):
                    self.discard([claimed])  # it was prepared before the account changed
                    launch = None
                if launch is None:
                    launch = self._prepare(claimed, user)
                    new.append(claimed)
            except (PycrondError, OSError) as error:
                self.trouble = os_reason(error) if isinstance(error, OSError) else self.trouble
                self._not_started(claimed, error, now, elapsed)
            else:
                self.trouble = ""
                ready.append((claimed, launch))
        self._hold(new)
        return ready

    def _start(self, starter: spawn.Starter, claimed: ClaimedRun, launch: Launch) -> _Start:
        now, elapsed = clock.now(), clock.elapsed()  # of this start, for its lateness
        self._journal.note(claimed.run.id, BEGINS)
        try:
            pid = starter.start(launch)
        except (PycrondError, OSError) as error:
            self._journal.note(claimed.run.id, NOT_BEGUN)
            return _Start(claimed, now, elapsed, error=error)
        self._journal.note(claimed.run.id, JournalEntry(pid))
        return _Start(claimed, now, elapsed, pid)

    def _follow(self, starts: Sequence[_Start]) -> None:
        """Capture the output of started runs, watch for their ends, and queue the starts for the ledger."""
        outputs = self._output.begin(
            [(start.claimed.run, start.pid, start.claimed.readers, start.at.timestamp()) for start in starts]
        )
        floor_of = functools.cache(_memory_floor)
        for start, output in zip(starts, outputs, strict=True):
            run, at = start.claimed.run, start.at
            lateness = (at - run.fire.at).total_seconds() * 1000
            run.enter(State.RUNNING)
            launch = start.claimed.launch
            if launch and launch.output:
                self._output.copies.begin(output.log, spawn.as_bytes(launch.output), launch.umask)
            floor = floor_of(is_own=not (launch and launch.owner))
            active = ActiveRun(run, start.pid, output, start.elapsed, at.timestamp(), floor_kb=floor)
            self._journal.add_start(run.id, start.pid, at, lateness)
            self._active.add(active)
            self._active.add_started(active)
            if run.fire.trigger == "schedule" and not start.claimed.has_waited:
                self.lateness.add(start.elapsed, lateness)

    # Failures

    def _not_started(self, claimed: ClaimedRun, error: Exception, now: datetime, elapsed: float) -> None:
        """Retry later if the failure is temporary; otherwise the run has failed."""
        claimed.give_up_at = claimed.give_up_at or elapsed + RETRY_TIME
        if spawn.is_transient(error) and elapsed < claimed.give_up_at:
            if not self.retrying:
                self._retry_at = elapsed + RETRY_INTERVAL
            self.retrying.append(claimed)
            return
        run, outcome = claimed.run, start_failed(error)
        run.enter(outcome.state, outcome.cause)
        self._output.not_started(run, outcome, now)
        self._active.add_ended(EndedRun(run, outcome, now))
        self.discard([claimed])

    def withdraw(self, claimed: ClaimedRun) -> None:
        """Stop retrying a start."""
        self.retrying = [waiting for waiting in self.retrying if waiting is not claimed]

    def give_up(self) -> None:
        """Retry each failed start only once more."""
        for claimed in self.retrying:
            claimed.give_up_at = -1.0

    def retry(self, elapsed: float) -> None:
        """Retry the starts that have failed temporarily."""
        if self.retrying and elapsed >= self._retry_at:
            claims, self.retrying = self.retrying, []
            self._retry_at = elapsed + RETRY_INTERVAL
            settled: list[ClaimedRun] = []
            for claimed in claims:
                is_settled = self.builder.is_settled(claimed.run.job.user)
                (settled if is_settled else self.retrying).append(claimed)
            self.start(settled)

    def retry_in(self, elapsed: float) -> float | None:
        """Return the seconds until `retry` has something to do; None if nothing waits."""
        return max(0.0, self._retry_at - elapsed) if self.retrying else None


def _memory_floor(*, is_own: bool) -> int:
    """Return the most memory in KiB that a run's process has before its exec; `is_own`: without spawner."""
    return (0 if is_own else procfs.peak_memory(SPAWNER.pid)) or procfs.peak_memory(os.getpid())
