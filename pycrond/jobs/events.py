"""Events that the subsystems emit: what happened to a run, as small immutable records."""

from datetime import datetime
from typing import NamedTuple

from pycrond.jobs.run import Cause, Fire, Outcome


class Started(NamedTuple):
    """A run's command was started."""

    run: int
    fire: Fire


class Ended(NamedTuple):
    """A run is over, or could not be started."""

    run: int
    fire: Fire
    outcome: Outcome
    at: datetime
    duration: float | None
    """Seconds; None where it was not measured."""
    printed: int
    """Bytes of output; 1 while more may come, and where the run could not be started."""


class Skipped(NamedTuple):
    """A fire was not started, by a rule or on request."""

    run: int
    key: str
    cause: Cause


class Abandoned(NamedTuple):
    """A further attempt was not started, by a rule or on request: its fire has failed."""

    run: int
    fire: Fire
    cause: Cause


class Missed(NamedTuple):
    """A fire, or several in a row, passed without a start: no daemon looked, or `within` was over."""

    run: int | None
    """The row of the ledger that says so; None: the cluster's database says it of a shared job."""
    key: str


Event = Started | Ended | Skipped | Abandoned | Missed
