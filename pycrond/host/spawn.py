"""The start of jobs, each in a session of its own with a FIFO for its output; signals to jobs, their ends."""

import errno
import fcntl
import marshal
import os
import resource
import signal
import socket
from collections.abc import Mapping
from typing import NamedTuple, Self

from pycrond.errors import PycrondError, os_reason
from pycrond.host.cgroup import Limits
from pycrond.host.names import User
from pycrond.host.spawner import SPAWNER
from pycrond.jobs.job import Account

NO_LIMITS = Limits()


class Launch(NamedTuple):
    """The command, environment, files and limits with which a run is started."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    directory: str
    """The working directory. Without an owner the daemon enters it: then it must not be on a mount that may
    block.
    """
    stdin: bytes
    fifo: str
    owner: Account | None = None
    """The user of the program, if the spawner starts it; None: the daemon starts it as its own user."""
    groups: tuple[int, ...] = ()
    """The groups of the owner."""
    limits: Limits = NO_LIMITS
    """The limits of the program, if it has an owner."""
    fallback: str = ""
    """The directory of a program that cannot enter `directory`; empty: that is an error."""
    umask: str = ""
    """The umask of the program, if it has an owner, as an octal number; empty: the daemon's."""
    variables: str = ""
    """The path of a file with variables, if there is an owner, as whom the file is read. After a `-`, the
    file may be missing.
    """
    output: str = ""
    """The path of a file to which the output is appended as well."""
    errors: str = ""
    """The path of the FIFO of standard error; empty: `fifo`."""


RESERVED_FDS = 64  # highest descriptors, reserved for the daemon's own files, sockets and spools
TRANSIENT_ERRORS = {*(errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.EDQUOT)}
# Signals that Python, the daemon or the shell that started it (`&`, nohup) may ignore: jobs must not.
DEFAULT_SIGNALS = (
    *(signal.SIGPIPE, signal.SIGXFSZ, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM),
)
INITIAL_FD_LIMIT = resource.getrlimit(resource.RLIMIT_NOFILE)  # soft and hard, from the start of the daemon


def raise_fd_limit() -> None:
    """Raise the daemon's limit to the hard limit: each job needs a FIFO. Jobs get the initial limit."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (INITIAL_FD_LIMIT[1], INITIAL_FD_LIMIT[1]))


def restore_fd_limit() -> None:
    """Set the initial limit again, for programs that this process executes."""
    resource.setrlimit(resource.RLIMIT_NOFILE, INITIAL_FD_LIMIT)


def make_fifo(launch: Launch, path: str = "") -> int:
    """Make a FIFO, by default that of a run, and return its reading end. Raises OSError, such as for a full
    disk.
    """
    path = path or launch.fifo
    try:
        os.mkfifo(path, 0o600)
    except FileExistsError:  # left by a run with this number in a ledger that was removed
        os.unlink(path)
        os.mkfifo(path, 0o600)
    except FileNotFoundError:  # somebody has removed the runtime directory
        os.makedirs(os.path.dirname(path), mode=0o700)
        os.mkfifo(path, 0o600)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if reader >= INITIAL_FD_LIMIT[1] - RESERVED_FDS:
        os.close(reader)
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    if launch.owner and launch.owner.uid != os.geteuid():
        try:
            os.fchown(reader, launch.owner.uid, launch.owner.gid)  # so that the job can open /dev/stderr
        except OSError:
            os.close(reader)
            raise
    return reader


def open_fifo(path: str) -> int:
    """Open the reading end of an earlier daemon's FIFO; -1 if it does not exist."""
    try:
        return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return -1


def is_transient(error: BaseException) -> bool:
    """Return whether a start failed for lack of memory, processes, descriptors or disk space: a later start
    may succeed.
    """
    cause = error if isinstance(error, OSError) else error.__cause__
    return isinstance(cause, OSError) and cause.errno in TRANSIENT_ERRORS


class Starter:
    """A context for the start of runs. Runs with an owner are started by the spawner.

    Other runs, of the daemon's own user, are started by posix_spawn, which copies no page tables. It sets
    neither directory nor limit, so they are set for this process, which has one thread. Nothing else may open
    files in this context.
    """

    def __init__(self) -> None:
        self._directory = "/"  # the current one

    def __enter__(self) -> Self:
        # One SIGCHLD after all starts is enough.
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
        restore_fd_limit()
        return self

    def __exit__(self, *_: object) -> None:
        try:
            raise_fd_limit()
            os.chdir("/")
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)

    def start(self, launch: Launch) -> int:
        """Start a run and return its pid. Raises PycrondError or OSError; see `is_transient`."""
        if not launch.owner and launch.directory != self._directory:
            self._enter(launch)
        stdin = _memfd(launch.stdin) if launch.stdin else None
        try:
            if launch.owner:
                return _start_as(launch.owner, launch, stdin)
            return _spawn(launch, os.devnull if stdin is None else f"/proc/self/fd/{stdin}")
        finally:
            if stdin is not None:
                os.close(stdin)

    def _enter(self, launch: Launch) -> None:
        try:
            os.chdir(as_bytes(launch.directory))
        except OSError as error:
            if not launch.fallback:
                reason = f"cannot enter directory {launch.directory}: {os_reason(error)}"
                raise PycrondError(reason) from error
            os.chdir(as_bytes(launch.fallback))
        self._directory = launch.directory


def _start_as(owner: Account, launch: Launch, stdin: int | None) -> int:
    """Have the spawner start a program as its user; return its pid. Raises OSError."""
    request = {
        "user": as_bytes(owner.name),
        "uid": owner.uid,
        "gid": owner.gid,
        "groups": launch.groups,
        "output": as_bytes(launch.fifo),
        "errors": as_bytes(launch.errors),
        "directory": as_bytes(launch.directory),
        "fallback": as_bytes(launch.fallback),
        "umask": as_bytes(launch.umask),
        "variables": as_bytes(launch.variables),
        **launch.limits._asdict(),
        "arguments": [as_bytes(argument) for argument in launch.arguments],
        "environment": {as_bytes(name): as_bytes(value) for name, value in launch.environment.items()},
    }
    memory = _memfd(marshal.dumps(request))
    try:
        return SPAWNER.start(memory, stdin)
    finally:
        os.close(memory)


def start_writer(user: User, path: bytes, umask: str) -> socket.socket:
    """Start a process that appends data to a file as a user; return the socket for the data. See
    `user_files.append`. Raises OSError.
    """
    output = path.decode("utf-8", "surrogateescape")
    launch = Launch((), {}, "/", b"", output, user.account, user.groups, umask=umask)
    channel, end = socket.socketpair()
    with end, Starter():
        try:
            _start_as(user.account, launch, end.fileno())
        except OSError:
            channel.close()
            raise
    return channel


def _memfd(text: bytes) -> int:
    """Return a file in memory that contains `text`. Its number may exceed the limit of a job."""
    raise_fd_limit()
    try:
        memory = os.memfd_create("text", os.MFD_CLOEXEC)
    finally:
        restore_fd_limit()
    view = memoryview(text)
    while view:
        view = view[os.pwrite(memory, view, len(text) - len(view)) :]
    return memory


def _spawn(launch: Launch, stdin: str) -> int:
    errors = (os.POSIX_SPAWN_OPEN, 2, launch.errors, os.O_RDWR, 0)
    try:
        return os.posix_spawn(
            as_bytes(launch.arguments[0]),
            [as_bytes(argument) for argument in launch.arguments],
            {as_bytes(name): as_bytes(value) for name, value in launch.environment.items()},
            # The child opens the files: it could not inherit a descriptor of ours beyond its limit.
            # For reading and writing: as a reader itself, the job gets no SIGPIPE if the daemon dies.
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, stdin, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, launch.fifo, os.O_RDWR, 0),
                errors if launch.errors else (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
            setsigmask=[],
            setsigdef=DEFAULT_SIGNALS,
        )
    except OSError as error:
        os.stat(launch.fifo)  # if a FIFO was removed, that is the reason, not the command
        os.stat(launch.errors or launch.fifo)
        raise PycrondError(f"cannot run {launch.arguments[0]}: {os_reason(error)}") from error


def make_memfd(size: int) -> int:
    """Return a file in memory for the output of a process, of at most `size` bytes."""
    memory = os.memfd_create("output", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(memory, size)
    fcntl.fcntl(memory, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK)
    return memory


def read_memfd(memory: int, size: int) -> str:
    """Return the output in a file of `make_memfd`, and close it."""
    text = os.pread(memory, size, 0)
    os.close(memory)
    return text.rstrip(b"\0").decode("utf-8", "replace")


def peek_ended_child() -> tuple[int, int] | None:
    """Return the pid and the wait(2) status of a child that has ended, but do not reap it; else None."""
    try:
        ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    if ended is None:
        return None
    exited = ended.si_code == os.CLD_EXITED
    return ended.si_pid, ended.si_status << 8 if exited else ended.si_status


def signal_group(pid: int, number: int) -> bool:
    """Send a signal to a process group; return False if that failed. Its leader `pid` must not be reaped."""
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def unread_bytes(fifo: int) -> int:
    """Return the number of bytes in a FIFO."""
    return int.from_bytes(fcntl.ioctl(fifo, 0x541B, b"\0\0\0\0"), "little")  # FIONREAD


def as_bytes(text: str) -> bytes:
    """Return the bytes of a text from a crontab, whatever the daemon's locale."""
    return text.encode("utf-8", "surrogateescape")


def fill_standard_descriptors() -> None:
    """Open /dev/null as 0, 1 and 2 if these are closed: no other file must get one of these numbers."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
