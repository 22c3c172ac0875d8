"""What /proc says of a process: see proc(5)."""

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
    """A field of /proc/PID/status, as `Umask`."""
    lines = (line.partition(":") for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return next(text.strip() for name, _, text in lines if name == field)


def signals(mask: str) -> set[int]:
    """The numbers in a mask as SigIgn and SigBlk have it, without the C library's own two.

    glibc's posix_spawn leaves those ignored, and puts them right in every program that has threads.
    """
    return {bit + 1 for bit in range(64) if int(mask, 16) >> bit & 1} - {32, 33}


def descriptors(pid: int) -> dict[int, str]:
    """What each open descriptor leads to."""
    found = {}
    for name in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            found[int(name)] = os.readlink(f"/proc/{pid}/fd/{name}")
    return found


def ancestors(pid: int) -> list[int]:
    """From the parent up to the first process of all."""
    found = []
    while pid := stat(pid).parent:
        found.append(pid)
    return found


def exists(pid: int) -> bool:
    """Whether there is such a process, if only a zombie."""
    return os.path.exists(f"/proc/{pid}")
