"""The lock of a daemon, STATE/lock, which keeper and daemon hold for life, and its runtime directory."""

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


def claim_runtime_dir(runtime_dir: str, state_dir: str) -> None:
    """Write to RUNTIME/state-dir that the daemon of `state_dir` uses this runtime directory.

    Raises PycrondError while the daemon of another state directory does: both would use the same FIFOs and
    sockets. The caller holds the lock of `state_dir`.
    """
    path = os.path.join(runtime_dir, "state-dir")
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | OWN_FILE, 0o600)
        with open(descriptor, "r+b", buffering=0) as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # two starts at once
            user = os.fsdecode(file.read())
            if user == state_dir:
                return
            if user and not _is_same(user, state_dir) and is_locked(user):
                raise PycrondError(
                    f"the runtime directory {runtime_dir} is in use by the daemon with --state-dir {user};"
                    " give this one its own --runtime-dir"
                )
            file.truncate(0)
            os.pwrite(file.fileno(), os.fsencode(state_dir), 0)
    except OSError as error:
        raise PycrondError(f"cannot write {path}: {os_reason(error)}") from error


def _is_same(directory: str, other: str) -> bool:
    try:
        return os.path.samefile(directory, other)
    except OSError:
        return False
