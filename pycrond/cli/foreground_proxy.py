"""A process that represents a daemon which another keeper runs, for `start --foreground`.

If a keeper was left for running jobs, it starts the daemon. A service manager, however, signals and waits for
the process that it has started: this one passes the signals on and ends with the keeper.
"""

import contextlib
import os
import select
import signal

from pycrond.control.client import connect
from pycrond.errors import PycrondError
from pycrond.host import procfs
from pycrond.host.signals import SignalPipe, unblock
from pycrond.keeper.readiness import Readiness
from pycrond.settings import Settings

STOP_TIMEOUT = 60.0  # seconds


def represent_daemon(settings: Settings, daemon: int) -> int:
    """Return 0 when the keeper of `daemon` has ended, or a signal to this process has stopped the daemon."""
    signals = SignalPipe()
    unblock()  # they were blocked before the daemon was started
    process = procfs.read_stat(daemon)
    try:
        keeper = os.pidfd_open(process.parent) if process else -1
    except ProcessLookupError:
        keeper = -1
    if keeper < 0:
        raise PycrondError(f"the daemon, pid {daemon}, has ended again; its messages in syslog say why")
    Readiness(lambda _: None, os.environ).ready(daemon)  # systemd may not know the pid of that daemon
    poll = select.poll()
    poll.register(signals, select.POLLIN)
    poll.register(keeper, select.POLLIN)
    while not any(descriptor == keeper for descriptor, _ in poll.poll()):
        received = signals.read() - {signal.SIGCHLD}
        for number in received:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(keeper, number)
        if received & {signal.SIGTERM, signal.SIGINT}:
            _wait_for_stop(settings)
            return 0
    return 0


def _wait_for_stop(settings: Settings) -> None:
    """Return when the daemon has ended: then the keeper answers, though it may stay for running jobs."""
    with (
        contextlib.suppress(PycrondError, OSError),
        connect(settings.keeper_socket, STOP_TIMEOUT) as keeper,
    ):
        keeper.sendall(b"stop")
        keeper.recv(64)
