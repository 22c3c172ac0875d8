"""The last bytes of a run's output, read from its spool in pieces for the database."""

from typing import NamedTuple

from pycrond.cluster.protocol import Answer, Report
from pycrond.output import spool

PIECE_SIZE = 64 << 10  # bytes


class Copy(NamedTuple):
    """Copies to make before the answer to the request that reported their runs."""

    runs: tuple[Report, ...]
    answer: Answer
    piece: int = 0
    """The next piece of the first run."""
    data: bytes = b""
    """The bytes from that piece on, all read at once, because the spool may be deleted."""

    def read(self, directory: str) -> "Copy | None":
        """Return the copy with the bytes of the next run with output; None if no run is left."""
        if self.data:
            return self
        for index, run in enumerate(self.runs):
            if directory and (data := spool.tail(directory, run.number, run.copied_output)):
                return Copy(self.runs[index:], self.answer, 0, data)
        return None

    def following(self) -> "Copy":
        """Return the remaining copies after this piece."""
        rest = self.data[PIECE_SIZE:]
        return self._replace(piece=self.piece + 1, data=rest) if rest else Copy(self.runs[1:], self.answer)
