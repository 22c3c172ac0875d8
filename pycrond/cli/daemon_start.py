"""The start of a daemon: become the keeper, have a keeper made, or ask the keeper that holds the lock."""

import contextlib
import os
import socket
import time

from pycrond.cli.daemon_requests import KEEPER_TIMEOUT, LOCK_POLL_INTERVAL, ask_daemon, exchange_with_keeper
from pycrond.cli.load_report import print_load_report
from pycrond.cli.settings_layers import config_dir, record_settings
from pycrond.control import protocol
from pycrond.errors import PycrondError
from pycrond.host import cgroup, safe_paths, signals, spawn
from pycrond.host.daemon_arguments import daemon_command
from pycrond.keeper import start as keeper_start
from pycrond.keeper.start import KeeperStart
from pycrond.settings import Settings


def start_daemon(settings: Settings, *, foreground: bool = False, log_stderr: bool = False) -> int:
    """Start a daemon and return the exit status once it is ready; with `foreground`, once it has ended.

    `log_stderr`: every message also goes to standard error, without becoming a recorded setting.
    """
    spawn.fill_standard_descriptors()
    _check_crontabs(settings)
    _make_directory(settings.state_dir, 0o700)
    _make_directory(settings.runtime_dir, 0o755)
    deadline = time.monotonic() + KEEPER_TIMEOUT
    while time.monotonic() < deadline:
        lock = keeper_start.acquire_lock(settings.state_dir)
        if foreground:
            signals.block()  # a signal that comes from now on is meant for the daemon
        start = _ask_lock_holder(settings) if lock is None else _prepare(settings, lock)
        answer = (
            start
            if isinstance(start, str)
            else _launch(start, settings, foreground=foreground, log_stderr=log_stderr)
        )
        if answer:
            pid = _started_pid(answer)
            if foreground:  # another start has started it, and its keeper is not this process's
                raise PycrondError(f"already running, pid {pid}")
            print_load_report(settings, f"pycrond started, pid {pid}")
            return 0
        time.sleep(LOCK_POLL_INTERVAL)  # a keeper is about to end, or does not listen yet
    raise PycrondError(
        f"{settings.lock_path} is held, but neither keeper nor daemon answers: end the process that holds it"
    )


def _check_crontabs(settings: Settings) -> None:
    if settings.system and os.geteuid():
        raise PycrondError("--system: only root can run other users' jobs")
    for directory in settings.crontabs:
        if not os.path.isdir(directory):
            is_default = directory == os.path.join(config_dir(), "crontabs")
            refused = is_default and os.path.isdir("crontabs")
            hint = "; ./crontabs is used only if --crontabs names it, for other users can write above it"
            raise PycrondError(f"no such crontab directory: {directory}{hint if refused else ''}")


def _make_directory(directory: str, mode: int) -> None:
    """Make it unless it exists, and check that only the daemon's user can write there."""
    if os.path.isdir(directory):
        status = os.stat(directory)
        if status.st_uid != os.geteuid() or status.st_mode & 0o022:
            raise PycrondError(f"{directory} must belong to the daemon's user and be writable by nobody else")
    try:
        safe_paths.make_directory(directory, mode)
    except OSError as error:
        raise PycrondError(f"cannot make {directory}: {error.strerror}") from error
    if not os.access(directory, os.W_OK | os.X_OK):
        raise PycrondError(f"cannot write to {directory}: Permission denied")


def _prepare(settings: Settings, lock: int) -> KeeperStart:
    """Return the start of a keeper in a state directory in which there is none."""
    listener = protocol.listen(settings.keeper_socket, 0o600)
    return KeeperStart(settings.keeper_socket, settings.state_dir, daemon_command(settings), lock, listener)


def _launch(start: KeeperStart, settings: Settings, *, foreground: bool, log_stderr: bool) -> str:
    """Become the keeper's front (foreground), or have a keeper made and wait for its answer."""
    record_settings(settings)
    if log_stderr:
        start = start._replace(daemon=[*start.daemon, "--log-stderr=yes"])
    if foreground:
        cgroup.enter_leaf()
        keeper_start.run_in_foreground(start)
    ours, keepers = socket.socketpair()
    with ours:
        keeper_start.detach(start, keepers)
        for descriptor in {*start.inherited, keepers.detach()}:
            os.close(descriptor)
        with ours.makefile(encoding="utf-8", errors="replace") as lines:
            return lines.readline().strip() or "Fthe daemon ended without a message"


def _ask_lock_holder(settings: Settings) -> KeeperStart | str:
    """Return the answer of the process that holds the lock; empty if it is ending or does not listen yet.

    A keeper that waits for the jobs of a stopped daemon hands over lock and listener. It remains the parent
    of these jobs, and the new keeper, whose daemon runs as this process does, is told their ends.
    """
    request = "\0".join(["start", *daemon_command(settings)])
    ours, keepers = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with contextlib.suppress(PycrondError), keepers:
        answer, descriptors = exchange_with_keeper(settings, request, [keepers.fileno()])
        if len(descriptors) == 2:
            lock, listener = descriptors[0], socket.socket(fileno=descriptors[1])
            command = daemon_command(settings)
            return KeeperStart(settings.keeper_socket, settings.state_dir, command, lock, listener, ours)
        if answer:
            return answer
    ours.close()
    with contextlib.suppress(PycrondError):  # a daemon whose keeper was killed holds the lock itself
        return f"A{ask_daemon(settings, 'status', timeout=KEEPER_TIMEOUT)['pid']}"
    return ""


def _started_pid(answer: str) -> int:
    """Return the pid in an answer: R is ready, A already running, F failed with a reason."""
    kind, text = answer[0], answer[1:]
    if kind == "F":
        raise PycrondError(f"not started: {text}")
    if kind == "A":
        raise PycrondError(f"already running, pid {text}")
    return int(text)
