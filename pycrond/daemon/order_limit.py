"""The limit of each user's orders: requests that start, end, pause or resume jobs."""

import os
from dataclasses import dataclass
from datetime import datetime

from pycrond import clock
from pycrond.errors import PycrondError
from pycrond.host.names import NAMES
from pycrond.output.daemon_log import DaemonLog
from pycrond.text import duration

MINUTE = 60.0  # seconds
LOG_INTERVAL = 3600.0  # seconds between two messages about the same user


@dataclass(slots=True)
class _Share:
    """The orders that a user may still give at the time `at`, by clock.elapsed; refilled within a minute."""

    left: float
    at: float


class OrderLimit:
    """Refuses a user's orders beyond the setting `max-orders`; root and the daemon's user have no limit."""

    def __init__(self, limit: int, log: DaemonLog) -> None:
        """`limit` is the number of orders a minute; 0: no limit."""
        self.limit = limit
        self.refused = 0
        """The number of orders that were refused."""
        self._log = log
        self._shares: dict[int, _Share] = {}
        self._logged_at: dict[int, float] = {}  # by clock.elapsed

    def count(self, uid: int, now: datetime) -> None:
        """Count an order; raises PycrondError if the user has none left."""
        if not self.limit or uid in {0, os.geteuid()}:
            return
        elapsed = clock.elapsed()
        self._shares = {user: share for user, share in self._shares.items() if elapsed - share.at < MINUTE}
        share = self._shares.setdefault(uid, _Share(self.limit, elapsed))
        share.left = min(self.limit, share.left + (elapsed - share.at) * self.limit / MINUTE)
        share.at = elapsed
        if share.left >= 1:
            share.left -= 1
            return
        self.refused += 1
        limit = f"at most {self.limit} orders a minute (setting max-orders)"
        if elapsed - self._logged_at.get(uid, -LOG_INTERVAL) >= LOG_INTERVAL:
            self._logged_at[uid] = elapsed
            detail = f"orders of {NAMES.owner_name(uid)} are refused: {limit}"
            self._log.write("WARNING", detail, now, level="warning")
        wait = (1 - share.left) * MINUTE / self.limit
        raise PycrondError(f"too many orders: {limit}; try again in {duration(max(1, wait))}")
