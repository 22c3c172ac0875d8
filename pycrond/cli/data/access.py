"""Access to a daemon's records and to its control socket."""

import os
import time
from typing import Any

from pycrond.cli.daemon_requests import ask_daemon
from pycrond.cli.data.remote import Remote
from pycrond.control.records import Records
from pycrond.errors import PycrondError
from pycrond.settings import Settings
from pycrond.text import duration

RELOAD_TIMEOUT = 60.0  # seconds
POLL_INTERVAL = 0.01  # seconds


def records(settings: Settings) -> Records:
    """The ledger and the spools themselves where they can be read, else what the daemon shows of them."""
    try:
        os.stat(settings.ledger_path)
        is_readable = os.access(settings.ledger_path, os.R_OK)
    except OSError as error:
        is_readable = not isinstance(error, PermissionError)  # Records reports any other error
    return Records(settings.state_dir) if is_readable else Remote(settings.control_socket)


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
    raise PycrondError(f"timed out after {duration(RELOAD_TIMEOUT)}: the daemon has not reloaded")
