"""Requests of commands to the daemon, and to the keeper, which also answers while no daemon runs."""

import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from pycrond.control.client import ask, connect
from pycrond.errors import NoAnswerError, NotRunningError, PycrondError
from pycrond.keeper import lock
from pycrond.settings import Settings
from pycrond.text import duration

if TYPE_CHECKING:
    from pycrond.ledger.rows import DaemonRow

DAEMON_TIMEOUT = 60.0  # seconds
STATUS_TIMEOUT = 10.0  # seconds, for commands that report a daemon that does not answer
KEEPER_TIMEOUT = 60.0  # seconds until the keeper has answered or another daemon has ended
MAX_ANSWER = 65536  # bytes
KEEPER_STATUS_TIMEOUT = 2.0  # seconds
LOCK_POLL_INTERVAL = 0.05  # seconds


def ask_daemon(
    settings: Settings, command: str, *, timeout: float = DAEMON_TIMEOUT, **values: Any
) -> dict[str, Any]:
    """Return the answer to a request; raise the error that the daemon answers, or NotRunningError."""
    return ask(settings.control_socket, {"command": command, **values}, timeout)


def ask_keeper(settings: Settings, request: str, timeout: float = KEEPER_TIMEOUT) -> str:
    """Return the answer to a request; empty if the keeper ended before it answered."""
    return exchange_with_keeper(settings, request, [], timeout)[0]


def exchange_with_keeper(
    settings: Settings, request: str, descriptors: Sequence[int], timeout: float = KEEPER_TIMEOUT
) -> tuple[str, Sequence[int]]:
    """Send a request with descriptors to the keeper; return its answer and the descriptors in the answer."""
    with connect(settings.keeper_socket, timeout) as keeper:
        try:
            socket.send_fds(keeper, [request.encode("utf-8", "surrogateescape")], descriptors)
            answer, received, _, _ = socket.recv_fds(keeper, MAX_ANSWER, 2)
        except TimeoutError as error:
            text = "it, or the daemon that it waits for, hangs or is stopped (see 'pycrond doctor')"
            raise NoAnswerError(f"the keeper has not answered for {duration(timeout)}: {text}") from error
        except OSError:
            return "", []
        return answer.decode(errors="replace").strip(), received


def count_jobs_left(settings: Settings) -> int:
    """Return the number of jobs that a stop has left running, as the keeper knows it; 0 if a daemon runs."""
    try:
        daemon, _, jobs = ask_keeper(settings, "status").partition(" ")
    except NotRunningError:
        return 0
    return int(jobs or 0) if daemon == "0" else 0


class Presence(NamedTuple):
    """The state of the daemon, or of its keeper and jobs after its end."""

    runs: bool = False
    restarts: bool = False
    """The daemon has died, and its keeper is starting it again."""
    jobs_left: int = 0
    """The number of jobs that run without a daemon."""


def presence(settings: Settings, latest: "DaemonRow | None") -> Presence:
    """Test the lock, then ask the keeper. `latest` is the latest daemon in the ledger.

    A daemon whose keeper was killed or does not answer holds the lock itself: it counts as running.
    """
    if not lock.is_locked(settings.state_dir):
        return Presence()
    try:
        daemon, _, jobs = ask_keeper(settings, "status", KEEPER_STATUS_TIMEOUT).partition(" ")
    except PycrondError:
        daemon, jobs = "", ""
    if daemon != "0":
        is_latest = not daemon or latest is None or int(daemon) == latest.pid
        return Presence(runs=is_latest, restarts=not is_latest)
    left = int(jobs or 0)
    is_stopped = latest is not None and latest.stopped_at is not None
    return Presence(restarts=not (left or is_stopped), jobs_left=left)


def is_locked(state_dir: str) -> bool:
    """Return whether a keeper or a daemon holds the lock; False if this user cannot open it."""
    try:
        return lock.is_locked(state_dir)
    except PycrondError:
        return False
