"""What the ledger and the keeper have not been told yet of runs: that they began, that they are done with."""

from collections.abc import Container, Iterable
from datetime import UTC, datetime

from pycrond.host import procfs
from pycrond.keeper.client import KeeperClient
from pycrond.ledger.writer import Ledger
from pycrond.output.capture import Capture
from pycrond.runs.journal import Journal


class PendingWrites:
    """Told in the order in which a daemon that is killed in between leaves all that the next one needs."""

    def __init__(self, ledger: Ledger, keeping: KeeperClient, starts: Journal, outputs: Capture) -> None:
        self._ledger = ledger
        self._keeper = keeping
        self._starts = starts
        self._outputs = outputs
        self._started: list[tuple[int, int, datetime, float]] = []
        self._done: list[tuple[int, int, int]] = []

    def began(self, run: int, pid: int, at: float, late: float) -> None:
        """The ledger is to hear of a start: `at` in Unix seconds, `late` in ms."""
        self._started.append((run, pid, datetime.fromtimestamp(at, UTC), late))

    def forget(self, processes: Iterable[tuple[int, int]]) -> None:
        """Pid and start of what the keeper need not remember once the ledger has been written."""
        self._done += [(0, *process) for process in processes]

    def store_starts(self, living: Container[int]) -> None:
        """Write down what was started since the last time; before it is written how it ended. Of those whose
        pid is not among the living, /proc is not asked when they began.
        """
        if self._started:
            rows = [
                (run, pid, (procfs.start_ticks(pid) or 0) if pid in living else 0, at, late)
                for run, pid, at, late in self._started
            ]
            self._ledger.started(rows)
            self._started.clear()

    def release(self) -> None:
        """The ends have been written: they need not be noted any more, and the keeper may forget them."""
        if self._ledger.file.owes:
            return
        self._starts.forget()
        done = [*self._done, *((run, 0, 0) for run in self._outputs.closed)]
        if done:
            self._keeper.done(done)
            self._done.clear()
            self._outputs.closed.clear()
