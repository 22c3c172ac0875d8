"""Where commands read what ran: in the ledger and the spools themselves, or through the daemon."""

import os
import time
from collections.abc import Sequence
from typing import Any, Protocol

from pycrond.cli.data.remote import END, Remote
from pycrond.control import protocol
from pycrond.errors import Problem, PycrondError
from pycrond.keeper import start
from pycrond.ledger.reader import Reader
from pycrond.ledger.rows import DaemonRow, JobRow, PauseRow, RunFilter, RunRow
from pycrond.output import spool
from pycrond.settings import Settings

RELOAD_TIMEOUT = 60.0  # seconds
POLL_INTERVAL = 0.01  # seconds


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
        which: RunFilter = RunFilter(),  # noqa: B008 -- a tuple
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
        return start.is_locked(self._state_dir)

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


def reload_and_wait(settings: Settings) -> dict[str, Any]:
    """What the daemon says once it has read them, which it does when nobody is writing them."""
    before = protocol.ask(control_socket(settings), {"command": "reload"})
    give_up = time.monotonic() + RELOAD_TIMEOUT
    while time.monotonic() < give_up:
        time.sleep(POLL_INTERVAL)
        now = protocol.ask(control_socket(settings), {"command": "status"})
        if (now["start"], now["loads"]) != (before["start"], before["loads"]):
            return now
    raise PycrondError("the daemon does not come to reading its crontabs")
