"""The share of each user in what all users of a daemon use together. Pure."""

from collections.abc import Mapping
from typing import NamedTuple

from pycrond.settings import Settings

MAX_RUNNING = 1000  # runs of a user at once, where `max-running-user` is 0 and descriptors suffice
FDS_OF_A_RUN = 4  # at most: two FIFOs with `log=split`, the spool, and the pidfd of an adopted process


class Shares(NamedTuple):
    """The limits that apply to each user other than root and the daemon's own; 0: no limit."""

    own: str
    """The daemon's user."""
    running: int
    """Runs at once, and outputs that processes of ended runs still hold open."""
    waiting: int
    """Fires that wait for another run, a lock or a place."""
    catch_ups: int
    """Missed fires that are caught up, of those that one absence or clock change has passed over."""
    spooled: int
    """Bytes of output that wait for syslog."""

    @classmethod
    def of(cls, settings: Settings, own: str, max_fds: int) -> "Shares":
        """The shares under these settings. `max_fds` is the number of descriptors that the daemon may open.

        `max-running-user` 0 leaves others at least a quarter of `max-running` (one place, if it is not 1) and
        half of the descriptors.
        """
        running = settings.max_running_user or min(MAX_RUNNING, max(1, max_fds // (2 * FDS_OF_A_RUN)))
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
        """Return how many more runs a user may have, if it holds so many places; None: no limit applies."""
        return max(0, self.running - held.get(user, 0)) if self.running and self.is_limited(user) else None
