"""Access to a daemon's records and to its control socket."""

import os
import time
from typing import Any

from pycrond.cli.daemon_requests import ask_daemon
from pycrond.cli.data.planned import ledger_directory
from pycrond.cli.data.remote import Remote
from pycrond.control.records import Records
from pycrond.errors import PycrondError
from pycrond.settings import Settings

RELOAD_TIMEOUT = 60.0  # seconds
POLL_INTERVAL = 0.01  # seconds


def records(settings: Settings) -> Records:
    """The ledger and the spools themselves where they can be read, else what the daemon shows of them; before
    the first start, what a daemon would load.
    """
    directory = ledger_directory(settings)
    is_readable = directory != settings.state_dir or not _is_hidden(settings.ledger_path)
    return Records(directory) if is_readable else Remote(settings.control_socket)


def _is_hidden(path: str) -> bool:
    """Return whether this user may not read a file, or not see it; Records reports any other error."""
    try:
        os.stat(path)
    except OSError as error:
        return isinstance(error, PermissionError)
    return not os.access(path, os.R_OK)


def reload_and_wait(settings: Settings) -> dict[str, Any]:
    """Have the daemon read its crontabs, and return its status afterwards.

    It reads them when nobody is writing them.
    """
    before = ask_daemon(settings, "reload")
    deadline = time.monotonic() + RELOAD_TIMEOUT
    while time.monotonic() < deadline:
        time.sleep(POLL_INTERVAL)
        now = ask_daemon(settings, "status")
        if (now["start"], now["loads"]) != (before["start"], before["loads"]):
            return now
    raise PycrondError(f"timed out after {RELOAD_TIMEOUT:.0f} s: the daemon has not reloaded")
