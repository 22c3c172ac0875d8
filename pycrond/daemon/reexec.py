"""Restart in place, for upgrades: a child tries the code that is installed, then this process executes it.

Same pid, so that running jobs stay its children; the lock is never let go. Signals wait from before the exec
until the new program has its handlers.
"""

import os
import signal
import sys
from collections.abc import Sequence

from pycrond import clock
from pycrond.host import signals, spawn
from pycrond.host.poller import Poller
from pycrond.keeper.client import KeeperClient
from pycrond.output.delivery import Delivery

TRIAL_TIME = 30.0  # seconds that the new code has to show that it works
READY = b"\nready\n"  # a trial's last words, when all is well


class Reexec:
    """One restart at a time: wished for, tried, done or refused."""

    def __init__(
        self,
        arguments: Sequence[str],
        lock: int | None,
        keeping: KeeperClient,
        poller: Poller,
        deliveries: Delivery,
    ) -> None:
        """`arguments` are the settings; `lock` and the keeper's socket are handed on."""
        self._command = [sys.executable, "-P", "-X", "utf8", "-m", "pycrond.daemon", *arguments]
        self._lock = lock
        self._keeper = keeping
        self._poller = poller
        self._delivery = deliveries
        self._trial = -1  # the reading end of what it says
        self._trial_pid = 0
        self._said = b""
        self._give_up_at = 0.0
        self.is_tried = False
        """The new code has shown that it works."""
        self.refusals = 0
        self.refused = ""
        """Why the last trial failed."""

    def begin(self) -> None:
        """Try the new code. What is asked for meanwhile is the same restart."""
        if self._trial >= 0 or self.is_tried:
            return
        self._trial, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._said, self._give_up_at = b"", clock.elapsed() + TRIAL_TIME
        command = [*self._command, "--try=yes"]
        actions = [(os.POSIX_SPAWN_DUP2, writer, 1), (os.POSIX_SPAWN_DUP2, writer, 2)]
        try:
            self._trial_pid = os.posix_spawn(
                command[0], command, os.environ, file_actions=actions, setsigmask=[], setsid=True
            )
        except OSError as error:
            self._said = f"cannot run {command[0]}: {error.strerror}".encode()
        finally:
            os.close(writer)
        self._poller.register(self._trial, self._listen)

    def _listen(self) -> None:
        try:
            data = os.read(self._trial, 65536)
        except BlockingIOError:
            return
        self._said = (self._said + data)[-65536:]
        if not data:
            self._ended()

    def _ended(self) -> None:
        self._poller.unregister(self._trial)
        os.close(self._trial)
        self._trial = -1
        self.is_tried = self._said.endswith(READY)
        if not self.is_tried:
            self.refuse(self._said.decode(errors="replace").strip() or "it ended without a word")

    def refuse(self, why: str) -> None:
        """The old program goes on."""
        self.is_tried = False
        self.refusals += 1
        self.refused = why.splitlines()[-1]
        said = f"not restarted, this one goes on: {self.refused}"
        self._delivery.say("ERROR", said, clock.now(), level="err")

    def retry_in(self, elapsed: float) -> float | None:
        return max(0.0, self._give_up_at - elapsed) if self._trial >= 0 else None

    def tick(self, elapsed: float) -> None:
        """End a trial that takes too long: it is refused when its output ends."""
        if self._trial >= 0 and elapsed >= self._give_up_at:
            self._said = b"it does not come to an end"
            os.kill(self._trial_pid, signal.SIGKILL)
            self._give_up_at = elapsed + TRIAL_TIME

    def execute(self) -> None:
        """Become the new program; returns only where that cannot be."""
        self.is_tried = False
        signals.block()
        spawn.restore_descriptor_limit()
        command = [*self._command, "--after=restart"]
        if self._lock is not None:
            os.set_inheritable(self._lock, True)
            command.append(f"--lock={self._lock}")
        if not self._keeper.is_gone:
            os.set_inheritable(self._keeper.fileno(), True)
            command.append(f"--keeper={self._keeper.fileno()}")
        try:
            os.execv(command[0], command)
        except OSError as error:
            self.refuse(f"cannot execute {command[0]}: {error.strerror}")
        spawn.raise_descriptor_limit()
        signals.unblock()
