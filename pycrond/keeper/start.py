"""Becoming a daemon: the lock, the forks that leave the terminal behind, the word back that all is well."""

import contextlib
import fcntl
import os
import signal
import socket
import sys

from pycrond.errors import PycrondError
from pycrond.host import signals

KEEPER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "__main__.py")
PR_SET_CHILD_SUBREAPER = 36  # <linux/prctl.h>


def take_lock(state_dir: str) -> int | None:
    """The descriptor of STATE/lock, held; None while another keeper or daemon holds it.

    The file is never unlinked: with a lock file that comes and goes, two processes can each hold "the" lock.
    """
    path = os.path.join(state_dir, "lock")
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise PycrondError(f"cannot open {path}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def keeper_command(
    lock: int, listener: socket.socket, waiter: int, *, path: str, state_dir: str, daemon: list[str]
) -> list[str]:
    """What to execute: the keeper's program on the plain interpreter, without site-packages."""
    numbers = [str(number) for number in (lock, listener.fileno(), waiter)]
    return [sys.executable, "-I", "-S", KEEPER, *numbers, path, state_dir, *daemon]


def become_keeper(command: list[str], kept: tuple[int, ...]) -> None:
    """Execute the keeper in this process, orphans of the daemon becoming its children; never returns."""
    # Set here and not in the keeper: the attribute outlives an exec, and it need not load ctypes.
    import ctypes  # noqa: PLC0415 -- `list` asks for the lock, and need not pay for this

    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    _reset_signals()
    for descriptor in kept:
        os.set_inheritable(descriptor, True)
    os.execv(command[0], command)


def detach(command: list[str], kept: tuple[int, ...], waiter: socket.socket) -> None:
    """Execute the keeper in a grandchild that has nothing of this terminal; returns in the caller at once.

    `waiter` is the socket on which the keeper, or a failure on the way to it, tells how the start went.
    """
    child = os.fork()
    if child:
        with contextlib.suppress(ChildProcessError):  # it leaves no status where SIGCHLD is ignored
            os.waitpid(child, 0)
        return
    try:
        signals.block()  # here already: from the second fork on there is a keeper whom they may be meant for
        os.setsid()
        # A second fork, so that no session leader is left: only a leader can be given a terminal.
        if os.fork():
            os._exit(0)
        os.chdir("/")
        os.umask(0o022)
        _close_all_but({*kept, waiter.fileno()})
        become_keeper(command, (*kept, waiter.fileno()))
    except BaseException as error:  # noqa: BLE001 -- nobody is left above us to be told but by the pipe
        with contextlib.suppress(OSError):
            waiter.sendall(f"F{error}\n".encode(errors="replace"))
    os._exit(1)


def _reset_signals() -> None:
    """What the shell had ignored (nohup) or blocked is not for jobs to inherit; ours stay blocked for now."""
    signal.pthread_sigmask(signal.SIG_SETMASK, signals.HANDLED)
    # SIGPIPE is Python's to ignore.
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGPIPE}:
        signal.signal(number, signal.SIG_DFL)


def _close_all_but(kept: set[int]) -> None:
    """0, 1 and 2 on /dev/null, every other descriptor closed but the `kept` ones."""
    null = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(null, standard)
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and int(name) not in kept:
            with contextlib.suppress(OSError):  # the listing's own, closed by now
                os.close(int(name))


def is_locked(state_dir: str) -> bool:
    """Whether a keeper or a daemon lives there. Asks with a shared lock, held for an instant."""
    try:
        descriptor = os.open(os.path.join(state_dir, "lock"), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise PycrondError(f"cannot open {state_dir}/lock: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)
