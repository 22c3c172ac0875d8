"""Runs that are ended by us: TERM to the process group, after a grace time KILL, then to all that is left."""

import signal
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pycrond import clock
from pycrond.host import procfs
from pycrond.host.cgroup import ResourceLimits
from pycrond.jobs.run import Fire, State
from pycrond.ledger.writer import Ledger
from pycrond.output.delivery import Delivery
from pycrond.runs.active import NEVER, ActiveRun, ActiveRuns
from pycrond.runs.command import marks


@dataclass(frozen=True, slots=True)
class _LeftBehind:
    """What a run may have left running, and when that is to be killed: never, where it ended by itself."""

    run: int
    fire: Fire
    at: float


class Termination:
    """Whose time is over, by themselves or by order."""

    def __init__(
        self, ledger: Ledger, deliveries: Delivery, runs: ActiveRuns, limits: ResourceLimits
    ) -> None:
        self._ledger = ledger
        self._delivery = deliveries
        self._runs = runs
        self._limits = limits
        self._to_look_at: list[_LeftBehind] = []
        self._to_kill: list[_LeftBehind] = []

    def end(
        self, several: Iterable[ActiveRun], state: State, reason: str, number: int = signal.SIGTERM
    ) -> int:
        """TERM, or another signal, now; KILL after each one's grace. What is being ended already goes on so.
        Returns how many were.
        """
        begun = []
        for running in several:
            if running.ended_by is None and self._runs.signal(running, number):
                running.ended_by = (state, reason)
                grace = running.fire.job.entry.options.grace
                self._runs.act_when(running, clock.elapsed() + grace)
                begun.append(running)
        # So that a daemon which comes after this one knows whose hand it was.
        self._ledger.note([(one.run, reason) for one in begun])
        return len(begun)

    def note_signal(self, several: Iterable[ActiveRun], reason: str) -> None:
        """They were sent a signal by hand that ends most programs: nothing more is done to them."""
        for running in several:
            running.signalled = reason
        self._ledger.note([(one.run, reason) for one in several if one.ended_by is None])

    def tick(self, elapsed: float) -> None:
        """End what has run for too long; kill what has had its grace."""
        self._limits.tidy()
        if elapsed >= self._runs.act_at:
            self._act(elapsed)
        if self._to_look_at:
            self._look()
        if self._to_kill and elapsed >= min(one.at for one in self._to_kill):
            self._kill([one for one in self._to_kill if elapsed >= one.at])

    def _act(self, elapsed: float) -> None:
        late = [one for one in self._runs.living.values() if elapsed >= one.act_at]
        for running in late:
            running.act_at = NEVER
            if running.ended_by is None:
                timeout = running.fire.job.entry.options.timeout
                self.end([running], "timed-out", f"timeout: it ran for more than {timeout:g} s")
            else:
                self._runs.signal(running, signal.SIGKILL)
                self._to_kill.append(_LeftBehind(running.run, running.fire, elapsed))
        self._runs.act_at = min((one.act_at for one in self._runs.living.values()), default=NEVER)

    def over(self, running: ActiveRun) -> None:
        """A main process has ended. What it left behind has the rest of its grace, if we ended it."""
        if running.ended_by:
            at = running.act_at if running.act_at != NEVER else 0.0
            self._to_look_at.append(_LeftBehind(running.run, running.fire, at))
        elif running.output.reader >= 0:  # somebody has it open still
            self._to_look_at.append(_LeftBehind(running.run, running.fire, NEVER))
        else:
            self._limits.remove(running.run)

    def _look(self) -> None:
        """Who has left something: that of a normal end is left alone, and told of."""
        remains, self._to_look_at = self._to_look_at, []
        left = self._left(remains)
        for one in remains:
            pids = left.get(one.run, [])
            if pids and one.at != NEVER:
                self._to_kill.append(one)
                continue
            self._limits.remove(one.run)
            if pids:
                detail = f"{_name(one)} left {_processes(pids)} running: {' '.join(map(str, pids))}"
                self._delivery.say("LEFT", detail, clock.now(), level="notice")

    def _left(self, several: Iterable[_LeftBehind]) -> dict[int, list[int]]:
        """The pids of what runs left running, by run."""
        found, unknown = {}, {}
        for one in several:
            members = self._limits.members(one.run)
            if members is None:
                unknown[one.run] = marks(one.run, one.fire, self._limits.state_dir)
            else:
                found[one.run] = members
        return found | (procfs.marked(unknown, ours=self._runs.has_keeper) if unknown else {})

    def _kill(self, due: Sequence[_LeftBehind]) -> None:
        """KILL to all of a run that is left, in its group or out of it."""
        self._to_kill = [one for one in self._to_kill if one not in due]
        left = self._left(due)
        for one in due:
            pids = left.get(one.run, [])
            if not self._limits.kill(one.run):
                procfs.kill(pids, marks(one.run, one.fire, self._limits.state_dir))
            self._limits.remove(one.run)
            if pids:
                detail = f"{_name(one)}: {_processes(pids)} of run {one.run} killed"
                self._delivery.say("KILLED", detail, clock.now(), level="notice")

    @property
    def left_to_do(self) -> bool:
        """Whether what ended runs left behind has its grace still."""
        return bool(self._to_look_at or self._to_kill)

    def retry_in(self, elapsed: float) -> float | None:
        """Seconds until `tend` has something to do; None if nothing waits."""
        first = min([self._runs.act_at, *(one.at for one in self._to_kill)])
        if self._to_look_at:
            return 0.0
        return None if first == NEVER else max(0.0, first - elapsed)


def _name(one: _LeftBehind) -> str:
    return one.fire.job.key.partition("/")[2]


def _processes(pids: Sequence[int]) -> str:
    return "1 process" if len(pids) == 1 else f"{len(pids)} processes"
