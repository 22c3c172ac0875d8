"""The files by which crons tell each other that the @reboot jobs of this boot have run.

They lie in /run, which is empty after a boot. Debian's cron and cronie make one and never write to it;
pycrond makes both, and writes the boot into them, since /run of a container may outlive it.
"""

import contextlib
import os

from pycrond.errors import PycrondError
from pycrond.host import safe_paths
from pycrond.host.machine import read_text

NAMES = ("run/crond.reboot", "run/cron.reboot")  # of Debian's cron, of cronie


def have_run(root: str, boot: str) -> bool:
    """Return whether a cron of the system below `root` has run the @reboot jobs of this boot."""
    paths = [os.path.join(root, name) for name in NAMES]
    return any(os.path.lexists(path) and read_text(path) in {"", boot} for path in paths)


def write(root: str, boot: str) -> None:
    """Let other crons know that the @reboot jobs have run; without a directory for it, they do not."""
    for name in NAMES:
        with contextlib.suppress(OSError, PycrondError):
            safe_paths.write_file(os.path.join(root, name), f"{boot}\n".encode(), 0o600)
