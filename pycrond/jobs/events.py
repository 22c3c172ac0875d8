"""Events that the subsystems emit: immutable records of changes of runs."""

from datetime import datetime
from typing import NamedTuple

from pycrond.jobs.run import Cause, Fire, Outcome


class Started(NamedTuple):
    """A run's command was started."""

    run: int
    fire: Fire


class Ended(NamedTuple):
    """A run ended, or could not be started."""

    run: int
    fire: Fire
    outcome: Outcome
    at: datetime
    duration: float | None
    """Seconds; None if it was not measured."""
    printed: int
    """Bytes of output; 1 if more may come, or if the run could not be started."""


class Skipped(NamedTuple):
    """A fire was not started, by a rule or on request."""

    run: int
    key: str
    cause: Cause


class Abandoned(NamedTuple):
    """A retry was not started, by a rule or on request: its fire has failed."""

    run: int
    fire: Fire
    cause: Cause


class Missed(NamedTuple):
    """A fire, or several consecutive ones, did not start: no daemon ran in time, or `within` was over."""

    run: int | None
    """The row of the ledger that records it; None for a shared job: the cluster's database records it."""
    key: str


Event = Started | Ended | Skipped | Abandoned | Missed
