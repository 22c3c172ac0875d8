"""The daemons that are measured: how each is had, where its crontabs lie, how it is started."""

import functools
import glob
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, replace

from crond import SCRIPT

PAST = 1_000_000


@dataclass(frozen=True, slots=True)
class Daemon:
    """What the cells need to know of one."""

    name: str
    argv: tuple[str, ...]
    """Empty where it is not to be had."""
    spool: str = "/var/spool/cron/crontabs"
    generation: int = 1
    """1: the cell's first process has it as its child; 2: as a child's child, and the child is its keeper."""
    logs_output: bool = False
    """Whether it can send what jobs print to syslog."""
    past: int = 0
    """So many runs lie in its ledger."""


def daemons(cronie: str | None) -> list[Daemon]:
    """All, in the order of the table. `cronie` is the path of a built crond."""
    ours = (
        "start",
        "--system",
        "--dialect=debian",
        "--runtime-dir=/run/pycrond",
    )
    pycrond = Daemon("pycrond", (SCRIPT, *ours), generation=2, logs_output=True)
    return [
        pycrond,
        replace(pycrond, name="past", past=PAST),
        Daemon("cronie", (cronie, "-n", "-s") if cronie else (), "/var/spool/cron", logs_output=True),
        Daemon("busybox", _argv(_busybox(), "crond", "-f", "-S")),
        Daemon("debian", _argv(_debian(), "-f")),
    ]


def _argv(program: str, *arguments: str) -> tuple[str, ...]:
    return (program, *arguments) if program else ()


def _debian() -> str:
    return "/usr/sbin/cron" if os.access("/usr/sbin/cron", os.X_OK) else _unpacked("cron", "usr/sbin/cron")


def _busybox() -> str:
    """Debian's smaller package has no crond in it."""
    installed = shutil.which("busybox") or ""
    return installed if _has_crond(installed) else _unpacked("busybox-static", "bin/busybox")


def _has_crond(program: str) -> bool:
    if not program:
        return False
    done = subprocess.run([program, "--list"], capture_output=True, text=True, check=False)
    return "crond" in done.stdout.split()


@functools.cache
def _unpacked(package: str, program: str) -> str:
    """A program of a package fetched and unpacked, not installed; empty if it is not to be had."""
    folder = os.path.join(tempfile.gettempdir(), f"pycrond-bench-peer-{os.geteuid()}-{package}")
    path = os.path.join(folder, program)
    if os.path.exists(path) or not shutil.which("apt-get"):
        return path if os.path.exists(path) else ""
    os.makedirs(folder, mode=0o700, exist_ok=True)
    for command in (
        ["apt-get", "download", package],
        ["apt-get", "update"],
        ["apt-get", "download", package],
    ):
        subprocess.run(command, cwd=folder, capture_output=True, check=False)
        if found := glob.glob(f"{folder}/*.deb"):
            subprocess.run(["dpkg", "-x", found[0], folder], check=True)
            break
    return path if os.path.exists(path) else ""
