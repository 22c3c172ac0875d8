"""Facts about the machine: its id, the id of its boot, its time zone, its mailer and its cron."""

import contextlib
import os
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from pycrond.errors import PycrondError, os_reason
from pycrond.host import safe_paths

if TYPE_CHECKING:
    from pycrond.schedule.timezone import Zone

LOCALTIME = "/etc/localtime"
ZONE_TREES = ("/usr/share/zoneinfo/", "/usr/lib/zoneinfo/", "/usr/share/lib/zoneinfo/", "/etc/zoneinfo/")


def read_text(path: str) -> str:
    """Return the text of a system file without surrounding whitespace; empty if it cannot be read."""
    try:
        with open(safe_paths.open_regular(path, os.O_RDONLY), encoding="ascii", errors="replace") as file:
            return file.read().strip()
    except (OSError, safe_paths.IrregularFileError):
        return ""


def boot_id() -> str:
    """Return an id of this boot of the machine or container: the kernel's boot_id and the start of process 1,
    since a container that is restarted keeps the boot_id.
    """
    fields = read_text("/proc/1/stat").rpartition(")")[2].split()
    return f"{read_text('/proc/sys/kernel/random/boot_id')}/{fields[19] if len(fields) > 19 else 0}"


def machine_id() -> str:
    """Return an id that differs between the machines of a fleet, so that they draw different times."""
    return read_text("/etc/machine-id") or read_text("/var/lib/dbus/machine-id") or os.uname().nodename


def local_zone_name(environ: Mapping[str, str]) -> str:
    """Return the time zone's name or its file's path: from TZ, else from /etc/localtime, else UTC."""
    if "TZ" in environ:
        return environ["TZ"].removeprefix(":") or "UTC"
    target = os.path.realpath(LOCALTIME)
    for tree in ZONE_TREES:
        if target.startswith(tree):
            return target.removeprefix(tree).removeprefix("posix/").removeprefix("right/")
    try:
        return _name_of_copy(_read_zone(target)) or LOCALTIME
    except OSError:
        return LOCALTIME if os.path.exists(LOCALTIME) else "UTC"


@lru_cache(maxsize=1)
def _name_of_copy(content: bytes) -> str | None:
    """Return the name of the zone whose file has this content; None if there is none. The ledger stores the
    name, which stays valid when the copy is replaced.
    """
    matches = []
    for tree in filter(os.path.isdir, ZONE_TREES):
        for directory, subdirectories, names in os.walk(tree):
            subdirectories[:] = {*subdirectories} - {"posix", "right"}
            for path in (os.path.join(directory, name) for name in {*names} - {"localtime", "posixrules"}):
                with contextlib.suppress(OSError):
                    if os.path.getsize(path) == len(content) and _read_zone(path) == content:
                        matches.append(path.removeprefix(tree))
    return min(matches, key=lambda name: ("/" not in name, name), default=None)


def _read_zone(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read(1 << 20)


def load_zone(name: str) -> "Zone":
    """Return a time zone by its name or the path of its file; raises PycrondError if there is none."""
    from zoneinfo import ZoneInfo  # noqa: PLC0415 -- crontab(1) needs none

    from pycrond.schedule.timezone import Zone  # noqa: PLC0415

    if not name.startswith("/"):
        return Zone.of(name)
    try:
        with open(name, "rb") as file:
            return Zone(ZoneInfo.from_file(file), name)
    except (OSError, ValueError) as error:
        raise PycrondError(f"cannot read time zone {name}: {os_reason(error)}") from error


def local_zone() -> "Zone":
    """Return the time zone of this process: from TZ, else the machine's."""
    return load_zone(local_zone_name(os.environ))


def is_mailer_available(mailer: str) -> bool:
    """Return whether the setting `mailer` names a server or an existing program."""
    return "://" in mailer or os.access(mailer, os.X_OK)


def detect_dialect(root: str) -> str:
    """Return the dialect of this system's cron, by ROOT/etc/os-release: `debian` or `cronie`."""
    words = set()
    for line in read_text(os.path.join(root, "etc/os-release")).splitlines():
        name, _, value = line.partition("=")
        if name in {"ID", "ID_LIKE"}:
            words |= set(value.strip("\"'").lower().split())
    return "debian" if words & {"debian", "ubuntu"} else "cronie"


def known_zone(name: str | None) -> "Zone | None":
    """Return the zone with a name; None without a name, or if the machine does not have the zone."""
    try:
        return load_zone(name) if name else None
    except PycrondError:
        return None
