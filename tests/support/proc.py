"""The facts in /proc about a process: see proc(5)."""

import contextlib
import os
from pathlib import Path
from typing import NamedTuple


class Stat(NamedTuple):
    """The first fields of /proc/PID/stat after the name; `tty` is 0 without a controlling terminal."""

    state: str
    parent: int
    group: int
    session: int
    tty: int


def stat(pid: int) -> Stat:
    state, *numbers = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:5]
    return Stat(state, *map(int, numbers))


def status(pid: int, field: str) -> str:
    """Return a field of /proc/PID/status, for example `Umask`."""
    lines = (line.partition(":") for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return next(text.strip() for name, _, text in lines if name == field)


def signals(mask: str) -> set[int]:
    """Return the numbers of the signals in a mask like SigIgn or SigBlk, without the two that glibc uses itself.

    glibc's posix_spawn leaves these two ignored; a program with threads resets them.
    """
    return {bit + 1 for bit in range(64) if int(mask, 16) >> bit & 1} - {32, 33}


def descriptors(pid: int) -> dict[int, str]:
    """Return the file of each open descriptor."""
    paths = {}
    for name in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            paths[int(name)] = os.readlink(f"/proc/{pid}/fd/{name}")
    return paths


def ancestors(pid: int) -> list[int]:
    """Return the pids of the ancestors, from the parent to the first process of the system."""
    pids = []
    while pid := stat(pid).parent:
        pids.append(pid)
    return pids


def exists(pid: int) -> bool:
    """Return whether there is such a process, which may be a zombie."""
    return os.path.exists(f"/proc/{pid}")


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process has used, without its children's."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
