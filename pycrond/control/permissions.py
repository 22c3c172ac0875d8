"""The permissions of the control socket's clients: whose jobs a user may see and control."""

import os
from typing import NamedTuple

from pycrond.errors import PycrondError
from pycrond.host.names import NAMES


class Requester(NamedTuple):
    """The name of a client's user, and the user whose jobs the client may see and control."""

    name: str
    user: str | None
    """None: all users."""

    def can_access(self, user: str) -> bool:
        """Return whether the requester may see and control a user's jobs."""
        return self.user is None or self.user == user


def requester(uid: int, *, system: bool) -> Requester:
    """Return the user that makes a request.

    Root and the daemon's own user may do everything. With `system`, other users may control their own jobs;
    otherwise PycrondError is raised.
    """
    if uid in {0, os.geteuid()}:
        return Requester(NAMES.owner_name(uid), None)
    # A uid without a name is refused.
    if system and (account := NAMES.owner(uid)):
        return Requester(account.name, account.name)
    raise PycrondError("only root and the daemon's own user may do that")
