"""New runs of limited users, before admission decides about them."""

import itertools
from collections.abc import Callable

from pycrond.jobs.fair_queue import FairQueue
from pycrond.jobs.run import OPEN
from pycrond.runs.launcher import ClaimedRun


class UserTurns:
    """Runs that wait until the account of their user is looked up, and then for the turn of their user."""

    def __init__(self, is_settled: Callable[[str], bool]) -> None:
        """`is_settled` begins the lookup of a user, and returns whether a start need not wait for it."""
        self._is_settled = is_settled
        self._ready: FairQueue[ClaimedRun] = FairQueue()
        self._unsettled: dict[str, list[ClaimedRun]] = {}  # by user

    def add(self, claimed: ClaimedRun) -> None:
        user = claimed.run.job.user
        if self._is_settled(user):
            self._ready.push(user, claimed)
        else:
            self._unsettled.setdefault(user, []).append(claimed)

    def settle(self) -> None:
        """Make the runs ready whose users have been looked up meanwhile."""
        for user in [user for user in self._unsettled if self._is_settled(user)]:
            for claimed in self._unsettled.pop(user):
                self._ready.push(user, claimed)

    @property
    def count(self) -> int:
        """The number of runs to decide about now."""
        return len(self._ready)

    def pop(self) -> ClaimedRun:
        """Remove and return the first run of the user whose turn it is."""
        return self._ready.pop()

    @property
    def claims(self) -> list[ClaimedRun]:
        """All runs here that have not been killed meanwhile."""
        claims = itertools.chain(self._ready, *self._unsettled.values())
        return [claimed for claimed in claims if claimed.run.state in OPEN]

    def take_all(self) -> list[ClaimedRun]:
        """Remove and return all runs."""
        claims = self.claims
        self._ready, self._unsettled = FairQueue(), {}
        return claims
