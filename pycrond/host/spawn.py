"""Starting jobs: each in a session of its own, its output in a FIFO."""

import contextlib
import errno
import fcntl
import os
import resource
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Self

from pycrond.errors import PycrondError
from pycrond.jobs.job import Account


@dataclass(frozen=True, slots=True)
class Launch:
    """All that starting a run takes."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    directory: str
    stdin: bytes
    fifo: str
    owner: Account | None = None  # where it is not the daemon's own user
    groups: tuple[int, ...] = ()  # of the owner


KEPT_BACK = 64  # descriptors that no run may have: the daemon's own files, sockets, spools
PASSING = {errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOSPC}
# What Python, the daemon or the shell that started it (`&`, nohup) ignores must not reach the job ignored.
RESET = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)
INITIAL_FD_LIMIT = resource.getrlimit(resource.RLIMIT_NOFILE)  # as they were when the daemon was started


def raise_fd_limit() -> None:
    """A thousand jobs are a thousand FIFOs: take what the hard limit gives; jobs get the old limit back."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (INITIAL_FD_LIMIT[1], INITIAL_FD_LIMIT[1]))


def restore_fd_limit() -> None:
    """As it was, for what this process executes."""
    resource.setrlimit(resource.RLIMIT_NOFILE, INITIAL_FD_LIMIT)


def make_fifo(launch: Launch) -> int:
    """Make a run's FIFO on disk: our end of it. Raises OSError where there is no room."""
    try:
        os.mkfifo(launch.fifo, 0o600)
    except FileExistsError:  # of a run with this number that belonged to a ledger now gone
        os.unlink(launch.fifo)
        os.mkfifo(launch.fifo, 0o600)
    reader = _open_reader(launch.fifo)
    if launch.owner:
        os.chown(launch.fifo, launch.owner.uid, launch.owner.gid)  # so that it may open /dev/stderr by name
    return reader


def _open_reader(fifo: str) -> int:
    """Refused while the daemon has hardly a descriptor left for itself."""
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if reader >= INITIAL_FD_LIMIT[1] - KEPT_BACK:
        os.close(reader)
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    return reader


def is_transient(error: BaseException) -> bool:
    """Whether what could not be started now may be in a while: no memory, processes, descriptors, room."""
    cause = error if isinstance(error, OSError) else error.__cause__
    return isinstance(cause, OSError) and cause.errno in PASSING


class Spawner:
    """Starts one after another, by posix_spawn, which copies no page tables. That knows no folder and no
    limit: they are set for the whole process, which has one thread, and nothing else is to be opened within.
    """

    def __init__(self) -> None:
        self._last: Launch | None = None  # whose folder is entered

    def __enter__(self) -> Self:
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})  # one of them will be enough
        restore_fd_limit()
        return self

    def __exit__(self, *_: object) -> None:
        raise_fd_limit()
        os.chdir("/")
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)

    def start(self, launch: Launch) -> int:
        """Start it: its pid. Raises PycrondError or OSError with the reason why not; see `is_transient`."""
        last, self._last = self._last, None
        if last is None or (last.directory, last.owner) != (launch.directory, launch.owner):
            _enter(launch)
        self._last = launch
        if not launch.stdin:
            return _spawn(launch, os.devnull)
        memory = _memory(launch.stdin)
        try:
            return _spawn(launch, f"/proc/self/fd/{memory}")
        finally:
            os.close(memory)


def _enter(launch: Launch) -> None:
    try:
        with _seen_as(launch):
            os.chdir(as_bytes(launch.directory))
    except OSError as error:
        raise PycrondError(f"cannot enter folder {launch.directory}: {error.strerror}") from error


@contextlib.contextmanager
def _seen_as(launch: Launch) -> Iterator[None]:
    """Reach files with the rights of the job's user: a folder that only root may enter is not for him."""
    if launch.owner is None:
        yield
        return
    groups = os.getgroups()
    os.setgroups(launch.groups)
    os.setegid(launch.owner.gid)
    os.seteuid(launch.owner.uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


def _memory(text: bytes) -> int:
    """A file in memory that holds this; its number may be beyond what a job may open."""
    raise_fd_limit()
    try:
        memory = os.memfd_create("stdin", os.MFD_CLOEXEC)
    finally:
        restore_fd_limit()
    view = memoryview(text)
    while view:
        view = view[os.write(memory, view) :]
    return memory


def _spawn(launch: Launch, stdin: str) -> int:
    try:
        return os.posix_spawn(
            as_bytes(launch.arguments[0]),
            [as_bytes(argument) for argument in launch.arguments],
            {as_bytes(name): as_bytes(value) for name, value in launch.environment.items()},
            # Opened by the child: a number of ours that its limit forbids could not be handed down.
            # Read and write: it is its own reader of last resort, so that a dead daemon gives it no SIGPIPE.
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, stdin, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, launch.fifo, os.O_RDWR, 0),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
            setsigmask=[],
            setsigdef=RESET,
        )
    except OSError as error:
        os.stat(launch.fifo)  # if somebody removed it, let us not say that the shell could not be run
        raise PycrondError(f"cannot run {launch.arguments[0]}: {error.strerror}") from error


def make_memfd(size: int) -> int:
    """A file in memory for what a process prints; beyond `size` bytes it is refused."""
    memory = os.memfd_create("said", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(memory, size)
    fcntl.fcntl(memory, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK)
    return memory


def read_memfd(memory: int, size: int) -> str:
    """What was printed to it; it is closed."""
    text = os.pread(memory, size, 0)
    os.close(memory)
    return text.rstrip(b"\0").decode("utf-8", "replace")


def open_fifo(path: str) -> int:
    """The reading end of an earlier daemon's FIFO; -1 where it is gone."""
    try:
        return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return -1


def peek_ended_child() -> tuple[int, int] | None:
    """Pid and status, as wait(2) has it, of a child that has ended and is still to be reaped."""
    try:
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    if found is None:
        return None
    exited = found.si_code == os.CLD_EXITED
    return found.si_pid, found.si_status << 8 if exited else found.si_status


def signal_group(pid: int, number: int) -> bool:
    """A signal to the process group that a run leads, whether it could be given; to be called before the
    leader is reaped.
    """
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def unread_bytes(fifo: int) -> int:
    """How much the FIFO holds, without taking it."""
    return int.from_bytes(fcntl.ioctl(fifo, 0x541B, b"\0\0\0\0"), "little")  # FIONREAD


def as_bytes(text: str) -> bytes:
    """A crontab's bytes again, whatever the daemon's locale."""
    return text.encode("utf-8", "surrogateescape")
