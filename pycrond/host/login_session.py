"""The login session of a job: its keyring (session-keyring(7)) and its user in the audit log.

A process inherits both. So root's daemon changes its own before each start, which takes 16 us. Otherwise all
jobs would share those of the session in which the daemon was started.
"""

import contextlib
import ctypes
import errno
import functools
import os
import sys

KEYCTL_NUMBERS = {
    "aarch64": 219,
    "loongarch64": 219,
    "ppc64": 271,
    "ppc64le": 271,
    "riscv64": 219,
    "s390x": 280,
    "x86_64": 250,
}
"""The number of keyctl(2), for which glibc has no function, by the machine; 64-bit programs only."""
JOIN_SESSION_KEYRING, SETPERM = 1, 5  # <linux/keyctl.h>
POSSESSOR_USES, OWNER_VIEWS = 0x0F000000, 0x00010000
"""All rights but `link` and `setattr`, with which a user could keep the keyrings, that count as root's."""
REFUSED = {errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.EACCES}
"""Errors where the kernel has no keys, or a container must not use them: its jobs must not either."""
LOGIN_UID = "/proc/self/loginuid"
TRY_TWICE = ("/bin/sh", "-c", f"{{ echo 0 >{LOGIN_UID} && echo 1 >{LOGIN_UID}; }} 2>/dev/null")

_syscall = ctypes.CDLL(None, use_errno=True).syscall
_syscall.restype = ctypes.c_long


def begin(uid: int) -> None:
    """Take on a new login session of a user, for the next process that is started. Only for a daemon of root.

    Raises OSError if there is no room for another key: the process would share the one before.
    """
    _join_new_keyring()
    _set_login_uid(str(uid))


def leave() -> None:
    """Leave the session of the last process that was started."""
    with contextlib.suppress(OSError):  # the next `begin` fails too, or it does what failed here
        _join_new_keyring()
        _set_login_uid(login_uid_at_start())


def _join_new_keyring() -> None:
    number = KEYCTL_NUMBERS.get(os.uname().machine) if sys.maxsize > 1 << 32 else None
    if number is None:
        return
    serial = _syscall(ctypes.c_long(number), ctypes.c_long(JOIN_SESSION_KEYRING), None)
    if serial > 0:
        rights = ctypes.c_long(POSSESSOR_USES | OWNER_VIEWS)
        serial = _syscall(ctypes.c_long(number), ctypes.c_long(SETPERM), ctypes.c_long(serial), rights)
    if serial < 0 and ctypes.get_errno() not in REFUSED:
        error = ctypes.get_errno()
        raise OSError(error, f"cannot make a session keyring: {os.strerror(error)}")


def _set_login_uid(uid: str) -> None:
    if (descriptor := login_uid_file()) >= 0:
        os.pwrite(descriptor, uid.encode(), 0)


@functools.cache
def login_uid_at_start() -> str:
    """Return this process's user in the audit log at its start."""
    with open(LOGIN_UID, encoding="ascii") as file:
        return file.read()


@functools.cache
def login_uid_file() -> int:
    """Return a descriptor to set this process's user in the audit log; -1 where that is not possible.

    A shell tries it twice, as the kernel may accept only the first (auditctl --loginuid-immutable).
    """
    try:
        pid = os.posix_spawn(TRY_TWICE[0], TRY_TWICE, {}, setsigmask=[])
        if os.waitpid(pid, 0)[1]:
            return -1
        login_uid_at_start()
        return os.open(LOGIN_UID, os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return -1
