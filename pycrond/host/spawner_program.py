"""The spawner: a small process of root that starts the programs of other users at the daemon's request.

It imports nothing of pycrond, and executes nothing of a user with root's rights. For each request it makes a
process that is a child of the daemon (CLONE_PARENT, clone(2)). That process sets its limits, becomes the user
permanently, enters the user's directory and executes the program. So only the user's own process uses the
variables, directory and command that the user wrote, and a directory on a dead mount blocks nothing else.

A request is a file in memory with the attributes of `Request` in the format of `marshal`. The answer is the
pid, or an error number below 0. The process waits until the answer has been sent; if that fails, it executes
nothing, so that a daemon without an answer may try again. A process that cannot execute its program sends
`pid error-number text`, and exits with 127 or 126, as a shell does. The error number is 0 if PAM refuses.
Without root's rights, the user must be the spawner's own.

The arguments are the path of `user_files.py` and, for PAM, the path of `pam_session.py` and the service's
name.
"""

import contextlib
import ctypes
import errno
import gc
import marshal
import os
import resource
import signal
import socket
import struct
import sys
from collections.abc import Iterable, Iterator

TYPE_CHECKING = False  # not from `typing`, whose import takes memory
if TYPE_CHECKING:
    from types import ModuleType

    from pycrond.host.pam_session import Pam

    Modules = tuple[ModuleType, Pam | None]

CLONE_PARENT = 0x00008000  # <linux/sched.h>
NUMBERS: dict[str, tuple[int, int | None, int | None]] = {
    **dict.fromkeys(("aarch64", "loongarch64", "riscv64"), (220, 219, 30)),
    **dict.fromkeys(("ppc64", "ppc64le"), (120, 271, 273)),
    "s390x": (120, 280, 282),
    "x86_64": (56, 250, 251),
    "": (120, None, None),
}
"""The numbers of the system calls clone, keyctl and ioprio_set by machine: glibc has no functions for them.
An empty name stands for 32-bit programs on x86 and arm.
"""
JOIN_SESSION_KEYRING, SETPERM = 1, 5  # <linux/keyctl.h>
POSSESSOR_USES, OWNER_VIEWS = 0x0F000000, 0x00010000
"""All rights except `link` and `setattr`: with these, users could keep keyrings, which count as root's."""
REFUSED = {errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.EACCES}
"""Errors of a kernel without keys, or of a container that must not use them, and neither must its jobs."""
CAPABILITY_VERSION = 0x20080522  # <linux/capability.h>
PR_SET_DUMPABLE = 4  # <linux/prctl.h>
SIGSET_SIZE = 128  # bytes of sigset_t; the kernel's is smaller
MAX_TEXT = 200  # bytes in a message: all processes share the room for unread messages
BLOCKED = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2}
"""Signals that are meant for the daemon. The spawner ends when the daemon closes the socket."""

MACHINE = os.uname().machine if sys.maxsize > 1 << 32 else ""
CLONE, KEYCTL, IOPRIO_SET = NUMBERS.get(MACHINE, (None, None, None))
libc = ctypes.PyDLL(None, use_errno=True)  # PyDLL keeps Python's lock in a call: a new process has it, too
libc.syscall.restype = ctypes.c_long


class Request:
    """The program to start, and its user, files and limits: see `spawn.Launch` and `cgroup.Limits`."""

    user: bytes
    uid: int
    gid: int
    groups: list[int]
    output: bytes
    """The path of the FIFO of the output, or of the file if `arguments` is empty."""
    errors: bytes
    directory: bytes
    fallback: bytes
    umask: bytes
    variables: bytes
    cgroup: str
    nice: int
    io_priority: int
    resources: tuple[tuple[int, int], ...]
    arguments: list[bytes]
    """Empty: the process appends the data from its standard input to `output`."""
    environment: dict[bytes, bytes]

    def __init__(self, data: bytes) -> None:
        vars(self).update(marshal.loads(data))  # noqa: S302 -- from the daemon


def syscall(number: int | None, *arguments: int | None) -> int:
    """Make a system call. Raises OSError, with ENOSYS if its number is not known."""
    if number is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    words = [None if argument is None else ctypes.c_long(argument) for argument in arguments]
    result: int = libc.syscall(ctypes.c_long(number), *words)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def clone() -> int:
    """Make a process that is a child of this process's parent; return its pid, or 0 in the new process."""
    flags = CLONE_PARENT | signal.SIGCHLD
    return syscall(CLONE, *((0, flags) if MACHINE == "s390x" else (flags, 0)), 0, 0, 0)


def join_new_keyring() -> None:
    """Join a new session keyring, which the next process inherits: no two processes share a keyring,
    and none has the daemon's. Raises OSError if there is no room for another key.
    """
    try:
        serial = syscall(KEYCTL, JOIN_SESSION_KEYRING, None)
        syscall(KEYCTL, SETPERM, serial, POSSESSOR_USES | OWNER_VIEWS)
    except OSError as error:
        if error.errno not in REFUSED:
            raise


def write(path: str, text: bytes) -> None:
    """Write to a file of the kernel; ignore errors."""
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(descriptor, text)
        finally:
            os.close(descriptor)


def set_limits(request: Request) -> None:
    """Enter the cgroup and set priorities and limits, while this process still has root's rights."""
    if request.cgroup:
        write(f"{request.cgroup}/cgroup.procs", b"0")
    with contextlib.suppress(OSError):
        os.nice(request.nice)
    if request.io_priority:
        with contextlib.suppress(OSError):
            syscall(IOPRIO_SET, 1, 0, request.io_priority)
    for number, value in request.resources:
        resource.setrlimit(number, (value, value))


def become_user(uid: int, gid: int, groups: Iterable[int]) -> None:
    """Become another user permanently: set groups and ids, and drop all capabilities, unless the user is root
    by another name. No user can read this process's memory. Raises OSError.
    """
    if min(uid, gid) < 0:  # to the kernel, -1 means to change nothing
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    own = (os.geteuid(), os.getegid(), {*os.getgroups()})
    if is_other := uid != own[0] or (not uid and (uid, gid, {*groups}) != own):
        os.setgroups([*groups])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    if is_other and uid and libc.capset(struct.pack("Ii", CAPABILITY_VERSION, 0), bytes(24)):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


class StartError(Exception):
    """A failed start: the error's number (0: PAM refuses), and a text that says what failed."""


@contextlib.contextmanager
def step(text: bytes) -> Iterator[None]:
    """A context for a step of a start: an error becomes a StartError with `text`, or with its own text."""
    try:
        yield
    except Exception as error:
        number = getattr(error, "errno", None)  # Python raises ValueError for some errors of the kernel
        text = getattr(error, "failure", text)
        raise StartError(errno.EINVAL if number is None else number, text) from error


def open_session(pam: "Pam", request: Request, descriptors: Iterable[int]) -> None:
    """Open a PAM session; add its groups, and its variables unless the request has them. Raises OSError."""
    os.setgroups(request.groups)  # modules may add some
    variables = pam.open_for_process(request.user, clone, descriptors)
    request.groups, request.environment = os.getgroups(), {**variables, **request.environment}


def open_standard_files(request: Request, stdin: int) -> None:
    if not request.arguments:
        return
    # For reading and writing: as a reader itself, the job gets no SIGPIPE if the daemon dies.
    output = os.open(request.output, os.O_RDWR | os.O_CLOEXEC)
    errors = os.open(request.errors, os.O_RDWR | os.O_CLOEXEC) if request.errors else output
    readable = os.open(f"/proc/self/fd/{stdin}", os.O_RDONLY | os.O_CLOEXEC)
    for number, descriptor in enumerate((readable, output, errors)):
        os.dup2(descriptor, number)


def become_program(
    request: Request, stdin: int, gate: int, channel: socket.socket, modules: "Modules"
) -> None:
    """Wait until `gate` has a byte, then execute the program. Never returns; raises StartError."""
    with step(b"the spawner has ended"):
        if not os.read(gate, 1):
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
    os.setsid()
    files, pam = modules
    if pam and request.arguments:
        with step(b"cannot open a PAM session"):
            open_session(pam, request, (stdin, gate, channel.fileno()))
    with step(b"cannot open output"):
        open_standard_files(request, stdin)
    if request.fallback:
        with step(b"cannot enter directory " + request.fallback):
            os.chdir(request.fallback)  # as root: Debian's cron is in this directory when it starts a job
    with step(b"cannot become its user"):
        set_limits(request)
        if not pam:
            write("/proc/self/loginuid", b"%d" % request.uid)  # of the audit log
        become_user(request.uid, request.gid, request.groups)
    with step(b"cannot use files"):
        request.environment |= files.prepare(request, stdin)
    with step(b"cannot run " + request.arguments[0]):
        for signal_number in (signal.SIGPIPE, signal.SIGXFSZ):  # which Python ignores
            libc.signal(signal_number, None)  # without the enums of `signal`, which touch much memory
        libc.pthread_sigmask(signal.SIG_SETMASK, bytes(SIGSET_SIZE), None)
        os.execve(request.arguments[0], request.arguments, request.environment)  # noqa: S606 -- as its user


def execute(request: Request, stdin: int, gate: int, channel: socket.socket, modules: "Modules") -> None:
    """Execute the program, or send the reason of the failure. Does not return."""
    try:
        become_program(request, stdin, gate, channel, modules)
    except StartError as error:
        number, text = error.args
        with contextlib.suppress(OSError):
            message = b"%d %d %b" % (os.getpid(), number, text[:MAX_TEXT])
            channel.send(message, socket.MSG_DONTWAIT)
        os._exit(127 if number == errno.ENOENT else 126)
    finally:
        os._exit(126)


def serve(memory: int, stdin: int, channel: socket.socket, modules: "Modules") -> None:
    """Start the program of a request, and answer. Raises OSError if the daemon has ended."""
    gate, opener = os.pipe2(os.O_CLOEXEC)
    try:
        request = Request(os.pread(memory, os.fstat(memory).st_size, 0))
        join_new_keyring()
        pid = clone()
        if pid == 0:
            os.close(opener)
            os.close(memory)
            execute(request, stdin, gate, channel, modules)
    except (OSError, ValueError) as error:
        pid = -(getattr(error, "errno", None) or errno.EINVAL)
    try:
        channel.send(b"%d" % pid)
        if pid > 0:
            os.write(opener, b"x")
    finally:
        os.close(gate)
        os.close(opener)


def load(path: str) -> "ModuleType":
    """Load the module in a file and return it. Later, a job's user may not be able to read the file."""
    from importlib.machinery import SourceFileLoader  # noqa: PLC0415 -- needed once
    from types import ModuleType  # noqa: PLC0415 -- as above

    module = ModuleType(os.path.basename(path).removesuffix(".py"))
    SourceFileLoader(module.__name__, path).exec_module(module)
    return module


def main() -> None:
    """Serve requests until the daemon closes the socket, which is standard input."""
    files, *service = sys.argv[1:]
    # May execute this program again, with another argument.
    pam = load(service[0]).Pam(os.fsencode(service[1]), *service[2:]) if service else None
    modules = load(files), pam
    channel = socket.socket(fileno=os.dup(0))
    channel.set_inheritable(False)
    with open(os.devnull, "r+b", 0) as null:
        os.dup2(null.fileno(), 0)
    signal.pthread_sigmask(signal.SIG_BLOCK, BLOCKED)
    gc.disable()
    gc.freeze()
    while True:
        message, descriptors, _, _ = socket.recv_fds(channel, 16, 2)
        if not message or (pam and not pam.prepare()):
            return
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
        memory, *rest = descriptors
        stdin = rest[0] if rest else os.open(os.devnull, os.O_RDONLY)
        serve(memory, stdin, channel, modules)
        for descriptor in (memory, stdin):
            os.close(descriptor)


if __name__ == "__main__":
    main()
