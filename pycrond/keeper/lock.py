"""The lock of a daemon: STATE/lock, which the keeper and the daemon hold for life."""

import fcntl
import os

from pycrond.errors import PycrondError, os_reason
from pycrond.host.safe_paths import OWN_FILE


def acquire_lock(state_dir: str) -> int | None:
    """Lock STATE/lock and return its descriptor; None while another keeper or daemon holds the lock.

    The file is never unlinked: otherwise two processes could hold locks on two files of the same name.
    """
    path = os.path.join(state_dir, "lock")
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | OWN_FILE, 0o600)
    except OSError as error:
        raise PycrondError(f"cannot open {path}: {os_reason(error)}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def is_locked(state_dir: str) -> bool:
    """Return whether a keeper or a daemon holds the lock, by trying a shared lock for an instant."""
    try:
        descriptor = os.open(os.path.join(state_dir, "lock"), os.O_RDONLY | OWN_FILE)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise PycrondError(f"cannot open {state_dir}/lock: {os_reason(error)}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)
