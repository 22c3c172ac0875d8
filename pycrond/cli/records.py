"""Where commands read what ran: in the ledger and the spools themselves, or through the daemon."""

import os
from collections.abc import Sequence
from typing import Protocol

from pycrond import detach, spool
from pycrond.cli.remote import END, Remote
from pycrond.errors import Problem
from pycrond.reader import Reader
from pycrond.rows import DaemonRow, JobRow, PauseRow, RunRow, Which
from pycrond.settings import Settings


class Records(Protocol):
    """What there is to be read; see `Reader`."""

    patience: float
    """Seconds that a daemon may be away, where it is asked."""

    def is_running(self) -> bool:
        """Whether there is a daemon."""

    def daemon(self) -> DaemonRow | None: ...
    def jobs(self) -> list[JobRow]: ...
    def problems(self) -> list[Problem]: ...
    def last_runs(self) -> dict[str, RunRow]: ...
    def running(self) -> list[RunRow]: ...
    def unfinished(self) -> list[RunRow]: ...
    def runs(self, ids: Sequence[int]) -> list[RunRow]: ...
    def after(self, run: int) -> list[RunRow]: ...
    def history(
        self,
        keys: Sequence[str] | None,
        limit: int,
        run: int | None = None,
        which: Which = Which(),  # noqa: B008 -- a tuple
    ) -> list[RunRow]: ...
    def medians(self, keys: Sequence[str] | None = None) -> dict[str, float]: ...
    def find_jobs(self, word: str) -> list[str]: ...
    def pauses(self, now: float) -> list[PauseRow]: ...
    def kept(self, run: int) -> tuple[int, int]:
        """Where the kept output of a run begins and ends."""

    def output(self, run: int, offset: int) -> bytes:
        """Some bytes of it."""

    def ends(self, runs: Sequence[int]) -> dict[int, bytes]:
        """The last bytes of the output of each."""


class Local(Reader):
    """The files themselves, with the daemon up or down."""

    CHUNK = 1 << 18

    def __init__(self, state_dir: str) -> None:
        super().__init__(state_dir)
        self._state_dir = state_dir
        self._spools = os.path.join(state_dir, "spool")
        self.patience = 0.0

    def is_running(self) -> bool:
        return detach.is_locked(self._state_dir)

    def kept(self, run: int) -> tuple[int, int]:
        return spool.kept(self._spools, run)

    def output(self, run: int, offset: int) -> bytes:
        return spool.read(self._spools, run, offset, self.CHUNK)

    def ends(self, runs: Sequence[int]) -> dict[int, bytes]:
        return {run: spool.end(self._spools, run, END) for run in runs}


def records(settings: Settings) -> Records:
    """The files where they are ours to read, else what the daemon shows of them."""
    ledger = os.path.join(settings.state_dir, "ledger")
    try:
        os.stat(ledger)
    except PermissionError:
        return Remote(control_socket(settings))
    except OSError:
        return Local(settings.state_dir)  # which says what is wrong
    return Local(settings.state_dir) if os.access(ledger, os.R_OK) else Remote(control_socket(settings))


def control_socket(settings: Settings) -> str:
    """Where the daemon listens."""
    return os.path.join(settings.runtime_dir, "control.sock")
