"""The claims of the next minute, made a second before it: the first start need not wait for the disk."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from pycrond.runs.launcher import ClaimedRun
from pycrond.runs.runs import Runs
from pycrond.scheduler.agenda import DueMinute
from pycrond.scheduler.delayed import DelayedStarts

if TYPE_CHECKING:
    from pycrond.cluster.cluster import Cluster


class MinuteClaims:
    """Claims the fires of a minute; hands the fires of shared jobs to the cluster."""

    def __init__(self, runs: Runs, delayed: DelayedStarts) -> None:
        self._runs = runs
        self._delayed = delayed
        self.cluster: Cluster | None = None
        """Set if the daemon is a node of a cluster."""
        self._made: tuple[DueMinute, Sequence[ClaimedRun]] | None = None

    @property
    def are_made(self) -> bool:
        """Return whether the next minute is claimed."""
        return self._made is not None

    def make(self, due: DueMinute, now: datetime) -> None:
        """Claim the next minute."""
        self._made = (due, self._claim(due, now, is_coming=True))

    def claims_of(self, due: DueMinute, now: datetime) -> Sequence[ClaimedRun]:
        """Return the claims of a minute that has come; make them now if they were not made before."""
        made = self._made
        if made and made[0].at == due.at and made[0].fires == due.fires:
            self._made = None
            claims = made[1]
        else:  # the clock may have been changed meanwhile
            self.cancel()
            claims = self._claim(due, now)
        if self.cluster:
            self.cluster.minute_came()
        return claims

    def cancel(self) -> None:
        """Undo the claims of the next minute."""
        if self._made:
            self._runs.cancel(self._made[1])
            self._made = None
            if self.cluster:
                self.cluster.cancel()

    def _claim(self, due: DueMinute, now: datetime, *, is_coming: bool = False) -> Sequence[ClaimedRun]:
        fires = self._delayed.with_delays(due.fires)
        if self.cluster:
            fires, shared = self.cluster.separate(fires)
            if shared:
                self.cluster.claim(shared, now, is_coming=is_coming)
        return self._runs.claim(fires) if fires else ()
