"""Restart in place, for upgrades: a child tries the installed code, then this process executes it.

The pid stays, so that running jobs stay its children, and the lock is never released. Signals are blocked
from before the exec until the new program has its handlers.
"""

import contextlib
import os
import signal
from collections.abc import Sequence

from pycrond import clock
from pycrond.errors import os_reason
from pycrond.host import signals, spawn
from pycrond.host.poller import Poller
from pycrond.keeper.client import KeeperClient
from pycrond.output.daemon_log import DaemonLog
from pycrond.text import duration

TRIAL_TIME = 30.0  # seconds in which a trial must succeed
READY = b"\nready\n"  # the end of a successful trial's output
MAX_OUTPUT = 65536  # bytes of a trial's output


class Reexec:
    """A restart: requested, tried, done or refused."""

    def __init__(
        self, command: Sequence[str], lock: int | None, keeper: KeeperClient, poller: Poller, log: DaemonLog
    ) -> None:
        """`command` is that of the daemon's program; `lock` and the keeper's socket are handed on."""
        self._command = command
        self._lock = lock
        self._keeper = keeper
        self._poller = poller
        self._log = log
        self._trial = -1  # the read end of the trial's output
        self._process = -1  # the trial's pidfd
        self._output = b""
        self._give_up_at = 0.0
        self.is_tried = False
        """True if the trial of the new code has succeeded."""
        self.refusals = 0
        self.refused = ""
        """The reason of the last refusal."""

    def begin(self) -> None:
        """Try the new code. A request that comes during a trial is the same restart."""
        if self._trial >= 0 or self.is_tried:
            return
        self._trial, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._output, self._give_up_at = b"", clock.elapsed() + TRIAL_TIME
        command = [*self._command, "--try=yes"]
        actions = [(os.POSIX_SPAWN_DUP2, writer, 1), (os.POSIX_SPAWN_DUP2, writer, 2)]
        try:
            pid = os.posix_spawn(
                command[0], command, os.environ, file_actions=actions, setsigmask=[], setsid=True
            )
            self._process = os.pidfd_open(pid)
        except OSError as error:
            self._output = f"cannot run {command[0]}: {os_reason(error)}".encode()
        finally:
            os.close(writer)
        self._poller.register(self._trial, self._read)

    def _read(self) -> None:
        try:
            data = os.read(self._trial, MAX_OUTPUT)
        except BlockingIOError:
            return
        self._output = (self._output + data)[-MAX_OUTPUT:]
        if not data:
            self._trial_ended()

    def _trial_ended(self) -> None:
        self._poller.unregister(self._trial)
        os.close(self._trial)
        if self._process >= 0:
            os.close(self._process)
        self._trial = self._process = -1
        self.is_tried = self._output.endswith(READY)
        if not self.is_tried:
            self.refuse(
                self._output.decode(errors="replace").strip() or "the new version exited without output"
            )

    def refuse(self, reason: str) -> None:
        """Continue with the old program."""
        self.is_tried = False
        self.refusals += 1
        self.refused = reason.splitlines()[-1]
        detail = f"not restarted, the old program continues: {self.refused}"
        self._log.write("ERROR", detail, clock.now(), level="err")

    def retry_in(self, elapsed: float) -> float | None:
        """Return the seconds until `step` has something to do; None while there is no trial."""
        return max(0.0, self._give_up_at - elapsed) if self._trial >= 0 else None

    def step(self, elapsed: float) -> None:
        """Kill a trial that takes too long, and refuse it."""
        if self._trial >= 0 and elapsed >= self._give_up_at:
            self._output = f"the trial did not end within {duration(TRIAL_TIME)}".encode()
            with contextlib.suppress(ProcessLookupError):  # it has ended, but its output is still open
                signal.pidfd_send_signal(self._process, signal.SIGKILL)
            self._trial_ended()

    def execute(self) -> None:
        """Execute the new program; returns only if that fails."""
        self.is_tried = False
        signals.block()
        spawn.restore_fd_limit()
        command = [*self._command, "--after=restart"]
        if self._lock is not None:
            os.set_inheritable(self._lock, True)
            command.append(f"--lock={self._lock}")
        if not self._keeper.is_gone:
            os.set_inheritable(self._keeper.fileno(), True)
            command.append(f"--keeper={self._keeper.fileno()}")
        try:
            os.execv(command[0], command)  # noqa: S606 -- this program
        except OSError as error:
            self.refuse(f"cannot execute {command[0]}: {os_reason(error)}")
        spawn.raise_fd_limit()
        signals.unblock()
