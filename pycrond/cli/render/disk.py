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
DROP_REPORT_TIME = 86_400.0  # seconds after a drop in which it is reported


def read_disk(settings: Settings) -> DiskDocument | None:
    """Return the daemon's figures about the disk; None if it does not answer."""
    try:
        disk: DiskDocument | None = ask_daemon(settings, "status", timeout=ANSWER_TIMEOUT).get("disk")
    except PycrondError:
        return None
    return disk


def disk_lines(disk: DiskDocument | None, now: datetime) -> Iterator[str]:
    """Yield a line for each problem of the disk, with the output that waits for it."""
    if not disk:
        return
    if disk["trouble"]:
        runs = "output of " + counted(disk["blocked_runs"], "run")
        since = brief(disk["since"] or 0.0, now)
        text = f"output cannot be written since {since} ({disk['trouble']}): {runs} waits in pipes"
        yield f"{text}, {size(disk['blocked_bytes'])}"
    if disk["ledger"]:
        yield f"the ledger cannot be written ({disk['ledger']}): records of runs are kept in memory"
    if disk["dropped_at"] and now.timestamp() - disk["dropped_at"] < DROP_REPORT_TIME:
        text = f"spool-limit reached: {size(disk['dropped_bytes'])} of output dropped"
        yield f"{text}, last at {brief(disk['dropped_at'], now)}; {waiting(disk)}"


def waiting(disk: DiskDocument) -> str:
    """Return the amount of output that waits for delivery."""
    return f"{size(disk['waiting_bytes'])} of {counted(disk['waiting_runs'], 'run')} wait for delivery"


def size(number: int) -> str:
    """Return a number of bytes in a readable unit."""
    return memory(number >> 10) if number >> 10 else counted(number, "byte")
