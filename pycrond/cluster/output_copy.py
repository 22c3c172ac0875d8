"""The last bytes of a run's output, read from its spool in pieces for the database."""

from typing import NamedTuple

from pycrond.cluster.protocol import Answer, Report
from pycrond.output import spool

PIECE_SIZE = 64 << 10  # bytes


class Copy(NamedTuple):
    """Copies to be made before the request that told of their runs is answered."""

    runs: tuple[Report, ...]
    answer: Answer
    piece: int = 0
    """The next piece of the first run."""
    data: bytes | None = None
    """From that piece on; None: not yet read."""

    def read(self, directory: str) -> "Copy":
        """Return the copy with the first run's bytes, read once: its spool may go on being deleted."""
        run = self.runs[0]
        return (
            self._replace(data=spool.tail(directory, run.number, run.copied_output))
            if self.data is None
            else self
        )

    def following(self) -> "Copy":
        """Return what is left after a piece."""
        rest = (self.data or b"")[PIECE_SIZE:]
        if rest:
            return self._replace(piece=self.piece + 1, data=rest)
        return Copy(self.runs[1:], self.answer)
