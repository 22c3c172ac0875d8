"""Runs of a node without processes: claimed and settled in a real ledger."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from types import SimpleNamespace
from typing import Any, NamedTuple
from unittest.mock import patch

from pycrond.jobs.run import Cause, Fire, Run, State
from pycrond.ledger.database import Database, Work
from pycrond.ledger.writer import Ledger
from pycrond.runs.launcher import ClaimedRun


def write_without_waiting() -> AbstractContextManager[object]:
    """Do not let ledgers wait for the disk, which survives all crashes here."""

    def write(database: Database, *work: Work) -> bool:
        database.write(*work)
        return not database.has_pending

    return patch.object(Database, "write_durably", write)


class Start(NamedTuple):
    """A run that was started."""

    key: str
    wall: int
    node: str
    run: str
    at: float
    ends_at: float


class ModelRuns:
    """Claims runs in the ledger; a substitute for `Runs`."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.lines: list[str] = []
        self.termination = SimpleNamespace(log=self)
        self.launcher = SimpleNamespace(discard=lambda claims: None)

    def write(self, event: str, detail: str, now: Any, *, level: str = "info") -> None:
        """Take a line of the log."""
        self.lines.append(f"{event} {detail}")

    def claim(self, fires: Sequence[Fire]) -> list[ClaimedRun]:
        pairs = zip(fires, self._ledger.claim(fires), strict=True)
        return [
            ClaimedRun(Run.claimed(run, fire), has_waited=bool(fire.start_at))
            for fire, run in pairs
            if run is not None
        ]

    def make_ready(self, claims: Sequence[ClaimedRun]) -> None:
        if self._ledger.may_start([claimed.run.id for claimed in claims]):
            for claimed in claims:
                claimed.run.enter(State.CLAIMED)

    def cancel(self, claims: Sequence[ClaimedRun]) -> None:
        self._ledger.cancel([claimed.run.id for claimed in claims])

    def settle(self, claims: Sequence[tuple[ClaimedRun, Cause]], state: State, now: Any) -> None:
        for claimed, cause in claims:
            claimed.run.enter(state, cause)
        self._ledger.settle([(claimed.run.id, cause) for claimed, cause in claims], state, now)
