"""Facts about the machine around the daemon: other crons, clock, file systems, syslog, systemd."""

import contextlib
import ctypes
import errno
import os
import re
import socket
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from pycrond.cli.doctor.facts import OtherCron
from pycrond.errors import os_reason
from pycrond.host import procfs
from pycrond.host.mounts import mounted_types
from pycrond.output.syslog_socket import journal_socket
from pycrond.settings import NO_SYSLOG, Settings

CRON_PATHS = ("/etc/crontab", "/etc/cron.d", "/var/spool/cron")
CRONS = frozenset({"cron", "crond", "fcron", "bcron-sched"})
"""Process names, and names of programs."""
CRON_PIDFILES = ("/run/crond.pid", "/run/cron.pid", "/run/fcron.pid")
"""Debian's cron, cronie and fcron lock theirs with flock(2)."""
CLOCK_PROGRAMS = frozenset(
    {
        "chronyd",
        "ntpd",
        "ntpd-rs",
        "openntpd",
        "systemd-timesyn",
        "ptp4l",
        "phc2sys",
        "VBoxService",
        "vmtoolsd",
    }
)
"""Process names as the kernel has them, cut to 15 characters."""
STA_UNSYNC, TIME_ERROR = 0x40, 5  # <linux/timex.h>
TIMEX_SIZE, TIMEX_STATUS_OFFSET = 208, 40  # bytes; struct timex on 64-bit machines
SYSLOG_CONNECT_TIMEOUT = 2.0  # seconds


class Process(NamedTuple):
    """A process that sees the same files as this one."""

    pid: int
    name: str
    arguments: Sequence[str]


def read_text(path: str) -> str:
    """Return the content of a file; empty if it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return ""


def _link_target(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


def processes() -> Iterator[Process]:
    """Yield the readable processes, but not those of containers, which see other files. A service may have a
    mount namespace of its own and still see the same files.
    """
    namespace, own_files = _link_target("/proc/self/ns/mnt"), _identities("/")
    for pid in filter(str.isdigit, os.listdir("/proc")):
        name = read_text(f"/proc/{pid}/comm").strip()
        is_near = _link_target(f"/proc/{pid}/ns/mnt") in {namespace, ""}
        if name and (is_near or _identities(f"/proc/{pid}/root") == own_files):
            arguments = read_text(f"/proc/{pid}/cmdline").rstrip("\0").split("\0")
            yield Process(int(pid), name, arguments)


def _identities(root: str) -> list[tuple[int, int] | None]:
    """Return device and inode of /etc and of the crons' paths below a root; None for a missing path."""
    identities: list[tuple[int, int] | None] = []
    for path in ("/etc", *CRON_PATHS):
        try:
            status = os.stat(f"{root.rstrip('/')}{path}")
        except OSError:
            identities.append(None)
        else:
            identities.append((status.st_dev, status.st_ino))
    return identities


def is_of_system(pid: int) -> bool:
    """Return whether a process is root's, sees our files, and executes a cron or holds the pidfile of one.

    A user can name a process like a cron, and make it look like root's: the real uid decides.
    """
    program = os.path.basename(_link_target(f"/proc/{pid}/exe").removesuffix(" (deleted)"))
    is_same_root = _link_target(f"/proc/{pid}/root") == _link_target("/proc/self/root")
    is_cron = program in {*CRONS, "busybox"} or pid in locked_pidfiles()
    return procfs.real_uid(pid) == 0 and is_same_root and is_cron


def locked_pidfiles(paths: Sequence[str] = CRON_PIDFILES) -> list[int]:
    """Return the pids of processes that hold an exclusive lock on one of these pidfiles.

    The kernel says who holds it: any user can lock a file that it can read, and a stale pidfile has any pid.
    """
    locks = read_text("/proc/locks")
    holders = re.findall(r"FLOCK +ADVISORY +WRITE +(\d+) +([0-9a-f]+:[0-9a-f]+:\d+) ", locks)
    files = set()
    for path in paths:
        with contextlib.suppress(OSError):
            status = os.stat(path)
            device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}"
            files.add(f"{device}:{status.st_ino}")
    return [int(pid) for pid, file in holders if file in files]


def other_crons(running: Iterable[Process], root: str = "/", *, of_system: bool = False) -> list[OtherCron]:
    """Return the crons among the processes, and systemd-cron, which has no process.

    `of_system`: only crons that surely belong to the system: an ordinary user can name a process `cron`.
    """
    holders = locked_pidfiles()
    crons = [
        cron
        for process in running
        if (cron := _as_cron(process, holds_pidfile=process.pid in holders))
        and (not of_system or is_of_system(process.pid))
    ]
    units = os.path.join(root, "run/systemd/generator/cron.target.wants")
    if os.path.isdir(units):
        crons.append(OtherCron("systemd-cron", CRON_PATHS, "systemctl disable --now cron.target"))
    return crons


def _as_cron(process: Process, *, holds_pidfile: bool) -> OtherCron | None:
    pid, name, arguments = process
    if name == "busybox" and "crond" in arguments[:2]:
        name = "crond"
    if name not in CRONS and not holds_pidfile:
        return None
    crontabs = ("/var/spool/fcron",) if name == "fcron" else CRON_PATHS
    if "busybox" in {*arguments[:1], os.path.basename(_link_target(f"/proc/{pid}/exe"))}:
        crontabs = (_option_value(arguments, "-c") or "/var/spool/cron/crontabs",)
    stop = f"systemctl disable --now {name}, or kill {pid}" if name in CRONS else f"kill {pid}"
    return OtherCron(f"{name} (pid {pid})", crontabs, stop)


def _option_value(arguments: Sequence[str], option: str) -> str:
    """Return the value of an option, in its own argument or in the next; empty without the option."""
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=True):
        if argument == option:
            return following
        if argument.startswith(option):
            return argument.removeprefix(option)
    return ""


def crontab_paths(settings: Settings) -> tuple[str, ...]:
    """Return the files and directories that pycrond reads, as other crons name them."""
    system = [os.path.join(settings.root, path.lstrip("/")) for path in CRON_PATHS]
    return (*map(os.path.realpath, settings.crontabs), *(system if settings.system else ()))


def clock_programs(running: Sequence[Process]) -> tuple[str, ...]:
    return tuple(sorted({process.name for process in running} & CLOCK_PROGRAMS))


def synchronised() -> bool | None:
    """Return the state of the kernel's clock by adjtimex(2); None if it cannot be read."""
    if ctypes.sizeof(ctypes.c_long) != 8:
        return None
    timex = ctypes.create_string_buffer(TIMEX_SIZE)  # modes 0: read only
    state = ctypes.CDLL(None).adjtimex(timex)
    if state < 0:
        return None
    status = int.from_bytes(timex.raw[TIMEX_STATUS_OFFSET : TIMEX_STATUS_OFFSET + 4], "little")
    return state != TIME_ERROR and not status & STA_UNSYNC


def file_system(path: str, mounts: str = "/proc/self/mountinfo") -> str:
    """Return the type of the file system that contains a path; empty if it is not known."""
    with open(mounts, "rb") as file:
        types = mounted_types(file.read())
    point = os.fsencode(os.path.realpath(path))
    while point not in types and point != b"/":
        point = os.path.dirname(point)
    return os.fsdecode(types.get(point, b""))


def free_space(path: str) -> tuple[int, int | None]:
    """Return the bytes and inodes available to us; None for inodes that are created on demand."""
    status = os.statvfs(path)
    return status.f_bavail * status.f_frsize, status.f_favail if status.f_files else None


def syslog_error(address: str) -> str:
    """Return the reason why messages cannot be sent; empty if they can, if none are sent, and for UDP."""
    try:
        if address == NO_SYSLOG or address.startswith("udp://"):
            return ""
        if address.startswith("tcp://"):
            host, _, port = address.removeprefix("tcp://").rpartition(":")
            socket.create_connection((host.strip("[]"), int(port)), SYSLOG_CONNECT_TIMEOUT).close()
            return ""
        path = journal_socket(address) or address
        return _unix_socket_error(path) if stat.S_ISSOCK(os.stat(path).st_mode) else "is not a socket"
    except FileNotFoundError:
        return "does not exist"
    except (OSError, ValueError) as error:
        return f"cannot connect: {os_reason(error)}"


def _unix_socket_error(path: str) -> str:
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with socket.socket(socket.AF_UNIX, kind) as client:
            client.settimeout(SYSLOG_CONNECT_TIMEOUT)  # a full queue would block it for ever
            try:
                client.connect(path)
            except ConnectionRefusedError:
                return "no process reads it"
            except OSError as error:
                if error.errno == errno.EPROTOTYPE:  # a socket of the other kind
                    continue
                raise
            return ""
    return "is a socket of an unknown kind"


def unit_in(cgroups: str) -> tuple[str, bool]:
    """Return the systemd service in a /proc/PID/cgroup, or empty, and True if it is a user's service."""
    # Beside cgroup version 1, systemd may use either of the two hierarchies.
    paths = re.findall(r"^(?:0:|\d+:name=systemd):(/.*)$", cgroups, re.MULTILINE)
    services = [part for path in paths for part in path.split("/") if part.endswith(".service")]
    own = [service for service in services if not service.startswith("user@")]
    return (own[-1], own != services) if own else ("", False)


def environment(pid: int) -> Mapping[str, str]:
    """Return the environment that a process was started with; empty if it cannot be read."""
    variables = read_text(f"/proc/{pid}/environ").split("\0")
    return dict(variable.partition("=")[::2] for variable in variables if variable)
