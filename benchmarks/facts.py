"""Facts about the machine of a measurement, without its name."""

import os
import platform
import subprocess
import time
from collections.abc import Sequence

from crond import DISK, MEMORY
from daemons import Daemon


def machine(daemons: Sequence[Daemon]) -> dict[str, str | int | float]:
    """Return the facts that matter in a comparison; `load` is the load before the benchmark."""
    peers = [daemon.name for daemon in daemons if daemon.argv and daemon.generation == 1]
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
        "peers": ", ".join(peers) or "none",
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
