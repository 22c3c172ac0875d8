"""Facts about processes, not only children of this one: proc(5), pidfd_open(2)."""

import contextlib
import fcntl
import os
import signal
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from pycrond import clock

PIDFD_INFO_EXIT = 1 << 3  # <linux/pidfd.h>
PIDFD_GET_INFO = 0xC000FF0B
PIDFD_INFO = "=QQ11Ii"  # mask, cgroup id, pids and uids, exit status


class ProcessStat(NamedTuple):
    """Fields of /proc/PID/stat (proc(5)): state, parent, session, and start in clock ticks since boot."""

    state: str
    parent: int
    session: int
    start: int


def read_stat(pid: int) -> ProcessStat | None:
    """Return the state of a process; None if it does not exist."""
    try:
        fields = _stat_fields(pid)
        return ProcessStat(fields[0].decode(), int(fields[1]), int(fields[3]), int(fields[19]))
    except (OSError, IndexError, ValueError):
        return None


def _stat_fields(pid: int) -> list[bytes]:
    """Return the fields after the name, from field 3 of proc(5) on."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        return file.read().rpartition(b")")[2].split()


def peak_memory(pid: int) -> int:
    """Return the most memory that a process has had since its exec, in KiB; 0 if it does not exist."""
    return _status_number(pid, b"VmHWM:") or 0


def real_uid(pid: int) -> int | None:
    """Return the real uid of a process; None if it does not exist. A setuid program has the real uid of the
    user who started it.
    """
    return _status_number(pid, b"Uid:")


def _status_number(pid: int, name: bytes) -> int | None:
    """Return the first number of a line of /proc/PID/status; None if there is no such process or line."""
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            return next((int(line.split()[1]) for line in file if line.startswith(name)), None)
    except OSError:
        return None


def start_ticks(pid: int) -> int | None:
    """Return the start of a process in clock ticks since boot; None if it does not exist."""
    process = read_stat(pid)
    return process.start if process else None


def ticks_to_seconds(ticks: int) -> float:
    return ticks / os.sysconf("SC_CLK_TCK")


def open_pidfd(pid: int, start: int) -> int:
    """Return a pidfd of a process that an earlier daemon started; -1 if it has ended."""
    try:
        descriptor = os.pidfd_open(pid)
    except (OSError, OverflowError):  # or it cannot be a pid
        return -1
    # The pidfd is open already, so it refers to the process whose start is compared here.
    process = read_stat(pid)
    if process is None or process.start != start or process.state in "ZX":
        os.close(descriptor)
        return -1
    return descriptor


def exit_status(pidfd: int, pid: int, start: int) -> int | None:
    """Return the wait(2) status of a process that is not a child; None if the kernel does not have it.

    Until its parent reaps it, /proc/PID/stat has the status (field 52, for its user and root); after that
    PIDFD_GET_INFO has it, from Linux 6.15 on.
    """
    with contextlib.suppress(OSError):
        fields = _stat_fields(pid)
        if fields[0] == b"Z" and int(fields[19]) == start:
            return int(fields[49])
    if pidfd < 0:
        return None
    info = bytearray(struct.pack(PIDFD_INFO, PIDFD_INFO_EXIT, 0, *[0] * 12))
    try:
        fcntl.ioctl(pidfd, PIDFD_GET_INFO | len(info) << 16, info)
    except OSError:
        return None
    mask, *_, status = struct.unpack(PIDFD_INFO, info)
    return status if mask & PIDFD_INFO_EXIT else None


class ProcessSearch:
    """A search for the processes of runs, by marks in the environment that they got at their exec.

    It reads all of /proc once, a part in each step: 3,000 processes take 80 ms.
    """

    def __init__(
        self, marks_by_run: Mapping[int, Sequence[bytes]], uids: Mapping[int, int], *, ours: bool
    ) -> None:
        """A process belongs to a run if it has all marks of the run, which no other run has, and the uid of
        the run's user. The uid is compared because a process can set any variables.

        With `ours`, only descendants of the keeper count. It is this process's parent, and adopts orphans.
        Another daemon on the machine may have a run with the same marks.
        """
        self._ours = ours
        self._uids = uids
        self._runs = {mark: (run, frozenset(marks)) for run, marks in marks_by_run.items() for mark in marks}
        self._names = iter(os.listdir("/proc") if marks_by_run else ())
        self.pids: dict[int, list[int]] = {}
        """The pids found so far, by run, without zombies. A number below 0 is that of a hook, which also has
        the marks of its run.
        """

    def step(self, seconds: float) -> bool:
        """Search for at most `seconds`; return whether the search is complete."""
        deadline = clock.elapsed() + seconds
        for name in self._names:
            if name.isdigit():
                self._check(int(name))
                if clock.elapsed() >= deadline:
                    return False
        return True

    def _check(self, pid: int) -> None:
        variables = _environment(pid)
        for run, marks in {self._runs[mark] for mark in variables & self._runs.keys()}:
            is_hook = any(variable.startswith(b"PYCROND_EVENT=") for variable in variables)
            if is_hook != (run < 0) or not variables.issuperset(marks) or pid == os.getpid():
                continue
            if _uid(pid) == self._uids[run] and (not self._ours or _descends(pid, os.getppid())):
                self.pids.setdefault(run, []).append(pid)


def _uid(pid: int) -> int:
    """Return the effective uid of a process; -1 if it does not exist."""
    try:
        return os.stat(f"/proc/{pid}").st_uid
    except OSError:
        return -1


def _environment(pid: int) -> set[bytes]:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return {*file.read().split(b"\0")}
    except OSError:
        return set()


def _descends(pid: int, ancestor: int) -> bool:
    while pid != ancestor and (process := read_stat(pid)):
        pid = process.parent
    return pid == ancestor


def kill_marked(pids: Iterable[int], marks: Sequence[bytes]) -> None:
    """Send KILL to the processes among `pids` whose environment still contains all marks."""
    for pid in pids:
        kill_if(pid, lambda pid: _environment(pid).issuperset(marks))


def kill_if(pid: int, is_meant: Callable[[int], bool]) -> None:
    """Send KILL to a process if `is_meant` is true for it: another process may have its pid by now."""
    with contextlib.suppress(OSError):
        descriptor = os.pidfd_open(pid)
        try:
            if is_meant(pid):
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        finally:
            os.close(descriptor)


def run_variables(pid: int) -> dict[str, str] | None:
    """Return the PYCROND_ variables of a run's process, without that prefix; None for any other process."""
    words = [word.partition(b"=") for word in _environment(pid)] if pid else []
    variables = {
        os.fsdecode(name[8:]): os.fsdecode(value) for name, _, value in words if name.startswith(b"PYCROND_")
    }
    return variables if {"JOB", "RUN", "FIRE_TIME", "ATTEMPT"} <= variables.keys() else None


def children_by_run() -> dict[str, tuple[int, int]]:
    """Return the pid and the start of each child that is the first process of a run, by the run's number."""
    runs = {}
    try:
        with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as file:
            pids = [int(word) for word in file.read().split()]
    except OSError:  # some kernels lack this file
        return {}
    for pid in pids:
        process, variables = read_stat(pid), run_variables(pid)
        if process and process.session == pid and variables and "EVENT" not in variables:  # EVENT: a hook
            runs[variables["RUN"]] = (pid, process.start)
    return runs
