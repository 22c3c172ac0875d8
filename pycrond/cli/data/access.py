"""Access to a daemon's records and to its control socket."""

import os
import time
from collections.abc import Sequence
from typing import Any, TypeVar

from pycrond.cli.daemon_requests import Presence, ask_daemon, presence
from pycrond.cli.data.ledger_directory import ledger_directory
from pycrond.cli.data.remote import Remote
from pycrond.control.records import Records
from pycrond.errors import PycrondError
from pycrond.jobs.run import OPEN
from pycrond.ledger.rows import RunRow, SpanRow
from pycrond.ledger.shared_reader import SharedReader
from pycrond.settings import Settings
from pycrond.text import duration

RELOAD_TIMEOUT = 60.0  # seconds
POLL_INTERVAL = 0.01  # seconds
Row = TypeVar("Row", RunRow, SpanRow)


def as_present(read: SharedReader, settings: Settings, rows: list[Row], *, waits: bool = False) -> list[Row]:
    """Return rows of runs in their present state: without a daemon, the ledger does not know how open runs
    ended. `waits`: leave open runs as they are if a daemon is about to start, which will record their ends.
    """
    if not any(row.state in OPEN for row in rows):
        return rows
    daemon = presence(settings, read.daemon())
    if daemon.runs or (daemon.restarts and waits):
        return rows
    from pycrond.cli.data import present

    return present.apply(rows, present.changes(read, settings))


class LocalRecords(Records):
    """Direct access to the ledger and the spools. If no daemon runs, open runs are shown in their present
    state, not as the last daemon recorded them.
    """

    def __init__(self, settings: Settings, directory: str = "") -> None:
        """Read the ledger in `directory` instead of the state directory if it is not empty."""
        super().__init__(directory or settings.state_dir)
        self._settings = settings

    def presence(self) -> Presence:
        """Return whether a daemon runs, and the number of jobs that run without one."""
        from pycrond.cli.data import present

        daemon = presence(self._settings, self.daemon())
        left = 0 if daemon.runs else present.count_running(present.changes(self, self._settings))
        return daemon._replace(jobs_left=max(daemon.jobs_left, left))

    def _as_present(self, rows: list[RunRow]) -> list[RunRow]:
        return as_present(self, self._settings, rows, waits=self.retry_for > 0)

    def unfinished(self) -> list[RunRow]:
        """Return the ledger's unfinished runs in their present state: without a daemon, some have ended."""
        return self._as_present(super().unfinished())

    def runs(self, runs: Sequence[int]) -> list[RunRow]:
        """Return the runs with these numbers."""
        return self._as_present(super().runs(runs))

    def history(
        self,
        keys: Sequence[str] | None,
        limit: int,
        states: Sequence[str] = (),
        since: float | None = None,
        until: float | None = None,
    ) -> list[RunRow]:
        """Return runs as `SharedReader.history` does, selected by their present states."""
        if not states:
            return self._as_present(super().history(keys, limit, states, since, until))
        most = limit if limit < 0 else limit + len(super().unfinished())
        rows = self._as_present(super().history(keys, most, [*{*states, *OPEN}], since, until))
        selected = [row for row in rows if row.state in states]
        return selected if limit < 0 else selected[:limit]


Access = LocalRecords | Remote


def records(settings: Settings) -> Access:
    """Return direct access to ledger and spools if they are readable, else access through the daemon. Before
    the first start, the ledger has the jobs that a daemon would load.
    """
    directory = ledger_directory(settings)
    if directory != settings.state_dir or not _is_hidden(settings.ledger_path):
        return LocalRecords(settings, directory)
    return Remote(settings.control_socket)


def _is_hidden(path: str) -> bool:
    """Return whether this user may not read a file, or not see it; Records reports any other error."""
    try:
        os.stat(path)
    except OSError as error:
        return isinstance(error, PermissionError)
    return not os.access(path, os.R_OK)


def reload_and_wait(settings: Settings) -> dict[str, Any]:
    """Have the daemon read its crontabs, and return its status afterwards.

    The daemon reads them when no process is writing them.
    """
    before = ask_daemon(settings, "reload")
    deadline = time.monotonic() + RELOAD_TIMEOUT
    while time.monotonic() < deadline:
        time.sleep(POLL_INTERVAL)
        now = ask_daemon(settings, "status")
        if (now["start"], now["loads"]) != (before["start"], before["loads"]):
            return now
    raise PycrondError(f"timed out after {duration(RELOAD_TIMEOUT)}: the daemon has not reloaded")
