"""The last turn the daemon took, in a small file overwritten in place: it survives a kill and a full disk."""

import os
import struct
from datetime import UTC, datetime

FORMAT = struct.Struct("<8sqqq")
MAGIC = b"pycrond1"


class LastTurn:
    """A minute and the clock eras, written before the jobs of that minute are started.

    What was claimed for a later minute has certainly not been started; what was claimed for this one or
    an earlier one may have been, and is never started again.
    """

    def __init__(self, path: str) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def read(self) -> tuple[datetime | None, tuple[int, int]]:
        """The minute and the eras of fixed-time and wildcard jobs; None and zeros at the very first start, or
        where the file is damaged.
        """
        data = os.pread(self._descriptor, FORMAT.size, 0)
        if len(data) < FORMAT.size:
            return None, (0, 0)
        magic, seconds, fixed, wild = FORMAT.unpack(data)
        if magic != MAGIC:
            return None, (0, 0)
        try:
            return datetime.fromtimestamp(seconds, UTC), (fixed, wild)
        except (OSError, OverflowError, ValueError):
            return None, (0, 0)

    def write(self, at: datetime, eras: tuple[int, int]) -> None:
        os.pwrite(self._descriptor, FORMAT.pack(MAGIC, int(at.timestamp()), *eras), 0)

    def close(self) -> None:
        os.close(self._descriptor)
