"""The start of the keeper: the forks that leave the terminal behind."""

import contextlib
import os
import signal
import socket
import sys
from typing import NamedTuple

from pycrond.errors import os_message
from pycrond.host import signals

KEEPER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "__main__.py")
FRONT = os.path.join(os.path.dirname(KEEPER), "foreground.py")
PR_SET_TIMERSLACK, PR_SET_CHILD_SUBREAPER = 29, 36  # <linux/prctl.h>
TIMER_SLACK = 50_000  # nanoseconds, the kernel's default


class KeeperStart(NamedTuple):
    """The arguments of a keeper; its program describes them."""

    path: str
    state_dir: str
    daemon: list[str]
    lock: int
    listener: socket.socket
    predecessor: socket.socket | None = None

    def command(
        self, *, waiter: socket.socket | None = None, front: socket.socket | None = None
    ) -> list[str]:
        """Return the keeper's command line: the plain interpreter, without site-packages."""
        ends = (self.listener, waiter, front, self.predecessor)
        numbers = [str(self.lock), *(str(end.fileno()) if end else "-1" for end in ends)]
        return [sys.executable, "-I", "-S", KEEPER, *numbers, self.path, self.state_dir, *self.daemon]

    @property
    def inherited(self) -> set[int]:
        """The descriptors that every keeper needs."""
        return {end.fileno() for end in (self.listener, self.predecessor) if end} | {self.lock}


def run_in_foreground(start: KeeperStart) -> None:
    """Execute the keeper in a child, and the front in this process. Process 1, which reaps all orphans,
    executes the keeper itself.
    """
    if os.getpid() == 1:
        become_keeper(start.command(), start.inherited)
    front_end, keeper_end = socket.socketpair()
    keeper = os.fork()
    if not keeper:
        front_end.close()
        become_keeper(start.command(front=keeper_end), {*start.inherited, keeper_end.fileno()})
    command = [sys.executable, "-I", "-S", FRONT, str(keeper), str(front_end.fileno())]
    next_start = start._replace(predecessor=None)
    become_keeper([*command, *next_start.command()], {*next_start.inherited, front_end.fileno()})


def become_keeper(command: list[str], inherited: set[int]) -> None:
    """Execute the keeper, or its front, in this process, with `inherited` descriptors. Orphans among its
    descendants become its children.
    """
    # Set before the exec, which keeps them: the keeper need not load ctypes. Jobs inherit the slack.
    import ctypes  # noqa: PLC0415 -- most commands need this module only for the lock

    prctl = ctypes.CDLL(None).prctl
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    prctl(PR_SET_TIMERSLACK, TIMER_SLACK, 0, 0, 0)
    _reset_signals()
    for descriptor in inherited:
        os.set_inheritable(descriptor, True)
    os.execv(command[0], command)  # noqa: S606 -- the keeper


def detach(start: KeeperStart, waiter: socket.socket) -> None:
    """Execute the keeper in a grandchild without this terminal, and return at once.

    The keeper reports the result of the start on `waiter`; an error before the exec is reported there too.
    """
    child = os.fork()
    if child:
        with contextlib.suppress(ChildProcessError):  # no status if SIGCHLD is ignored
            os.waitpid(child, 0)
        return
    try:
        signals.block()  # from the second fork on, signals to this pid are meant for the keeper
        os.setsid()
        # A second fork leaves no session leader: only a leader can acquire a terminal.
        if os.fork():
            os._exit(0)
        os.chdir("/")
        os.umask(0o022)
        inherited = {*start.inherited, waiter.fileno()}
        _close_all_but(inherited)
        become_keeper(start.command(waiter=waiter), inherited)
    except BaseException as error:  # noqa: BLE001 -- the caller learns of it only by the socket
        with contextlib.suppress(OSError):
            waiter.sendall(f"F{os_message(error)}\n".encode(errors="replace"))
    os._exit(1)


def _reset_signals() -> None:
    """Reset signals that the shell ignored (nohup) or blocked, so that jobs do not inherit that. The signals
    that keeper and daemon handle stay blocked.
    """
    signal.pthread_sigmask(signal.SIG_SETMASK, signals.HANDLED)
    # Python ignores SIGPIPE itself.
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGPIPE}:
        signal.signal(number, signal.SIG_DFL)


def _close_all_but(kept: set[int]) -> None:
    """Open /dev/null as 0, 1 and 2; close every other descriptor that is not in `kept`."""
    null = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(null, standard)
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and int(name) not in kept:
            with contextlib.suppress(OSError):  # the listing's own descriptor is closed already
                os.close(int(name))
