"""Who asks through the control socket, for which jobs, and what a request says, checked."""

import os
from dataclasses import dataclass
from typing import Any

from pycrond.errors import PycrondError
from pycrond.host import users

TEXT_MOST = 4096  # characters of a text in a request


@dataclass(frozen=True, slots=True)
class Requester:
    """A user by name, and whose jobs that one may see and act on."""

    name: str
    user: str | None
    """None: everybody's."""

    def can_access(self, user: str) -> bool:
        """Whether a user's jobs are for this one to see and act on."""
        return self.user is None or self.user == user


def requester(uid: int, *, system: bool) -> Requester:
    """Root and the daemon's own user may do everything, others something with `system` only: PycrondError."""
    account = users.own(uid)
    if uid in {0, os.geteuid()}:
        return Requester(account.name, None)
    # Not one without a name, whose number may be another user's name.
    known = users.named(account.name)
    if system and known and known.uid == uid:
        return Requester(account.name, account.name)
    raise PycrondError("only root and the daemon's own user may do that")


def text(request: dict[str, Any], name: str, default: str | None = None) -> str:
    """A text of a request; raises PycrondError where there is none that can be stored."""
    value = request.get(name, default)
    if not isinstance(value, str) or len(value) > TEXT_MOST:
        raise PycrondError(f"'{name}': a text of at most {TEXT_MOST} characters is wanted")
    return value.encode("utf-8", "backslashreplace").decode()


def texts(request: dict[str, Any], name: str, most: int) -> list[str]:
    """Several of them, at least one."""
    values = request.get(name)
    if not isinstance(values, list) or not 0 < len(values) <= most:
        raise PycrondError(f"'{name}': a list of 1 to {most} texts is wanted")
    return [text({name: value}, name) for value in values]


def number(request: dict[str, Any], name: str, first: int, last: int) -> int:
    """A whole number from `first` to `last`."""
    value = request.get(name)
    if type(value) is not int or not first <= value <= last:
        raise PycrondError(f"'{name}': a whole number from {first} to {last} is wanted")
    return value
