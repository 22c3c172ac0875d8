"""Lines about a full disk, and about output beyond its limit."""

from collections.abc import Iterator
from datetime import datetime

from pycrond.cli.daemon_requests import ask_daemon
from pycrond.cli.documents.lists import DiskDocument
from pycrond.cli.render.formatting import brief
from pycrond.cli.render.run_table import memory
from pycrond.errors import PycrondError
from pycrond.settings import Settings
from pycrond.text import counted

ANSWER_TIMEOUT = 3.0  # seconds
SHOWN_DROPS_TIME = 86_400.0  # seconds


def read_disk(settings: Settings) -> DiskDocument | None:
    """Return what the daemon says about the disk; None if it does not answer."""
    try:
        disk: DiskDocument | None = ask_daemon(settings, "status", timeout=ANSWER_TIMEOUT).get("disk")
    except PycrondError:
        return None
    return disk


def disk_lines(disk: DiskDocument | None, now: datetime) -> Iterator[str]:
    """Yield what is wrong with the disk and what waits for it; nothing if nothing is wrong."""
    if not disk:
        return
    if disk["trouble"]:
        runs = "output of " + counted(disk["blocked_runs"], "run")
        since = brief(disk["since"] or 0.0, now)
        text = f"the disk takes no output since {since} ({disk['trouble']}): {runs} waits in pipes"
        yield f"{text}, {size(disk['blocked_bytes'])}"
    if disk["ledger"]:
        yield f"the ledger cannot be written ({disk['ledger']}): what jobs do is kept in memory"
    if disk["dropped_at"] and now.timestamp() - disk["dropped_at"] < SHOWN_DROPS_TIME:
        text = f"spool-limit reached: {size(disk['dropped_bytes'])} of output dropped"
        yield f"{text}, last at {brief(disk['dropped_at'], now)}; {waiting(disk)}"


def waiting(disk: DiskDocument) -> str:
    """Return how much waits for syslog or standard output."""
    return f"{size(disk['waiting_bytes'])} of {counted(disk['waiting_runs'], 'run')} wait for delivery"


def size(number: int) -> str:
    """Return a number of bytes in its unit."""
    return memory(number >> 10) if number >> 10 else f"{number} bytes"
