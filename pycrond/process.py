"""Starting jobs: each in a session of its own, its output in a FIFO; and what /proc says of a process."""

import contextlib
import errno
import fcntl
import os
import re
import resource
import signal
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import NamedTuple

from pycrond.account import Account
from pycrond.errors import PycrondError
from pycrond.run import Fire

SETPRIV, ENV = "/usr/bin/setpriv", "/usr/bin/env"
UNSAFE = re.compile(
    "(?:LD|MALLOC|GLIBC|RES|RESOLV|LC|NSS)_.*|LANG|LANGUAGE|LOC(?:ALDOMAIN|PATH)|(?:GCONV|NIS|NLS)(?:_)?PATH"
    "|GETCONF_DIR|HOSTALIASES|TMPDIR|TZ|TZDIR"
)
"""Variables that can make a program load or write files, those that ld.so(8) takes from setuid programs among
them: a user's own reach only what runs as that user, not setpriv, which is root when it begins.
"""
KEPT_BACK = 64  # descriptors that no run may have: the daemon's own files, sockets, spools
PASSING = {errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOSPC}
# What Python or the daemon ignores must not reach the job ignored; handlers are reset by exec anyway.
RESET = (signal.SIGPIPE, signal.SIGXFSZ)
DESCRIPTORS = resource.getrlimit(resource.RLIMIT_NOFILE)  # as they were when the daemon was started


@dataclass(frozen=True, slots=True)
class Launch:
    """All that starting a run takes, made ready before its minute."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    folder: str
    stdin: bytes
    fifo: str
    reader: int  # the end of the FIFO that is ours
    owner: Account | None = None  # where it is not the daemon's own user
    groups: tuple[int, ...] = ()  # of the owner


def raise_descriptor_limit() -> None:
    """A thousand jobs are a thousand FIFOs: take what the hard limit gives; jobs get the old limit back."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS[1], DESCRIPTORS[1]))


def restore_descriptor_limit() -> None:
    """As it was, for what this process executes."""
    resource.setrlimit(resource.RLIMIT_NOFILE, DESCRIPTORS)


def prepare(
    fire: Fire,
    run: int,
    account: Account,
    fifo: str,
    search_path: str,
    *,
    groups: Sequence[int] | None = None,
) -> Launch:
    """The command, environment (semantics.md 3) and standard input of a run, and its FIFO on disk.

    `groups` are those of another user than the daemon's own, which must then be root; else None.
    """
    entry = fire.job.entry
    environment = {"SHELL": "/bin/sh", "HOME": account.home, "PATH": search_path}
    environment.update(entry.environment)
    environment.update(
        LOGNAME=account.name,
        USER=account.name,
        PYCROND_JOB=fire.job.key,
        PYCROND_RUN=str(run),
        PYCROND_FIRE_TIME=fire.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        PYCROND_ATTEMPT="1",
    )
    shell = environment["SHELL"] or "/bin/sh"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(fifo)  # of a run with this number that belonged to a ledger now gone
    os.mkfifo(fifo, 0o600)
    reader = _open_reader(fifo)
    command: tuple[str, ...] = (shell, "-c", entry.command)
    folder, stdin = environment["HOME"], _bytes(entry.stdin)
    if groups is None:
        return Launch(command, environment, folder, stdin, fifo, reader)
    os.chown(fifo, account.uid, account.gid)  # so that the job may open /dev/stderr by name
    unsafe = {name: environment.pop(name) for name in list(environment) if UNSAFE.fullmatch(name)}
    if unsafe:
        command = (ENV, "--", *(f"{name}={value}" for name, value in unsafe.items()), *command)
    command = (*_becoming(account), *command)
    return Launch(command, environment, folder, stdin, fifo, reader, account, tuple(groups))


def _open_reader(fifo: str) -> int:
    """Refused while the daemon has hardly a descriptor left for itself."""
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if reader >= DESCRIPTORS[1] - KEPT_BACK:
        os.close(reader)
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    return reader


def is_passing(error: BaseException) -> bool:
    """Whether what could not be started now may be in a while: no memory, processes, descriptors, room."""
    cause = error if isinstance(error, OSError) else error.__cause__
    return isinstance(cause, OSError) and cause.errno in PASSING


def _becoming(account: Account) -> list[str]:
    """How a program is started as another user, with that user's groups and no way back: the daemon never
    changes a uid of its own but the effective one, or that user's processes could signal it.
    """
    ids = [f"--reuid={account.uid}", f"--regid={account.gid}", "--init-groups"]
    return [SETPRIV, *ids, "--inh-caps=-all", "--"]


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


def _bytes(text: str) -> bytes:
    """A crontab's bytes again, whatever the daemon's locale."""
    return text.encode("utf-8", "surrogateescape")


def start(launch: Launch) -> int:
    """Start it: its pid. Raises PycrondError or OSError with the reason why not; see `is_passing`."""
    os.stat(launch.fifo)  # if somebody removed it, let us not say that the shell could not be run
    entrance = _standard_input(launch.stdin)
    try:
        return _spawn(launch, f"/proc/self/fd/{entrance}")
    finally:
        os.close(entrance)


def _standard_input(text: bytes) -> int:
    if not text:
        return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    memory = os.memfd_create("stdin", os.MFD_CLOEXEC)
    view = memoryview(text)
    while view:
        view = view[os.write(memory, view) :]
    return memory


def _spawn(launch: Launch, entrance: str) -> int:
    """posix_spawn, which copies no page tables; folder and limit are set around it, there is one thread."""
    try:
        with _seen_as(launch):
            os.chdir(_bytes(launch.folder))
    except OSError as error:
        raise PycrondError(f"cannot enter folder {launch.folder}: {error.strerror}") from error
    resource.setrlimit(resource.RLIMIT_NOFILE, DESCRIPTORS)
    try:
        return os.posix_spawn(
            _bytes(launch.arguments[0]),
            [_bytes(argument) for argument in launch.arguments],
            {_bytes(name): _bytes(value) for name, value in launch.environment.items()},
            # Opened by the child: a number of ours that its limit forbids could not be handed down.
            # Read and write: it is its own reader of last resort, so that a dead daemon gives it no SIGPIPE.
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, entrance, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, launch.fifo, os.O_RDWR, 0),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
            setsigmask=[],
            setsigdef=RESET,
        )
    except OSError as error:
        raise PycrondError(f"cannot run {launch.arguments[0]}: {error.strerror}") from error
    finally:
        raise_descriptor_limit()
        os.chdir("/")


def open_fifo(path: str) -> int:
    """The reading end of an earlier daemon's FIFO; -1 where it is gone."""
    try:
        return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return -1


class Stat(NamedTuple):
    """Of /proc/PID/stat (proc(5)): state, parent, session, and when it began in clock ticks since boot."""

    state: str
    parent: int
    session: int
    start: int


def stat(pid: int) -> Stat | None:
    """What the process is; None if there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        return Stat(fields[0].decode(), int(fields[1]), int(fields[3]), int(fields[19]))
    except (OSError, IndexError, ValueError):
        return None


def start_ticks(pid: int) -> int | None:
    """When the process began, in clock ticks since boot; None if there is none."""
    found = stat(pid)
    return found.start if found else None


def seconds(ticks: int) -> float:
    """From boot to a process's start."""
    return ticks / os.sysconf("SC_CLK_TCK")


def end_group(pid: int, *, hard: bool) -> None:
    """TERM, or KILL, to the process group that a run leads; to be called before the leader is reaped."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL if hard else signal.SIGTERM)


def adopt(pid: int, start: int) -> int:
    """A pidfd of a process that an earlier daemon started; -1 if it is gone or the number is another's."""
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:
        return -1
    # The descriptor is opened first: a process that has this start time now is the one it holds.
    found = stat(pid)
    if found is None or found.start != start or found.state in "ZX":
        os.close(descriptor)
        return -1
    return descriptor


def exit_status(pidfd: int, pid: int, start: int) -> int | None:
    """How a process ended that was no child of ours, as wait(2) has it; None where the kernel cannot tell.

    Until its parent has reaped it, /proc/PID/stat does (field 52, to its user and root); from then on
    PIDFD_GET_INFO with PIDFD_INFO_EXIT of <linux/pidfd.h>, from Linux 6.15 on.
    """
    with contextlib.suppress(OSError), open(f"/proc/{pid}/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
        if fields[0] == b"Z" and int(fields[19]) == start:
            return int(fields[49])
    if pidfd < 0:
        return None
    info = bytearray(struct.pack("=QQ11Ii", 1 << 3, 0, *[0] * 12))
    try:
        fcntl.ioctl(pidfd, 0xC000FF0B | len(info) << 16, info)
    except OSError:
        return None
    mask, *_, code = struct.unpack("=QQ11Ii", info)
    return code if mask & 1 << 3 else None


def leaders_by_run(parent: int) -> dict[int, tuple[int, int]]:
    """Pid and start of each child of `parent` that leads the session of a run, as its environment says."""
    found: dict[int, tuple[int, int]] = {}
    try:
        with open(f"/proc/{parent}/task/{parent}/children", encoding="ascii") as file:
            children = [int(word) for word in file.read().split()]
    except OSError:
        return found
    for pid in children:
        process = stat(pid)
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                run = re.search(rb"(?:^|\0)PYCROND_RUN=([0-9]{1,18})(?:\0|$)", file.read())
        except OSError:
            continue
        if run and process and process.session == pid:
            mine = (pid, process.start)
            found[int(run[1])] = min(found.get(int(run[1]), mine), mine, key=lambda one: one[1])
    return found


def waiting_bytes(fifo: int) -> int:
    """How much the FIFO holds, without taking it."""
    return int.from_bytes(fcntl.ioctl(fifo, 0x541B, b"\0\0\0\0"), "little")  # FIONREAD
