"""The runtime directory of a running daemon. It is created again if it is removed, as by a logout."""

import os
from datetime import datetime

from pycrond import clock
from pycrond.control.server import ControlServer
from pycrond.errors import PycrondError, os_message
from pycrond.keeper.lock import claim_runtime_dir
from pycrond.output.daemon_log import DaemonLog
from pycrond.runs.journal import Journal
from pycrond.settings import Settings

CHECK_INTERVAL = 10.0  # seconds


class RuntimeDirectory:
    """Checks the FIFOs' directory, the journal and the control socket, and creates missing ones again."""

    def __init__(self, settings: Settings, journal: Journal, server: ControlServer, log: DaemonLog) -> None:
        self._settings = settings
        self._journal = journal
        self._server = server
        self._log = log
        self._check_at = clock.elapsed() + CHECK_INTERVAL
        self._error = ""
        """The message of the last attempt; the same message is logged once."""

    def step(self, now: datetime, elapsed: float) -> None:
        """Check everything once in CHECK_INTERVAL; an idle daemon checks once a minute."""
        if elapsed < self._check_at:
            return
        self._check_at = elapsed + CHECK_INTERVAL
        has_fifos = os.path.isdir(self._settings.fifo_dir)
        if has_fifos and self._journal.is_in_place and self._server.is_in_place:
            self._error = ""
            return
        path = self._settings.runtime_dir
        try:
            os.makedirs(self._settings.fifo_dir, mode=0o700, exist_ok=True)
            claim_runtime_dir(path, self._settings.state_dir)
            self._journal.make_again()
            self._server.listen_again()
        except (OSError, PycrondError) as error:
            text = f"the runtime directory {path} was removed and cannot be made again: {os_message(error)}"
        else:
            text = f"the runtime directory {path} was removed, in part or whole, and is made again"
        if text != self._error:
            self._log.write("ERROR", text, now, level="err")
        self._error = text
