"""The machine's time zone, which may be replaced while the daemon runs."""

import os
import time

from pycrond.host import machine
from pycrond.schedule.timezone import Zone, forget_zones


class LocalZone:
    """The zone of this process; TZ decides if it is set, as in libc, and never changes."""

    def __init__(self) -> None:
        self._stamp = _stamp()

    def look(self) -> Zone | None:
        """Return the new zone if /etc/localtime was replaced since the last look; None if it was not, or is
        missing. Raises PycrondError if it is no zone; the zone stays then what it was.
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
    """Have libc read /etc/localtime again, by which messages are dated: it does so when TZ has changed."""
    os.environ["TZ"] = "UTC0"
    time.tzset()
    del os.environ["TZ"]
    time.tzset()


def _stamp() -> tuple[str, int, int, int, int] | None:
    """Return what identifies the file and where the link leads; None if there is none."""
    try:
        status = os.stat(machine.LOCALTIME)
    except OSError:
        return None
    target = os.path.realpath(machine.LOCALTIME)
    return target, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
