"""The share of each user in the resources that all users of a daemon share. Pure."""

from collections.abc import Mapping
from typing import NamedTuple

from pycrond.settings import Settings

MAX_RUNNING = 1000  # runs of a user at once, if `max-running-user` is 0 and there are enough descriptors
FDS_PER_RUN = 4  # at most: two FIFOs with `log=split`, the spool, and the pidfd of an adopted process


class Shares(NamedTuple):
    """The limits that apply to each user other than root and the daemon's own; 0: no limit."""

    own: str
    """The daemon's user."""
    running: int
    """Runs at once, and outputs that processes of ended runs still hold open."""
    waiting: int
    """Fires that wait for another run, a lock or `max-running`."""
    catch_ups: int
    """Missed fires that are caught up after one absence or clock change."""
    spooled: int
    """Bytes of output that wait for syslog."""

    @classmethod
    def of(cls, settings: Settings, own: str, max_fds: int) -> "Shares":
        """Return the shares. `max_fds` is the number of descriptors that the daemon may open.

        With `max-running-user` 0, a user leaves at least a quarter of `max-running` (at least one run, unless
        it is 1) and half of the descriptors to other users.
        """
        running = settings.max_running_user or min(MAX_RUNNING, max(1, max_fds // (2 * FDS_PER_RUN)))
        if settings.max_running and not settings.max_running_user:
            running = min(running, max(1, min(settings.max_running - 1, settings.max_running * 3 // 4)))
        return cls(
            own,
            running,
            settings.max_waiting_user,
            settings.max_catch_ups_user,
            settings.spool_limit_user << 20,
        )

    def is_limited(self, user: str) -> bool:
        """Return whether the limits apply to a user."""
        return user not in {"root", self.own}

    def free_places(self, user: str, held: Mapping[str, int]) -> int | None:
        """Return how many more runs a user may have; `held` counts each user's places. None: no limit."""
        return max(0, self.running - held.get(user, 0)) if self.running and self.is_limited(user) else None
