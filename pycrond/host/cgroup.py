"""What a run may use, and who belongs to it: by a cgroup where one may be made, else by what programs set.

Only jobs with `timeout`, `memory` or `cpu` get a cgroup (version 2, cgroups(7)); they enter it by a shell
that executes what follows.
"""

import contextlib
import errno
import math
import os
import re
from collections.abc import Mapping

from pycrond.hashing import digest
from pycrond.jobs.options import Options

NICE, IONICE, PRLIMIT, SHELL = "/usr/bin/nice", "/usr/bin/ionice", "/usr/bin/prlimit", "/bin/sh"
ENTER = 'echo 0 2>/dev/null >"$0"; exec "$@"'
CLASSES = {"realtime": "1", "best-effort": "2", "idle": "3"}
PERIOD = 100_000  # microseconds, of cpu.max


def own_cgroup(mounts: str = "/proc/self/mountinfo", membership: str = "/proc/self/cgroup") -> str | None:
    """The directory of the cgroup that this process is in; None where version 2 is not mounted."""
    try:
        with open(mounts, encoding="utf-8", errors="surrogateescape") as file:
            places = [line.split()[4] for line in file if " - cgroup2 " in line]
        with open(membership, encoding="utf-8", errors="surrogateescape") as file:
            inside = re.search("^0::(.*)$", file.read(), re.MULTILINE)
    except OSError:
        return None
    return os.path.join(places[0], inside[1].lstrip("/")).rstrip("/") if places and inside else None


class ResourceLimits:
    """One cgroup below the daemon's own, made when it is needed, and one in it for each run that needs it."""

    def __init__(self, state_dir: str) -> None:
        """`state_dir` tells this daemon from others."""
        self.state_dir = state_dir
        own = own_cgroup()
        self._base = os.path.join(own, f"pycrond-{digest(os.fsencode(state_dir), 6)}") if own else None
        self._groups: set[int] = set()
        self._emptying: set[int] = set()  # to be removed, once their processes are gone
        self._made = False

    def find_existing(self) -> None:
        """The cgroups that an earlier daemon made."""
        with contextlib.suppress(OSError):
            self._groups |= {int(name) for name in os.listdir(self._base or "") if name.isdigit()}

    def command_prefix(self, options: Options, run: int) -> tuple[str, ...]:
        """The command that a run's own is to follow; empty where it has no limits."""
        group = self._group(run) if options.timeout or options.memory or options.cpu else None
        words: list[str] = [SHELL, "-c", ENTER, f"{group}/cgroup.procs"] if group else []
        if options.nice:
            words += [NICE, "-n", str(options.nice)]
        if options.ionice:
            kind, _, level = options.ionice.partition(":")
            words += [IONICE, "-c", CLASSES[kind], *(["-n", level] if level else [])]
        limits = self._without_group(options, group)
        if limits:
            words += [PRLIMIT, *limits]
        return tuple(words)

    def _without_group(self, options: Options, group: str | None) -> list[str]:
        """What prlimit(1) is to do: limits of each process, for want of limits of all together."""
        words = []
        if options.memory and not _write(group, {"memory.max": str(options.memory)}):
            words.append(f"--as={options.memory}")
        if options.cpu and not _write(group, {"cpu.max": f"{int(options.cpu * PERIOD)} {PERIOD}"}):
            # Processor time, not its share: what the share comes to until the run is ended.
            words += [f"--cpu={math.ceil(options.cpu * options.timeout)}"] if options.timeout else []
        return words

    def mechanisms(self) -> dict[str, str]:
        """By what memory and cpu are limited here."""
        group = self._group(0)
        has = {name: bool(group) and os.path.exists(f"{group}/{name}.max") for name in ("memory", "cpu")}
        self.remove(0)
        return {
            "memory": "cgroup" if has["memory"] else "RLIMIT_AS of each process",
            "cpu": "cgroup" if has["cpu"] else "RLIMIT_CPU of each process, with a timeout",
        }

    def _group(self, run: int) -> str | None:
        """The run's cgroup, made now; None where there can be none."""
        if self._base is None:
            return None
        group = os.path.join(self._base, str(run))
        try:
            if not self._made:
                self._make_base(self._base)
            os.makedirs(group, exist_ok=True)
        except OSError:
            return None
        self._groups.add(run)
        return group

    def _make_base(self, base: str) -> None:
        os.makedirs(base, exist_ok=True)
        self._made = True
        for parent in (os.path.dirname(base), base):
            for controller in ("+memory", "+cpu"):  # each that there is
                _write(parent, {"cgroup.subtree_control": controller})

    def pids(self, run: int) -> list[int] | None:
        """The pids in a run's cgroup; None where it has none."""
        if run not in self._groups:
            return None
        try:
            with open(f"{self._base}/{run}/cgroup.procs", encoding="ascii") as file:
                return [int(line) for line in file]
        except OSError:
            return None

    def kill(self, run: int) -> bool:
        """KILL to all in a run's cgroup; False where it has none."""
        return run in self._groups and _write(f"{self._base}/{run}", {"cgroup.kill": "1"})

    def remove(self, run: int) -> None:
        """The cgroup goes, as soon as it is empty."""
        if run in self._groups:
            self._emptying.add(run)
            self.remove_empty()

    def remove_empty(self) -> None:
        """Remove what has become empty."""
        for run in [*self._emptying]:
            with contextlib.suppress(FileNotFoundError):
                try:
                    os.rmdir(f"{self._base}/{run}")
                except OSError as error:
                    if error.errno == errno.EBUSY:
                        continue
                    raise
            self._groups.discard(run)
            self._emptying.discard(run)

    def close(self) -> None:
        """The daemon ends: nothing empty stays behind."""
        self.remove_empty()
        if self._base and not self._groups:
            with contextlib.suppress(OSError):
                os.rmdir(self._base)


def _write(group: str | None, values: Mapping[str, str]) -> bool:
    """Into files of a cgroup; whether it was taken."""
    if group is None:
        return False
    try:
        for name, value in values.items():
            with open(f"{group}/{name}", "w", encoding="ascii") as file:
                file.write(value)
    except OSError:
        return False
    return True
