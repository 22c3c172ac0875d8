"""stop, restart: the daemon's end, and its rebirth in place."""

import argparse
import contextlib
import os
import select
import signal
import time

from pycrond.cli.commands.control import (
    NO_SOCKET,
    PATIENCE,
    RETRY,
    keeper_socket,
    say_to_keeper,
    say_what_is_loaded,
    start_daemon,
)
from pycrond.cli.settings_layers import configured, recorded
from pycrond.control import protocol
from pycrond.errors import NotRunningError, PycrondError
from pycrond.host import pidfile
from pycrond.keeper import start
from pycrond.settings import Settings, to_arguments
from pycrond.text import counted


def stop(wanted: argparse.Namespace) -> int:
    """Ask the keeper to stop the daemon, and wait until that is gone, and the keeper if no job runs on."""
    settings = configured(wanted)
    pid = pidfile.read_pid(settings.pidfile)
    asked = (wanted.wait is not None or wanted.kill_jobs) and _when_idle(settings, wanted)
    try:
        left = stop_daemon(settings)
    except NotRunningError:
        if not asked:
            raise
        left = 0
    running = f"; {counted(left, 'job')} still running, for the next start to take over" if left else ""
    print(f"pycrond stopped{f', pid {pid}' if pid else ''}{running}")
    return 1 if left and wanted.wait is not None else 0


def _when_idle(settings: Settings, wanted: argparse.Namespace) -> bool:
    """Have nothing more started, and wait until nothing runs, or as long as `wanted`; False: no daemon."""
    path = os.path.join(settings.runtime_dir, "control.sock")
    give_up = time.monotonic() + wanted.wait if wanted.wait else None
    try:
        before = protocol.ask(path, {"command": "stop", "kill": wanted.kill_jobs})
    except NotRunningError:
        return False
    with contextlib.suppress(NotRunningError):  # it has ended
        while protocol.ask(path, {"command": "status"})["start"] == before["start"]:
            if give_up and time.monotonic() >= give_up:
                break
            time.sleep(RETRY)
    return True


def stop_daemon(settings: Settings) -> int:
    """Until the daemon that is there now is gone, and the keeper if nothing is left to it: how many jobs are.

    A daemon that is started after it is none of our business.
    """
    give_up = time.monotonic() + PATIENCE
    asked: tuple[int, int] | None = None
    while start.is_locked(settings.state_dir):
        keeper = _socket_identity(settings)
        if asked and keeper not in {asked, NO_SOCKET}:
            return 0
        if not asked and (left := _ask_to_stop(settings)) is not None:
            if left:
                return left
            asked = keeper
        if time.monotonic() > give_up:
            raise PycrondError(f"{settings.state_dir}/lock is still held")
        time.sleep(RETRY)
    if not asked:
        raise NotRunningError("pycrond is not running")
    return 0


def _socket_identity(settings: Settings) -> tuple[int, int]:
    """Tells one keeper's socket from the next one's at its place."""
    try:
        status = os.stat(keeper_socket(settings))
    except FileNotFoundError:
        return NO_SOCKET
    return status.st_ino, status.st_ctime_ns


def _ask_to_stop(settings: Settings) -> int | None:
    """Return when who was asked has ended: how many jobs are left; None if nobody was there to ask."""
    try:
        answer = say_to_keeper(settings, "stop")
    except NotRunningError:
        return 0 if _stop_without_keeper(settings) else None
    kind, _, left = answer.partition(" ")
    if kind == "0" and left == "0":
        return None  # it is about to go, after another's stop
    if kind == "0":
        raise NotRunningError(f"pycrond is stopped already, {counted(int(left), 'job')} still running")
    return int(left or 0)


def _stop_without_keeper(settings: Settings) -> bool:
    """Its keeper was killed: signal the daemon itself, whose pid the locked pidfile proves."""
    pid = pidfile.locked_pid(settings.pidfile)
    if pid is None:
        return False
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    if pidfile.locked_pid(settings.pidfile) == pid:
        signal.pidfd_send_signal(process, signal.SIGTERM)
        select.select([process], [], [], PATIENCE)
    os.close(process)
    return True


def restart(wanted: argparse.Namespace) -> int:
    """In place, if the settings are the same; else stop, if there is something to stop, and start."""
    settings = configured(wanted)
    if to_arguments(settings) == recorded(settings.state_dir):
        with contextlib.suppress(NotRunningError):
            return _in_place(settings)
    with contextlib.suppress(NotRunningError):
        stop_daemon(settings)
    return start_daemon(settings)


def _in_place(settings: Settings) -> int:
    """The daemon executes the installed program, and stays who it is; NotRunningError if it cannot."""
    path = os.path.join(settings.runtime_dir, "control.sock")
    if not protocol.ask(path, {"command": "status"})["keeper"]:
        raise NotRunningError("only a new start brings a new keeper")
    before = protocol.ask(path, {"command": "restart"})
    give_up = time.monotonic() + PATIENCE
    while time.monotonic() < give_up:
        with contextlib.suppress(NotRunningError):  # in between nobody listens
            now = protocol.ask(path, {"command": "status"})
            if now["start"] != before["start"]:
                say_what_is_loaded(settings, f"pycrond restarted in place, pid {now['pid']}")
                return 0
            if now["refusals"] != before["refusals"]:
                raise PycrondError(f"not restarted, the old one goes on: {now['refused']}")
        time.sleep(RETRY)
    raise PycrondError("the daemon does not answer after its restart")
