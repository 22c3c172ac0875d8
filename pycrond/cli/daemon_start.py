"""The start of a daemon: in the foreground, by a new keeper, or by the keeper that holds the lock."""

import contextlib
import errno
import os
import socket
import stat
import time
from collections.abc import Sequence

from pycrond.cli.daemon_requests import KEEPER_TIMEOUT, LOCK_POLL_INTERVAL, ask_daemon, exchange_with_keeper
from pycrond.cli.load_report import print_load_report
from pycrond.cli.settings_layers import (
    config_dir,
    record_arguments,
    record_settings,
    recorded_arguments,
    refused_crontabs,
)
from pycrond.cli.settings_origin import crontab_paths
from pycrond.cli.start_checks import check_not_running, latest_settings
from pycrond.conninfo import has_password
from pycrond.control import protocol
from pycrond.errors import PycrondError, os_reason
from pycrond.host import cgroup, safe_paths, signals
from pycrond.host.daemon_arguments import daemon_command
from pycrond.keeper import start as keeper_start
from pycrond.keeper.lock import acquire_lock, claim_runtime_dir
from pycrond.keeper.start import KeeperStart
from pycrond.settings import Settings


def start_daemon(
    settings: Settings, crontabs: str, *, foreground: bool = False, arguments: Sequence[str] = ()
) -> int:
    """Start a daemon and return the exit status once it is ready; with `foreground`, once it has ended.

    `crontabs` describes the crontab directories and their origins, for the report. `arguments` are additional
    arguments of the daemon; they are not recorded as settings.
    """
    _check_crontabs(settings)
    _make_directory(settings.state_dir, 0o700)
    _make_directory(settings.runtime_dir, 0o755)
    crontabs += _crontabs_before(settings)
    deadline = time.monotonic() + KEEPER_TIMEOUT
    while time.monotonic() < deadline:
        lock = acquire_lock(settings.state_dir)
        if foreground:
            signals.block()  # a signal that comes from now on is meant for the daemon
        start = _ask_lock_holder(settings) if lock is None else _prepare(settings, lock)
        answer = (
            start
            if isinstance(start, str)
            else _launch(start, settings, foreground=foreground, arguments=arguments)
        )
        if answer:
            pid = _started_pid(settings, answer)
            if foreground:  # another command has started the daemon, under a keeper of its own
                raise PycrondError(f"already running, pid {pid}")
            print_load_report(settings, f"pycrond started, pid {pid}", crontabs=crontabs)
            return 0
        time.sleep(LOCK_POLL_INTERVAL)  # a keeper is about to end, or does not listen yet
    raise PycrondError(
        f"{settings.lock_path} is held, but neither keeper nor daemon answers: end the process that holds it"
    )


def _check_crontabs(settings: Settings) -> None:
    if settings.system and os.geteuid():
        raise PycrondError("--system: only root can run other users' jobs")
    for directory in settings.crontabs:
        try:
            if stat.S_ISDIR(os.stat(directory).st_mode):
                continue
            reason = "it is a file; name the directory in which it is"
        except (FileNotFoundError, NotADirectoryError):
            reason = refused_crontabs() if directory == os.path.join(config_dir(), "crontabs") else ""
        except OSError as error:
            raise PycrondError(
                f"cannot read the crontab directory {directory}: {os_reason(error)}"
            ) from error
        raise PycrondError(f"no such crontab directory: {directory}{reason and f'; {reason}'}")


def _crontabs_before(settings: Settings) -> str:
    """Return a note if the latest daemon had other crontabs."""
    latest = latest_settings(settings.state_dir)
    before = crontab_paths(latest) if latest else []
    return f"; until now {', '.join(before)}" if before not in ([], crontab_paths(settings)) else ""


def _make_directory(directory: str, mode: int) -> None:
    """Make a directory unless it exists; check that the daemon's user can write there, and nobody else."""
    if os.path.isdir(directory):
        status = os.stat(directory)
        if not safe_paths.TRUST.others and (status.st_uid != os.geteuid() or status.st_mode & 0o022):
            raise PycrondError(f"{directory} must belong to the daemon's user and be writable by nobody else")
    try:
        safe_paths.make_directory(directory, mode)
    except OSError as error:
        note = ", but it is not a directory" if isinstance(error, FileExistsError) else ""
        raise PycrondError(f"cannot make {directory}: {os_reason(error)}{note}") from error
    if not os.access(directory, os.W_OK | os.X_OK, effective_ids=True):
        number = errno.EROFS if os.statvfs(directory).f_flag & os.ST_RDONLY else errno.EACCES
        raise PycrondError(f"cannot write to {directory}: {os_reason(OSError(number, os.strerror(number)))}")


def _prepare(settings: Settings, lock: int) -> KeeperStart:
    """Return the start of a new keeper, with a new listener."""
    claim_runtime_dir(settings.runtime_dir, settings.state_dir)
    listener = protocol.listen(settings.keeper_socket, 0o600)
    return KeeperStart(settings.keeper_socket, settings.state_dir, daemon_command(settings), lock, listener)


def _launch(start: KeeperStart, settings: Settings, *, foreground: bool, arguments: Sequence[str]) -> str:
    """Run in the foreground, or detach a keeper and wait for its answer."""
    record_settings(settings)
    start = start._replace(daemon=[*start.daemon, *arguments])
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

    A keeper that waits for the jobs of a stopped daemon hands over its lock and listener. The result is then
    the start of a new keeper, to which the old one, still the parent of these jobs, reports their ends.
    """
    request = "\0".join(["start", *daemon_command(settings)])
    before = recorded_arguments(settings.state_dir)
    if has_password(settings.cluster):  # a daemon that this request starts reads the password there
        record_settings(settings)
    ours, keepers = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with contextlib.suppress(PycrondError), keepers:
        answer, descriptors = exchange_with_keeper(settings, request, [keepers.fileno()])
        if len(descriptors) == 2:
            lock, listener = descriptors[0], socket.socket(fileno=descriptors[1])
            command = daemon_command(settings)
            return KeeperStart(settings.keeper_socket, settings.state_dir, command, lock, listener, ours)
        if answer:
            if answer[0] == "R":
                record_settings(settings)
            else:
                record_arguments(settings.state_dir, before)
            return answer
    ours.close()
    with contextlib.suppress(PycrondError):  # a daemon whose keeper was killed holds the lock itself
        return f"A{ask_daemon(settings, 'status', timeout=KEEPER_TIMEOUT)['pid']}"
    return ""


def _started_pid(settings: Settings, answer: str) -> int:
    """Return the pid in an answer: R is ready, A already running, F failed with a reason."""
    kind, text = answer[0], answer[1:]
    if kind == "F":
        raise PycrondError(f"not started: {text}")
    if kind == "A":
        check_not_running(settings.state_dir)
        raise PycrondError(f"already running, pid {text}")
    return int(text)
