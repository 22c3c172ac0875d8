"""The last turn the daemon took, in a small file overwritten in place: it survives a kill and a full disk."""

import os
import struct
from datetime import UTC, datetime
from typing import NamedTuple

from pycrond.errors import PycrondError

FORMAT = struct.Struct("<8sqqqq16s")
MAGIC, FIRST_MAGIC = b"pycrond2", b"pycrond1"


class CheckpointRecord(NamedTuple):
    """What the file says; all but `at` have no meaning where that is None."""

    at: datetime | None  # the last minute that had its turn
    eras: tuple[int, int] = (0, 0)  # of fixed-time and wildcard jobs
    owed: datetime | None = None  # from this turn on, claims were in memory only: the disk was full
    boot: bytes = b""  # digest of the boot whose @reboot jobs were claimed


class Checkpoint:
    """Written before the jobs of that minute are started.

    What was claimed for a later minute has certainly not been started; what was claimed for this one or
    an earlier one may have been, and is never started again.
    """

    def __init__(self, path: str) -> None:
        """The room is taken now; raises PycrondError where there is none."""
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            os.posix_fallocate(self._descriptor, 0, FORMAT.size)
        except OSError as error:
            raise PycrondError(f"cannot write {path}: {error.strerror}") from error
        found = self.read()
        self.boot = found.boot
        self.owed = found.owed

    def read(self) -> CheckpointRecord:
        """None for the minute at the very first start, or where the file is damaged."""
        return _parsed(os.pread(self._descriptor, FORMAT.size, 0))

    def write(self, at: datetime, eras: tuple[int, int]) -> None:
        """Also what `owed` and `boot` are now."""
        owed = int(self.owed.timestamp()) if self.owed else 0
        os.pwrite(self._descriptor, FORMAT.pack(MAGIC, int(at.timestamp()), *eras, owed, self.boot), 0)

    def close(self) -> None:
        os.close(self._descriptor)


def look(path: str) -> CheckpointRecord:
    """What the file says, without a daemon; None for the minute where there is none."""
    try:
        with open(path, "rb") as file:
            return _parsed(file.read(FORMAT.size))
    except OSError:
        return CheckpointRecord(None)


def _parsed(data: bytes) -> CheckpointRecord:
    magic, seconds, fixed, wild, owed, boot = FORMAT.unpack(data.ljust(FORMAT.size, b"\0"))
    if magic == FIRST_MAGIC and seconds:
        owed, boot = 0, b""
    elif magic != MAGIC:
        return CheckpointRecord(None)
    try:
        since = datetime.fromtimestamp(owed, UTC) if owed else None
        return CheckpointRecord(
            datetime.fromtimestamp(seconds, UTC), (fixed, wild), since, boot.rstrip(b"\0")
        )
    except (OSError, OverflowError, ValueError):
        return CheckpointRecord(None)
