"""The files with which crons tell each other that the @reboot jobs of this boot have run.

They are in /run, which is empty after a boot. Debian's cron and cronie each make an empty file. pycrond makes
both files and writes the id of the boot into them, since /run may survive a restart of a container.
"""

import contextlib
import os
from collections.abc import Iterable

from pycrond.errors import PycrondError
from pycrond.host import safe_paths
from pycrond.host.machine import read_text
from pycrond.jobs.job import Job
from pycrond.settings import Settings

NAMES = ("run/crond.reboot", "run/cron.reboot")  # of Debian's cron, of cronie


def have_run(root: str, boot: str) -> bool:
    """Return whether a cron of the system below `root` has run the @reboot jobs of this boot."""
    paths = [os.path.join(root, name) for name in NAMES]
    return any(os.path.lexists(path) and read_text(path) in {"", boot} for path in paths)


def due(jobs: Iterable[Job], settings: Settings, boot: str) -> list[Job]:
    """Return the @reboot jobs to run. If a cron has run those of the system's crontabs, leave them out."""
    at_boot = [job for job in jobs if not job.entry.schedule]
    if not settings.system or not have_run(settings.root, boot):
        return at_boot
    own = tuple(f"{directory}/" for directory in settings.crontabs)
    return [job for job in at_boot if job.entry.file.startswith(own)]


def write(settings: Settings, boot: str) -> None:
    """Record for other crons that the @reboot jobs of the system have run; ignore errors (no /run)."""
    for name in NAMES if settings.system else ():
        with contextlib.suppress(OSError, PycrondError):
            safe_paths.write_file(os.path.join(settings.root, name), f"{boot}\n".encode(), 0o600)
