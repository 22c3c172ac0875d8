"""The checkpoint: the last minute for which jobs were started, in a small file that is overwritten in place.

It survives a kill of the daemon and a full disk.
"""

import os
import struct
from datetime import UTC, datetime
from typing import NamedTuple

from pycrond import clock
from pycrond.errors import PycrondError, os_reason
from pycrond.hashing import digest
from pycrond.host import machine
from pycrond.host.safe_paths import OWN_FILE
from pycrond.ledger.jobs import JobTable

FORMAT = struct.Struct("<8sqqqq16sqq")  # an older file lacks the last two numbers
MAX_ERA = (1 << 63) - 1  # the largest integer of SQLite
MAX_TIME = datetime(9999, 12, 30, tzinfo=UTC)  # a conversion to a time zone needs room until the year's end
MAX_LAG = 3600.0  # seconds by which the file may be older than the ledger after a power cut
MAGIC, FIRST_MAGIC = b"pycrond2", b"pycrond1"


class CheckpointRecord(NamedTuple):
    """The contents of the file. If `at` is None, the other values have no meaning."""

    at: datetime | None
    """The last minute for which jobs were started."""
    eras: tuple[int, int] = (0, 0)
    """The eras of fixed-time jobs and of wildcard jobs."""
    unwritten_since: datetime | None = None
    """The first minute whose claims were only in memory, because the disk was full."""
    boot: bytes = b""
    """A digest of the boot whose @reboot jobs were claimed."""
    latest: datetime | None = None
    """The latest minute for which jobs were started, if the clock was set back after it."""
    elapsed: int = 0
    """The time of the write, in seconds since the boot."""


class Checkpoint:
    """The open checkpoint file, which is written before the jobs of its minute are started.

    A run that was claimed for a later minute has certainly not been started. A run that was claimed for this
    minute or an earlier one may have been started, and is never started again.
    """

    def __init__(self, path: str) -> None:
        """Allocate the file's space on the disk; raises PycrondError if that fails."""
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | OWN_FILE, 0o600)
            os.posix_fallocate(self._descriptor, 0, FORMAT.size)
        except OSError as error:
            raise PycrondError(f"cannot write {path}: {os_reason(error)}") from error
        record = self.read()
        self.boot = record.boot
        self.unwritten_since = record.unwritten_since
        self.latest = record.latest

    def read(self) -> CheckpointRecord:
        """Return the contents; `at` is None at the very first start, and if the file is damaged."""
        return _parse(os.pread(self._descriptor, FORMAT.size, 0))

    def read_after_boot(self, jobs: JobTable) -> CheckpointRecord:
        """Return the contents, with the minute of a later claim if the machine was booted since: a power cut
        may undo the latest writes of the file, but no claim. Jobs of a claimed minute may have been started.
        """
        record = self.read()
        if record.at is None or record.latest or record.boot == boot_mark():
            return record
        claimed = jobs.latest_fire(record.at.timestamp(), MAX_LAG)
        return record._replace(at=clock.at(claimed)) if claimed else record

    def write(self, at: datetime, eras: tuple[int, int]) -> None:
        """Write a minute and its eras, with `unwritten_since`, `boot` and `latest` as they are now."""
        times = (int(time.timestamp()) if time else 0 for time in (self.unwritten_since, self.latest))
        since, latest = times
        numbers = (int(at.timestamp()), *eras, since, self.boot, latest, int(clock.elapsed()))
        os.pwrite(self._descriptor, FORMAT.pack(MAGIC, *numbers), 0)

    def write_turn(self, at: datetime, eras: tuple[int, int], last: datetime, *, is_unwritten: bool) -> None:
        """Write the turn at the minute `at`, which follows the turn at `last`. While the clock shows less
        than at the latest turn, that turn is noted as well. With `is_unwritten`, the first turn is noted
        whose starts the ledger does not have: the next daemon needs it after a crash.
        """
        latest = max(last, self.latest or last)
        self.latest = latest if at < latest else None
        self.unwritten_since = (self.unwritten_since or at) if is_unwritten else None
        self.write(at, eras)

    def close(self) -> None:
        os.close(self._descriptor)


def read_checkpoint(path: str) -> CheckpointRecord:
    """Return the contents of a checkpoint file without a daemon; `at` is None if there is no file."""
    try:
        with open(path, "rb") as file:
            return _parse(file.read(FORMAT.size))
    except OSError:
        return CheckpointRecord(None)


def _parse(data: bytes) -> CheckpointRecord:
    magic, seconds, fixed, wild, since, boot, later, elapsed = FORMAT.unpack(data.ljust(FORMAT.size, b"\0"))
    if magic == FIRST_MAGIC and seconds:
        since, boot, later = 0, b"", 0
    elif magic != MAGIC:
        return CheckpointRecord(None)
    try:
        at = datetime.fromtimestamp(seconds, UTC)
        unwritten_since, latest = (
            datetime.fromtimestamp(time, UTC) if time else None for time in (since, later)
        )
    except (OSError, OverflowError, ValueError):
        return CheckpointRecord(None)
    if not 0 <= fixed < MAX_ERA > wild >= 0 or at > MAX_TIME:
        return CheckpointRecord(None)
    return CheckpointRecord(at, (fixed, wild), unwritten_since, boot.rstrip(b"\0"), latest, elapsed)


def boot_mark() -> bytes:
    """Return a digest that identifies this boot of the machine."""
    return digest(machine.boot_id().encode(), 8).encode()
