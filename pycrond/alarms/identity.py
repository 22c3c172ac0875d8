"""The permanent change of the courier's user, from root to another user."""

import pwd
from collections.abc import Iterable

from pycrond.alarms.errors import TemporaryDeliveryError
from pycrond.errors import os_reason
from pycrond.host import spawner_program

UNUSED_IDS = range(61184, 65520)
"""The uids that systemd gives to services while they run; no account has one of them."""


def become(uid: int, gid: int, groups: Iterable[int]) -> None:
    """Become a user with these groups, in a session keyring of its own. Raises TemporaryDeliveryError; the
    process must then end.
    """
    try:
        spawner_program.join_new_keyring()
        spawner_program.become_user(uid, gid, groups)
    except OSError as error:
        raise TemporaryDeliveryError(f"cannot become uid {uid}, gid {gid}: {os_reason(error)}") from error


def unused_ids() -> tuple[int, int, tuple[int, ...]]:
    """Return a uid that no account has, a gid and no groups: only root can signal or trace its process."""
    for uid in UNUSED_IDS:
        try:
            pwd.getpwuid(uid)
        except KeyError:
            return uid, uid, ()
    raise TemporaryDeliveryError("there is no unused uid from 61184 to 65519 to send a mail with a password")
