"""On what was measured. No name of the machine: what counts is its kind."""

import os
import platform
import subprocess
import time
from collections.abc import Sequence

from crond import DISK, MEMORY
from daemons import Daemon


def machine(daemons: Sequence[Daemon]) -> dict[str, str | int | float]:
    """Facts to judge the figures by; `load` is that of the minute before the bench."""
    return {
        "measured_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "cores": len(os.sched_getaffinity(0)),
        "processor": _processor(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "sh": os.path.basename(os.path.realpath("/bin/sh")),
        "state_on": _filesystem(DISK),
        "runtime_on": _filesystem(MEMORY),
        "load": round(os.getloadavg()[0], 2),
        "peers": ", ".join(one.name for one in daemons if one.argv and one.generation == 1) or "none",
    }


def _processor() -> str:
    with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
        for line in file:
            name, _, text = line.partition(":")
            if name.strip() == "model name":
                return text.strip()
    return platform.machine()


def _filesystem(directory: str) -> str:
    done = subprocess.run(["stat", "-f", "-c", "%T", directory], capture_output=True, text=True, check=True)
    return done.stdout.strip()
