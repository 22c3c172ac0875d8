"""The stop of a daemon: by its keeper or, if the keeper was killed, by a signal."""

import os
import select
import signal
import time

from pycrond.cli.daemon_requests import KEEPER_TIMEOUT, LOCK_POLL_INTERVAL, ask_keeper
from pycrond.errors import NotRunningError, PycrondError
from pycrond.host import pidfile
from pycrond.keeper.lock import is_locked
from pycrond.settings import Settings
from pycrond.text import counted, duration

NO_SOCKET = (0, 0)
WAIT_LIMIT = 30e6  # seconds, about a year, for a daemon that waits for its jobs


def stop_daemon(settings: Settings) -> int:
    """Stop the daemon and return the number of jobs left running, once daemon and keeper have ended.

    The keeper stays while jobs run. A daemon that is started after the stopped one is not waited for.
    """
    limit = WAIT_LIMIT if settings.stop_jobs == "wait" else KEEPER_TIMEOUT + settings.stop_grace
    deadline = time.monotonic() + limit
    stopped: tuple[int, int] | None = None
    while is_locked(settings.state_dir):
        keeper = _socket_identity(settings)
        if stopped and keeper not in {stopped, NO_SOCKET}:
            return 0
        if not stopped and (left := _ask_to_stop(settings, limit)) is not None:
            if left:
                return left
            stopped = keeper
        if time.monotonic() > deadline:
            raise PycrondError(
                f"{settings.lock_path} is still held after {duration(limit)}: the daemon has not ended"
            )
        time.sleep(LOCK_POLL_INTERVAL)
    if not stopped:
        raise NotRunningError("pycrond is not running")
    return 0


def _socket_identity(settings: Settings) -> tuple[int, int]:
    """Return inode and change time of the keeper's socket; they distinguish one keeper from the next."""
    try:
        status = os.stat(settings.keeper_socket)
    except FileNotFoundError:
        return NO_SOCKET
    return status.st_ino, status.st_ctime_ns


def _ask_to_stop(settings: Settings, limit: float) -> int | None:
    """Return the number of jobs left running once the daemon has ended; None if there was nothing to stop."""
    try:
        answer = ask_keeper(settings, "stop", limit)
    except NotRunningError:
        return 0 if _stop_without_keeper(settings, limit) else None
    daemon, _, left = answer.partition(" ")
    if daemon == "0" and left == "0":
        return None  # another stop has ended the daemon, and the keeper is about to end
    if daemon == "0":
        raise NotRunningError(f"pycrond is stopped already, {counted(int(left), 'job')} still running")
    return int(left or 0)


def _stop_without_keeper(settings: Settings, limit: float) -> bool:
    """Signal a daemon whose keeper was killed, if the owner and the arguments of the process are its own."""
    pid = pidfile.daemon_pid(settings.pidfile, settings.state_dir)
    if pid is None:
        return False
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    if pidfile.daemon_pid(settings.pidfile, settings.state_dir) == pid:
        signal.pidfd_send_signal(process, signal.SIGTERM)
        select.select([process], [], [], limit)
    os.close(process)
    return True
