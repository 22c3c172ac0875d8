"""The machine around the daemon: other crons, what keeps the clock, file systems, whoever reads syslog."""

import ctypes
import errno
import os
import re
import socket
import stat
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from pycrond.cli.doctor.facts import OtherCron

CRON_FOLDERS = ("/etc/crontab", "/etc/cron.d", "/var/spool/cron")
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
"""As the kernel names them: 15 characters at most."""
STA_UNSYNC, TIME_ERROR = 0x40, 5  # <linux/timex.h>
TIMEX_BYTES, STATUS_AT = 208, 40  # of struct timex on machines with 64 bits, and where its status stands
PATIENCE = 2.0  # seconds for a server that takes syslog


class Process(NamedTuple):
    """One that sees the same files as we do."""

    pid: int
    name: str
    words: Sequence[str]


def processes(proc: str = "/proc") -> Iterator[Process]:
    """Those that could be read; not those of containers, which have files of their own."""
    ours = _link(f"{proc}/self/ns/mnt")
    for pid in filter(str.isdigit, os.listdir(proc)):
        folder = f"{proc}/{pid}"
        try:
            with open(f"{folder}/comm", encoding="utf-8", errors="replace") as file:
                name = file.read().strip()
            with open(f"{folder}/cmdline", encoding="utf-8", errors="replace") as file:
                words = file.read().rstrip("\0").split("\0")
        except OSError:
            continue
        if _link(f"{folder}/ns/mnt") in {ours, ""}:
            yield Process(int(pid), name, words)


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


def rivals(running: Sequence[Process], root: str = "/") -> list[OtherCron]:
    """Crons among them, and systemd-cron, which is no process."""
    found = [one for process in running if (one := _rival(process))]
    units = os.path.join(root, "run/systemd/generator/cron.target.wants")
    if os.path.isdir(units):
        found.append(OtherCron("systemd-cron", CRON_FOLDERS, "systemctl disable --now cron.target"))
    return found


def _rival(process: Process) -> OtherCron | None:
    words = process.words
    named = process.name
    if named == "busybox" and "crond" in words[:2]:
        named = "crond"
    if named not in {"cron", "crond", "fcron", "bcron-sched"}:
        return None
    text = f"{named} (pid {process.pid})"
    stop = f"systemctl disable --now {named}, or kill {process.pid}"
    folders = {"fcron": ("/var/spool/fcron",)}.get(named, CRON_FOLDERS)
    is_busybox = "busybox" in (*words[:1], os.path.basename(_link(f"/proc/{process.pid}/exe")))
    if is_busybox:
        folders = (_after(words, "-c") or "/var/spool/cron/crontabs",)
    return OtherCron(text, folders, stop)


def _after(words: Sequence[str], option: str) -> str:
    """What follows a flag, or is written together with it."""
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word == option:
            return following
        if word.startswith(option):
            return word.removeprefix(option)
    return ""


def clock_programs(running: Sequence[Process]) -> tuple[str, ...]:
    return tuple(sorted({one.name for one in running if one.name in CLOCK_PROGRAMS}))


def synchronised() -> bool | None:
    """What the kernel's own clock says, adjtimex(2); None where it cannot be asked."""
    if ctypes.sizeof(ctypes.c_long) != 8:
        return None
    timex = ctypes.create_string_buffer(TIMEX_BYTES)  # modes 0: only asked
    state = ctypes.CDLL(None).adjtimex(timex)
    if state < 0:
        return None
    status = int.from_bytes(timex.raw[STATUS_AT : STATUS_AT + 4], "little")
    return state != TIME_ERROR and not status & STA_UNSYNC


def file_system(path: str, mounts: str = "/proc/self/mountinfo") -> str:
    """The kind of file system that a path lies on (proc(5))."""
    path = os.path.realpath(path)
    best, kind = "", ""
    with open(mounts, encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            fields, _, rest = line.partition(" - ")
            point = re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), fields.split()[4])
            inside = path == point or path.startswith(point.rstrip("/") + "/")
            if inside and len(point) >= len(best):
                best, kind = point, rest.split()[0]
    return kind


def room(path: str) -> tuple[int, int | None]:
    """Bytes and inodes that are free for us."""
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize, found.f_favail if found.f_files else None


def syslog_trouble(address: str) -> str:
    """Why messages cannot be sent there; empty where they can, or where that cannot be told, as of UDP."""
    try:
        if address.startswith("udp://"):
            return ""
        if address.startswith("tcp://"):
            host, _, port = address.removeprefix("tcp://").rpartition(":")
            socket.create_connection((host.strip("[]"), int(port)), PATIENCE).close()
            return ""
        if not stat.S_ISSOCK(os.stat(address).st_mode):
            return "is no socket"
        return _unheard(address)
    except FileNotFoundError:
        return "is not there"
    except (OSError, ValueError) as error:
        return f"nobody takes messages: {getattr(error, 'strerror', None) or error}"


def _unheard(path: str) -> str:
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with socket.socket(socket.AF_UNIX, kind) as one:
            try:
                one.connect(path)
            except ConnectionRefusedError:
                return "nobody reads it"
            except OSError as error:
                if error.errno == errno.EPROTOTYPE:  # it is of the other kind
                    continue
                raise
            return ""
    return "is a socket of an unknown kind"


def unit_of(pid: int) -> tuple[str, bool]:
    """The service of systemd that a process runs in, and whether it is a user's; empty for none."""
    try:
        with open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="surrogateescape") as file:
            return unit_in(file.read())
    except OSError:
        return "", False


def unit_in(text: str) -> tuple[str, bool]:
    """The same of what /proc/PID/cgroup says."""
    # Beside version 1, systemd may use either of the two.
    paths = re.findall(r"^(?:0:|\d+:name=systemd):(/.*)$", text, re.MULTILINE)
    services = [part for path in paths for part in path.split("/") if part.endswith(".service")]
    own = [part for part in services if not part.startswith("user@")]
    return (own[-1], own != services) if own else ("", False)


def environment(pid: int) -> Mapping[str, str]:
    """What a process was started with, where it may be read."""
    try:
        with open(f"/proc/{pid}/environ", encoding="utf-8", errors="surrogateescape") as file:
            return dict(word.partition("=")[::2] for word in file.read().split("\0") if word)
    except OSError:
        return {}
