"""The machine's time zone, which may be replaced while the daemon runs."""

import os
import time

from pycrond.host import machine
from pycrond.schedule.timezone import Zone, forget_zones


class LocalZone:
    """The time zone of this process. If TZ is set, it takes precedence, as in libc, and never changes."""

    def __init__(self) -> None:
        self._stamp = _stamp()

    def poll(self) -> Zone | None:
        """Return the new zone if /etc/localtime was replaced since the last call; None if it was not, or is
        missing. Raises PycrondError if the file is not a time zone: then the zone does not change.
        """
        stamp = _stamp()
        if "TZ" in os.environ or stamp is None or stamp == self._stamp:
            return None
        self._stamp = stamp
        forget_zones()
        zone = machine.local_zone()
        _reset_libc()
        return zone


def _reset_libc() -> None:
    """Have libc, which dates messages, read /etc/localtime again: it does so when TZ has changed."""
    os.environ["TZ"] = "UTC0"
    time.tzset()
    del os.environ["TZ"]
    time.tzset()


def _stamp() -> tuple[str, int, int, int, int] | None:
    """Return values that differ if the file or the target of the link differs; None if there is no file."""
    try:
        status = os.stat(machine.LOCALTIME)
    except OSError:
        return None
    target = os.path.realpath(machine.LOCALTIME)
    return target, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
