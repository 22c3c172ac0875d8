"""Limits and processes of runs: a cgroup for each run if possible, else limits of each process.

Only jobs with `timeout`, `memory` or `cpu` get a cgroup (version 2, cgroups(7)).
"""

import contextlib
import errno
import math
import os
import re
import resource
from collections.abc import Iterator
from typing import NamedTuple

from pycrond.hashing import digest
from pycrond.host import procfs
from pycrond.host.machine import read_text
from pycrond.jobs.options import Options

IO_CLASSES = {"realtime": 1, "best-effort": 2, "idle": 3}  # <linux/ioprio.h>
IO_CLASS_SHIFT, IO_LEVEL = 13, 4  # <linux/ioprio.h>; the default level of ionice(1)
MAX_KILL_ROUNDS = 10  # processes may fork while they are being killed
CPU_PERIOD = 100_000  # microseconds, of cpu.max
CONTROLLERS = ("memory", "cpu")
LEAF = "daemon"
"""The cgroup of keeper and daemon. A cgroup that contains processes has no controllers for its child cgroups.
"""
DELEGATION_MARKS = ("user.delegate", "trusted.delegate")
"""Extended attributes that systemd sets for a unit with Delegate=yes; `systemd --user` does not set them."""
USER_SERVICE = re.compile(r"/user@\d+\.service/.*\.service")


def own_cgroup(mounts: str = "/proc/self/mountinfo", membership: str = "/proc/self/cgroup") -> str | None:
    """Return the directory of the cgroup of this process; None if version 2 is not mounted."""
    try:
        with open(mounts, encoding="utf-8", errors="surrogateescape") as file:
            roots = [line.split()[4] for line in file if " - cgroup2 " in line]
        with open(membership, encoding="utf-8", errors="surrogateescape") as file:
            path = re.search("^0::(.*)$", file.read(), re.MULTILINE)
    except OSError:
        return None
    return os.path.join(roots[0], path[1].lstrip("/")).rstrip("/") if roots and path else None


def _is_delegated(group: str) -> bool:
    """Return whether this process may make cgroups in `group`: the cgroup of a service with Delegate=yes, or
    of any service of `systemd --user`, whose cgroups all belong to the user.
    """
    for mark in DELEGATION_MARKS:
        with contextlib.suppress(OSError):
            if os.getxattr(group, mark) == b"1":
                return True
    return USER_SERVICE.search(group) is not None and group.endswith(".service")


def _is_leaf(group: str) -> bool:
    """Return whether the cgroups of runs belong beside the daemon's cgroup `group`, not below it."""
    return os.path.basename(group) == LEAF or _is_delegated(os.path.dirname(group))


def enter_leaf() -> None:
    """Move this process into a leaf of its cgroup, if the cgroup is delegated or this is process 1."""
    own = own_cgroup()
    if own and not _is_leaf(own) and (_is_delegated(own) or os.getpid() == 1):
        with contextlib.suppress(OSError):
            os.makedirs(f"{own}/{LEAF}", exist_ok=True)
            _write(f"{own}/{LEAF}", "cgroup.procs", "0")


def disable_controllers() -> None:
    """Disable all controllers in the delegated cgroup and below it. While a controller is enabled, systemd
    cannot start a process in that cgroup. Runs that go on have no limits until the next daemon sets them.
    """
    own = own_cgroup() or ""
    delegated = next(filter(_is_delegated, (own, os.path.dirname(own))), "")
    for group, _, _ in os.walk(delegated, topdown=False) if delegated else ():
        enabled = read_text(f"{group}/cgroup.subtree_control").split()
        _write(group, "cgroup.subtree_control", " ".join(f"-{controller}" for controller in enabled))


def _can_enable(group: str) -> bool:
    """Return whether controllers can be enabled for the child cgroups of `group`. It must not contain
    processes, unless it is the root cgroup, which has no cgroup.type: `cpu` would make the child cgroups
    unusable.
    """
    is_root = not os.path.exists(f"{group}/cgroup.type")
    return os.access(group, os.W_OK) and (is_root or not read_text(f"{group}/cgroup.procs"))


class Limits(NamedTuple):
    """The limits and priorities that a process gets before it executes its program."""

    cgroup: str = ""
    """The directory of the cgroup that the process enters; empty: none."""
    nice: int = 0
    """The number that is added to the nice value."""
    io_priority: int = 0
    """The value for ioprio_set(2); 0: unchanged."""
    resources: tuple[tuple[int, int], ...] = ()
    """Pairs of a resource of setrlimit(2) and its value."""


class ResourceLimits:
    """The limits of runs: a cgroup, made when it is first needed, with a child cgroup for each run.

    The name of a child cgroup is the number of the run. A hook has a number below 0.
    """

    def __init__(self, state_dir: str) -> None:
        """`state_dir` distinguishes this daemon from others."""
        self.state_dir = state_dir
        own = own_cgroup()
        parent = os.path.dirname(own) if own and _is_leaf(own) else own
        self._base = f"{parent}/pycrond-{digest(os.fsencode(state_dir), 6)}" if parent else None
        self._groups: set[int] = set()  # runs and hooks with a cgroup
        self._reused: set[int] = set()  # runs whose cgroup existed before: its peak counts other runs, too
        self._ended: set[int] = set()  # runs whose cgroup is removed when its last process has ended
        self._is_base_made = False

    def find_existing(self) -> None:
        """Take over the cgroups of an earlier daemon. Kill its hooks: they are started again."""
        with contextlib.suppress(OSError):
            names = os.listdir(self._base or "")
            self._groups |= {int(name) for name in names if name.removeprefix("-").isdigit()}
        for number in [number for number in self._groups if number < 0]:
            self.kill(number)
            self.remove(number)

    def limits(self, options: Options, run: int) -> Limits:
        """Return the limits of a run. Make its cgroup, if it needs one, and set the limits of the cgroup."""
        group = self._make_group(run) if options.timeout or options.memory or options.cpu else None
        priority = 0
        if options.ionice:
            kind, _, level = options.ionice.partition(":")
            priority = IO_CLASSES[kind] << IO_CLASS_SHIFT | int(level or IO_LEVEL)
        return Limits(group or "", options.nice, priority, tuple(self._resources(options, group)))

    def renew(self, options: Options, run: int) -> None:
        """Set the limits of an adopted run's cgroup again: its controllers may have been disabled."""
        if run in self._groups:
            self.limits(options, run)

    def _resources(self, options: Options, group: str | None) -> Iterator[tuple[int, int]]:
        """Set the limits of the cgroup; yield each limit that it does not support as one of setrlimit(2)."""
        if options.memory and not _write(group, "memory.max", str(options.memory)):
            yield resource.RLIMIT_AS, _lowered(resource.RLIMIT_AS, options.memory)
        if options.cpu and not _write(group, "cpu.max", f"{int(options.cpu * CPU_PERIOD)} {CPU_PERIOD}"):
            # RLIMIT_CPU limits time, not a share: the processor time that the share allows until the timeout.
            seconds = math.ceil(options.cpu * (options.timeout or 0))
            if seconds:
                yield resource.RLIMIT_CPU, _lowered(resource.RLIMIT_CPU, seconds)

    def mechanisms(self) -> dict[str, str]:
        """Return the means by which memory and cpu are limited on this machine."""
        controllers = self._controllers()
        return {
            "memory": "cgroup" if "memory" in controllers else "RLIMIT_AS of each process",
            "cpu": "cgroup" if "cpu" in controllers else "RLIMIT_CPU of each process, with a timeout",
        }

    def _controllers(self) -> list[str]:
        """Return the controllers that the cgroup of a run has, or would have if it were made."""
        if self._base is None:
            return []
        if os.path.isdir(self._base):
            return read_text(f"{self._base}/cgroup.subtree_control").split()
        parent = os.path.dirname(self._base)
        return read_text(f"{parent}/cgroup.controllers").split() if _can_enable(parent) else []

    def _make_group(self, run: int) -> str | None:
        """Make the cgroup of a run and return its directory; None if that is not possible."""
        if self._base is None:
            return None
        group = os.path.join(self._base, str(run))
        try:
            if not self._is_base_made:
                self._make_base(self._base)
            (self._reused.add if os.path.isdir(group) else self._reused.discard)(run)
            os.makedirs(group, exist_ok=True)
        except OSError:
            return None
        self._groups.add(run)
        return group

    def _make_base(self, base: str) -> None:
        os.makedirs(base, exist_ok=True)
        self._is_base_made = True
        for parent in filter(_can_enable, (os.path.dirname(base), base)):
            for controller in CONTROLLERS:  # one by one, as one of them may not exist
                _write(parent, "cgroup.subtree_control", f"+{controller}")

    def pids(self, run: int) -> list[int] | None:
        """Return the pids in a run's cgroup; None if the run has none."""
        if run not in self._groups:
            return None
        try:
            with open(f"{self._base}/{run}/cgroup.procs", encoding="ascii") as file:
                return [int(line) for line in file]
        except OSError:
            return None

    def peak(self, run: int) -> int | None:
        """Return the peak memory in KiB of all processes in a run's cgroup together, with the memory that the
        kernel holds for them; None if no cgroup has counted it (Linux 5.19, with the memory controller).
        """
        if run not in self._groups or run in self._reused:
            return None
        peak = read_text(f"{self._base}/{run}/memory.peak")
        return int(peak) >> 10 or None if peak.isdigit() else None

    def kill(self, run: int) -> bool:
        """Send KILL to all processes in a run's cgroup; False if the run has none."""
        if run not in self._groups:
            return False
        return _write(f"{self._base}/{run}", "cgroup.kill", "1") or self._kill_each(run)

    def _kill_each(self, run: int) -> bool:
        """Kill the processes one by one until none is left: Linux has cgroup.kill only from 5.14 on."""
        for _ in range(MAX_KILL_ROUNDS):
            for pid in self.pids(run) or ():
                procfs.kill_if(pid, lambda pid: pid in (self.pids(run) or ()))
            if not self.pids(run):
                return True
        return False

    def remove(self, run: int) -> None:
        """Remove a run's cgroup, now or when its last process has ended."""
        if run in self._groups:
            self._ended.add(run)
            self.remove_empty()

    def remove_empty(self) -> None:
        """Remove the cgroups of ended runs that contain no process."""
        for run in [*self._ended]:
            with contextlib.suppress(FileNotFoundError):
                try:
                    os.rmdir(f"{self._base}/{run}")
                except OSError as error:
                    if error.errno == errno.EBUSY:
                        continue
                    raise
            self._groups.discard(run)
            self._ended.discard(run)

    def close(self) -> None:
        """Remove all empty cgroups when the daemon ends."""
        self.remove_empty()
        if self._base and not self._groups:
            with contextlib.suppress(OSError):
                os.rmdir(self._base)


def _lowered(limit: int, value: int) -> int:
    """Return `value`, or the daemon's own hard limit if that is lower: root could exceed it."""
    _, hard = resource.getrlimit(limit)
    return value if hard == resource.RLIM_INFINITY else min(value, hard)


def _write(group: str | None, name: str, value: str) -> bool:
    """Write to a file of a cgroup; False if there is no cgroup or the kernel refuses the value."""
    if group is None:
        return False
    try:
        with open(f"{group}/{name}", "w", encoding="ascii") as file:
            file.write(value)
    except OSError:
        return False
    return True
