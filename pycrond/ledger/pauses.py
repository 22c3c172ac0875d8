"""The ledger's table of pauses."""

from collections.abc import Iterable
from datetime import datetime

from pycrond.ledger.database import Database
from pycrond.ledger.rows import PauseRow


class PauseTable:
    """Reads and writes it, in the ledger's file."""

    def __init__(self, file: Database) -> None:
        self._file = file

    def open(self) -> list[PauseRow]:
        """Those that have not been ended; their time may be over."""
        rows = self._file.db.execute("SELECT key, since, until, reason FROM pauses WHERE ended_at IS NULL")
        return [PauseRow(*row) for row in rows]

    def pause(self, keys: Iterable[str], until: float | None, reason: str, now: datetime) -> None:
        rows = [(key, now.timestamp(), until, reason) for key in keys]
        self._file.do(("INSERT INTO pauses (key, since, until, reason) VALUES (?, ?, ?, ?)", rows))

    def resume(self, keys: Iterable[str], now: datetime) -> None:
        rows = [(now.timestamp(), key) for key in keys]
        self._file.do(("UPDATE pauses SET ended_at = ? WHERE key = ? AND ended_at IS NULL", rows))
