"""What the kernel says of processes that need not be children of ours: proc(5), pidfd_open(2)."""

import contextlib
import fcntl
import os
import signal
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple


class ProcessStat(NamedTuple):
    """Of /proc/PID/stat (proc(5)): state, parent, session, and when it began in clock ticks since boot."""

    state: str
    parent: int
    session: int
    start: int


def read_stat(pid: int) -> ProcessStat | None:
    """What the process is; None if there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        return ProcessStat(fields[0].decode(), int(fields[1]), int(fields[3]), int(fields[19]))
    except (OSError, IndexError, ValueError):
        return None


def start_ticks(pid: int) -> int | None:
    """When the process began, in clock ticks since boot; None if there is none."""
    found = read_stat(pid)
    return found.start if found else None


def ticks_to_seconds(ticks: int) -> float:
    """From boot to a process's start."""
    return ticks / os.sysconf("SC_CLK_TCK")


def open_pidfd(pid: int, start: int) -> int:
    """A pidfd of a process that an earlier daemon started; -1 if it is gone or the number is another's."""
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:
        return -1
    # The descriptor is opened first: a process that has this start time now is the one it holds.
    found = read_stat(pid)
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


def pids_by_run(wanted: Mapping[int, Sequence[bytes]], *, ours: bool) -> dict[int, list[int]]:
    """By run, the pids of processes whose environment, as it was at their exec, holds all that is wanted of
    it; but for zombies. One look at all of /proc.

    With `ours` only what descends from our parent, the keeper, who is given the orphans: another daemon on
    the machine may have a run with the same marks.
    """
    parents = {int(name): read_stat(int(name)) for name in os.listdir("/proc") if name.isdigit()}
    found: dict[int, list[int]] = {}
    for pid, process in parents.items():
        if not process or process.state in "ZX" or pid == os.getpid():
            continue
        words = _environment(pid)
        if any(word.startswith(b"PYCROND_EVENT=") for word in words):
            continue  # a hook, which tells of the run
        for run, marks in wanted.items():
            if words.issuperset(marks) and (not ours or _descends(pid, parents, os.getppid())):
                found.setdefault(run, []).append(pid)
    return found


def _environment(pid: int) -> set[bytes]:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return {*file.read().split(b"\0")}
    except OSError:
        return set()


def _descends(pid: int, parents: Mapping[int, ProcessStat | None], ancestor: int) -> bool:
    while (found := parents.get(pid)) and pid != ancestor:
        pid = found.parent
    return pid == ancestor


def kill_marked(pids: Iterable[int], marks: Sequence[bytes]) -> None:
    """KILL to those that are still what they were when they were found."""
    for pid in pids:
        with contextlib.suppress(OSError):
            descriptor = os.pidfd_open(pid)
            try:
                if _environment(pid).issuperset(marks):
                    signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            finally:
                os.close(descriptor)


def run_variables(pid: int) -> dict[str, str] | None:
    """What a run's own process says of it: JOB, RUN, FIRE_TIME and ATTEMPT; None where it does not."""
    words = [word.partition(b"=") for word in _environment(pid)] if pid else []
    found = {
        os.fsdecode(name[8:]): os.fsdecode(value) for name, _, value in words if name.startswith(b"PYCROND_")
    }
    return found if {"JOB", "RUN", "FIRE_TIME", "ATTEMPT"} <= found.keys() else None


def children_by_run() -> dict[str, tuple[int, int]]:
    """Pid and start of each of our children that is a run's own process, as its environment says."""
    found = {}
    try:
        with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as file:
            pids = [int(word) for word in file.read().split()]
    except OSError:  # not every kernel has it
        return {}
    for pid in pids:
        process, said = read_stat(pid), run_variables(pid)
        if process and process.session == pid and said and "EVENT" not in said:  # which only hooks have
            found[said["RUN"]] = (pid, process.start)
    return found
