"""Facts about the machine: which boot this is, which machine, which time zone."""

import os
from collections.abc import Mapping
from zoneinfo import ZoneInfo

from pycrond.errors import PycrondError
from pycrond.schedule.timezone import Zone

LOCALTIME = "/etc/localtime"
ZONE_TREES = ("/usr/share/zoneinfo/", "/usr/lib/zoneinfo/", "/usr/share/lib/zoneinfo/", "/etc/zoneinfo/")


def _text(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""


def boot_id() -> str:
    """Which boot of the machine or container this is: boot_id alone outlives a container's restart."""
    first = _text("/proc/1/stat").rpartition(")")[2].split()
    return f"{_text('/proc/sys/kernel/random/boot_id')}/{first[19] if len(first) > 19 else 0}"


def machine_id() -> str:
    """What tells this machine from its like, so that a fleet's hashed schedules spread."""
    return _text("/etc/machine-id") or _text("/var/lib/dbus/machine-id") or os.uname().nodename


def local_zone_name(environ: Mapping[str, str]) -> str:
    """The daemon's time zone: TZ, else what /etc/localtime is, else UTC. A name, or a file's path."""
    if "TZ" in environ:
        return environ["TZ"].removeprefix(":") or "UTC"
    target = os.path.realpath(LOCALTIME)
    for tree in ZONE_TREES:
        if target.startswith(tree):
            return target.removeprefix(tree).removeprefix("posix/").removeprefix("right/")
    return LOCALTIME if os.path.exists(LOCALTIME) else "UTC"


def load_zone(name: str) -> Zone:
    """A zone by its name, or by the path of its file; raises PycrondError for neither."""
    if not name.startswith("/"):
        return Zone.of(name)
    try:
        with open(name, "rb") as file:
            return Zone(ZoneInfo.from_file(file), name)
    except (OSError, ValueError) as error:
        raise PycrondError(f"cannot read time zone {name}: {error}") from error


def is_mailer_available(mailer: str) -> bool:
    """Whether the setting names a server, or a program that is there."""
    return "://" in mailer or os.access(mailer, os.X_OK)


def detect_dialect(root: str) -> str:
    """Whose cron this system has, by ROOT/etc/os-release: `debian` or `cronie`."""
    words = set()
    for line in _text(os.path.join(root, "etc/os-release")).splitlines():
        name, _, value = line.partition("=")
        if name in {"ID", "ID_LIKE"}:
            words |= set(value.strip("\"'").lower().split())
    return "debian" if words & {"debian", "ubuntu"} else "cronie"
