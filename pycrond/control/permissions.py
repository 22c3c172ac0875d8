"""The permissions of the control socket's clients: whose jobs a user may see and control."""

import os
from dataclasses import dataclass

from pycrond.errors import PycrondError
from pycrond.host import users


@dataclass(frozen=True, slots=True)
class Requester:
    """A user by name, and the user whose jobs it may see and act on."""

    name: str
    user: str | None
    """None: all users."""

    def can_access(self, user: str) -> bool:
        """Tell whether the requester may see and act on a user's jobs."""
        return self.user is None or self.user == user


def requester(uid: int, *, system: bool) -> Requester:
    """Return the user that makes a request.

    Root and the daemon's own user may do everything, others act on their own jobs, with `system` only; raises
    PycrondError.
    """
    account = users.by_uid(uid)
    if uid in {0, os.geteuid()}:
        return Requester(account.name, None)
    # A uid without a name is refused: its number may be the name of another user.
    known = users.by_name(account.name)
    if system and known and known.uid == uid:
        return Requester(account.name, account.name)
    raise PycrondError("only root and the daemon's own user may do that")
