"""The processes that an earlier daemon started: the living processes, and the ends of the others."""

import os
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from pycrond.host import procfs
from pycrond.keeper.client import ProcessEnd
from pycrond.runs.journal import LIVES, JournalEntry


class SurvivingProcess(NamedTuple):
    """A run's process: it lives, or its end is known, or neither is true."""

    pid: int
    start: int  # in clock ticks since boot; 0: not known
    pidfd: int = -1  # of a process that lives and is not our child
    is_child: bool = False  # a child of this process: the daemon has executed itself again
    end: ProcessEnd | None = None

    @property
    def lives(self) -> bool:
        return self.is_child or self.pidfd >= 0


class Survivors:
    """The processes that journal and keeper report at a daemon's start; `find` is called once a run."""

    def __init__(
        self,
        entries: Mapping[int, JournalEntry],
        ends: Iterable[ProcessEnd],
        leaders: Mapping[int, tuple[int, int]],
        dead_leaders: Collection[tuple[int, int]],
    ) -> None:
        """`entries` are the journal's, by run; `ends` were reported by keepers; `leaders` has pid and start
        time of each run's own process, as the keeper saw it when the daemon died; `dead_leaders` has pid and
        start time of the session leaders of unknown runs that were dead at that moment.
        """
        self._entries = entries
        self._leaders = leaders
        self._dead_leaders = dead_leaders
        self.ends = {(end.pid, end.start): end for end in ends}
        self._known_pids = {entry.pid for entry in entries.values()}

    def add_known(self, pids: Iterable[int]) -> None:
        """Add pids that are known to belong to other runs."""
        self._known_pids.update(pids)

    def find(self, run: int, pid: int | None, start: int | None, since: float) -> SurvivingProcess | None:
        """Return the process of a run; None if there is no trace of it.

        `pid` and `start` are None if they were not written down. The process has not started before `since`,
        in Unix seconds.
        """
        entry = self._entries.get(run)
        if pid is None and entry and entry.pid > 0:
            pid = entry.pid
            start = self._start_of(pid, since)
        elif pid is None:
            pid, start = self._leader(run)
        if not pid:
            return None
        self._known_pids.add(pid)
        end = self.ends.get((pid, start or 0))
        if not end and entry and entry.status != LIVES:
            end = ProcessEnd(pid, start or 0, entry.status, None, None, entry.at)
        if end:
            return SurvivingProcess(pid, start or 0, end=end)
        stat = procfs.read_stat(pid)
        if stat and stat.start == start and stat.parent == os.getpid():
            return SurvivingProcess(pid, stat.start, is_child=True)
        return SurvivingProcess(pid, start or 0, procfs.open_pidfd(pid, start or 0))

    def living(self, run: int) -> tuple[int, int]:
        """Return pid and start time of a run's own process at the daemon's death, if it lives; else zeros."""
        entry = self._entries.get(run)
        if not entry or entry.pid <= 0:
            return self._leader(run)
        start = procfs.start_ticks(entry.pid)
        return (entry.pid, start) if start else (0, 0)

    def _start_of(self, pid: int, since: float) -> int | None:
        """Return the start time of the process with a pid that has ended, or else of the living process."""
        ended = [end.start for end in self.ends.values() if end.pid == pid and end.at >= since]
        return ended[0] if ended else procfs.start_ticks(pid)

    def _leader(self, run: int) -> tuple[int, int]:
        """Return pid and start time of the leader of a run that was started just before its daemon died.

        Return zeros if an older leader of an unknown run was dead by then: that may have been the run's own
        process, and this leader a background process that it left behind.
        """
        pid, start = self._leaders.get(run, (0, 0))
        is_doubtful = any(
            dead_start <= start for dead, dead_start in self._dead_leaders if dead not in self._known_pids
        )
        return (0, 0) if is_doubtful else (pid, start)
