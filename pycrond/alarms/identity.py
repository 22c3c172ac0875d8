"""The change of the courier's user, from root to another user, without a way back."""

import ctypes
import os
import pwd
import struct
from collections.abc import Iterable

from pycrond.alarms.errors import TemporaryDeliveryError

UNUSED_IDS = range(61184, 65520)
"""The uids that systemd gives to services for the time that they run; no account has one of them."""
CAPABILITY_VERSION_3 = 0x20080522  # <linux/capability.h>


def become(uid: int, gid: int, groups: Iterable[int]) -> None:
    """Become a user with these groups. Raises TemporaryDeliveryError; the process must then end."""
    try:
        os.setgroups([*groups])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
        if uid:
            _drop_capabilities()
    except OSError as error:
        raise TemporaryDeliveryError(f"cannot become uid {uid}, gid {gid}: {error.strerror}") from error


def unused_ids() -> tuple[int, int, tuple[int, ...]]:
    """Return a uid that no account has, a gid and no groups: only root can signal or trace its process."""
    for uid in UNUSED_IDS:
        try:
            pwd.getpwuid(uid)
        except KeyError:
            return uid, uid, ()
    raise TemporaryDeliveryError("there is no unused uid from 61184 to 65519 to send a mail with a password")


def _drop_capabilities() -> None:
    """Clear the permitted, effective, inheritable and with them the ambient capabilities (capset(2))."""
    header, nothing = struct.pack("=Ii", CAPABILITY_VERSION_3, 0), bytes(24)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.capset(ctypes.create_string_buffer(header), ctypes.create_string_buffer(nothing)):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
