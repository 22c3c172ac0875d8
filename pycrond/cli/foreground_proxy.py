"""start --foreground beside a keeper that was left for running jobs: that one starts the daemon, and this
process stands in for it, so that whoever started it has something to signal and to wait for.
"""

import contextlib
import os
import select
import signal

from pycrond.control import protocol
from pycrond.errors import PycrondError
from pycrond.host import procfs
from pycrond.host.signals import SignalPipe, unblock
from pycrond.keeper.readiness import Readiness
from pycrond.settings import Settings

FAREWELL = 60.0  # seconds that a daemon may take to stop


def stand_in(settings: Settings, daemon: int) -> int:
    """Stay until the keeper of `daemon` has gone, or until the daemon was stopped through us; 0."""
    signals = SignalPipe()
    unblock()  # they were blocked before the daemon was asked for
    found = procfs.read_stat(daemon)
    try:
        keeper = os.pidfd_open(found.parent) if found else -1
    except ProcessLookupError:
        keeper = -1
    if keeper < 0:
        raise PycrondError(f"the daemon, pid {daemon}, has ended again")
    Readiness(lambda _said: None, os.environ).ready(daemon)  # to systemd: it may not know that daemon
    poll = select.poll()
    poll.register(signals, select.POLLIN)
    poll.register(keeper, select.POLLIN)
    while not any(descriptor == keeper for descriptor, _ in poll.poll()):
        came = signals.read() - {signal.SIGCHLD}
        for number in came:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(keeper, number)
        if came & {signal.SIGTERM, signal.SIGINT}:
            _wait_for_the_end(settings)
            return 0
    return 0


def _wait_for_the_end(settings: Settings) -> None:
    """The keeper answers when the daemon has ended; it may stay itself, for the jobs."""
    with contextlib.suppress(PycrondError, OSError):
        path = os.path.join(settings.runtime_dir, "keeper.sock")
        with protocol.connect(path, FAREWELL) as keeper:
            keeper.sendall(b"stop")
            keeper.recv(64)
