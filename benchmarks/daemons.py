"""The daemons that are measured: their programs, arguments and directories of crontabs."""

import functools
import glob
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, replace

from crond import SCRIPT

PAST_RUNS = 5_000_000


@dataclass(frozen=True, slots=True)
class Daemon:
    """A daemon as the cells start it."""

    name: str
    argv: tuple[str, ...]
    """Empty if the daemon is not available."""
    spool: str = "/var/spool/cron/crontabs"
    generation: int = 1
    """1 for a child of the cell's first process; 2 for a grandchild, whose parent is the keeper."""
    logs_output: bool = False
    """True if it can send the output of jobs to syslog."""
    past: int = 0
    """The number of runs in its ledger before the measurement."""


def daemons(cronie: str | None) -> list[Daemon]:
    """Return all daemons, in the order of the table. `cronie` is the path of its crond, built from source."""
    arguments = ("start", "--system", "--dialect=debian", "--runtime-dir=/run/pycrond")
    pycrond = Daemon("pycrond", (SCRIPT, *arguments), generation=2, logs_output=True)
    return [
        pycrond,
        replace(pycrond, name="past", past=PAST_RUNS),
        Daemon("cronie", (cronie, "-n", "-s") if cronie else (), "/var/spool/cron", logs_output=True),
        Daemon("busybox", _argv(_busybox(), "crond", "-f", "-S")),
        Daemon("debian", _argv(_debian(), "-f")),
    ]


def _argv(program: str, *arguments: str) -> tuple[str, ...]:
    return (program, *arguments) if program else ()


def _debian() -> str:
    return "/usr/sbin/cron" if os.access("/usr/sbin/cron", os.X_OK) else _unpacked("cron", "usr/sbin/cron")


def _busybox() -> str:
    """Return the path of a busybox with crond, which Debian's package `busybox` lacks."""
    installed = shutil.which("busybox") or ""
    return installed if _has_crond(installed) else _unpacked("busybox-static", "bin/busybox")


def _has_crond(program: str) -> bool:
    if not program:
        return False
    done = subprocess.run([program, "--list"], capture_output=True, text=True, check=False)
    return "crond" in done.stdout.split()


@functools.cache
def _unpacked(package: str, program: str) -> str:
    """Download and unpack a package, and return the path of a program in it; empty if that is impossible."""
    directory = os.path.join(tempfile.gettempdir(), f"pycrond-bench-peer-{os.geteuid()}-{package}")
    path = os.path.join(directory, program)
    if os.path.exists(path) or not shutil.which("apt-get"):
        return path if os.path.exists(path) else ""
    os.makedirs(directory, mode=0o700, exist_ok=True)
    for command in (
        ["apt-get", "download", package],
        ["apt-get", "update"],
        ["apt-get", "download", package],
    ):
        subprocess.run(command, cwd=directory, capture_output=True, check=False)
        if packages := glob.glob(f"{directory}/*.deb"):
            subprocess.run(["dpkg", "-x", packages[0], directory], check=True)
            break
    return path if os.path.exists(path) else ""
