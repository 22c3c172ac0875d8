"""What became of the processes that an earlier daemon started, from whoever can tell."""

import os
from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from pycrond.host import procfs
from pycrond.keeper.client import ProcessEnd
from pycrond.runs.journal import LIVES, JournalEntry


class SurvivingProcess(NamedTuple):
    """A run's process: one that lives, or how it ended, or neither."""

    pid: int
    start: int  # in clock ticks since boot; 0: not known
    pidfd: int = -1  # of one that lives and is not our child
    is_child: bool = False  # ours to wait for: this process has executed itself anew
    end: ProcessEnd | None = None


class Survivors:
    """The processes that were told of at the start; asked once for each run."""

    def __init__(
        self,
        starts: Mapping[int, JournalEntry],
        ends: Iterable[ProcessEnd],
        led: Mapping[int, tuple[int, int]] = MappingProxyType({}),
        dead: Collection[tuple[int, int]] = (),
    ) -> None:
        """`starts`: processes and ends of runs that the ledger may not know; `ends` are of the keepers;
        `led`: each run's own process, as the keeper saw it when the daemon died; `dead`: those that had ended
        just then, whosever they were.
        """
        self._starts = starts
        self._led = led
        self._dead = dead
        self.ends = {(end.pid, end.start): end for end in ends}
        self._known = {noted.pid for noted in starts.values()}

    def know(self, pids: Iterable[int]) -> None:
        """Whose these are is known."""
        self._known.update(pids)

    def find(self, run: int, pid: int | None, start: int | None, since: float) -> SurvivingProcess | None:
        """The process of a run, whose pid and start may not have been written down; None without a trace.

        It has not lived before `since`, Unix seconds.
        """
        noted = self._starts.get(run)
        if pid is None and noted and noted.pid > 0:
            pid = noted.pid
            start = self._start_of(pid, since)
        elif pid is None:
            pid, start = self._leader(run)
        if not pid:
            return None
        self._known.add(pid)
        end = self.ends.get((pid, start or 0))
        if not end and noted and noted.status != LIVES:
            end = ProcessEnd(pid, start or 0, noted.status, None, None, noted.at)
        if end:
            return SurvivingProcess(pid, start or 0, end=end)
        stat = procfs.stat(pid)
        if stat and stat.start == start and stat.parent == os.getpid():
            return SurvivingProcess(pid, stat.start, is_child=True)
        return SurvivingProcess(pid, start or 0, procfs.adopt(pid, start or 0))

    def living(self, run: int) -> tuple[int, int]:
        """Pid and start of what was a run's own process when the daemon died, if that lives; else zeros."""
        noted = self._starts.get(run)
        if not noted or noted.pid <= 0:
            return self._leader(run)
        start = procfs.start_ticks(noted.pid)
        return (noted.pid, start) if start else (0, 0)

    def _start_of(self, pid: int, since: float) -> int | None:
        """Of a process whose pid alone is known: the one that ended, or else the one that lives."""
        ended = [end.start for end in self.ends.values() if end.pid == pid and end.at >= since]
        return ended[0] if ended else procfs.start_ticks(pid)

    def _leader(self, run: int) -> tuple[int, int]:
        """Of a run that was started in the instant before its daemon died; none where an older process that
        nobody knows was dead by then: that may have been the run's, and this a daemon that it left behind.
        """
        pid, start = self._led.get(run, (0, 0))
        is_doubtful = any(theirs <= start for other, theirs in self._dead if other not in self._known)
        return (0, 0) if is_doubtful else (pid, start)
