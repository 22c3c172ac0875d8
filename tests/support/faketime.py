"""libfaketime: gives whole process trees a clock of their own, also across an exec, unlike freezegun."""

import contextlib
import ctypes
import functools
import glob
import os
import re
import subprocess

from tests.support import packages, proc

CLONE_NEWNS = 0x20000  # <linux/sched.h>
SHARED_MEMORY = "/dev/shm"
FILE = re.compile(r"(?:faketime_shm|sem\.faketime_sem)_(\d+)")


def _installed() -> str:
    return next(iter(glob.glob("/usr/lib/*/faketime/libfaketime.so.1")), "")


@functools.cache
def library() -> str:
    """Return the path of the library to preload, which is installed if necessary."""
    packages.install("libfaketime", _installed)
    return _installed()


def unshare_mounts() -> bool:
    """Give this process mounts of its own, which others do not see; return False if it may not have them."""
    if ctypes.CDLL(None).unshare(CLONE_NEWNS):
        return False
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    return True


def hide_shared_memory() -> bool:
    """Give this process and its descendants an empty read-only /dev/shm, if it is root and may do so. Return
    whether it has mounts of its own now.

    libfaketime makes two files there that are named after the pid, and works as well if it cannot make them.
    A process that is killed leaves them behind, and a later process with the same pid fails because of them.
    """
    if os.geteuid() != 0 or not os.access(SHARED_MEMORY, os.W_OK):
        return False  # not root, or hidden by the process that started this one
    if not unshare_mounts():
        return False
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "none", SHARED_MEMORY], check=True)
    return True


def files() -> set[str]:
    """Return the paths of libfaketime's files in shared memory that belong to this user."""
    paths = set()
    with contextlib.suppress(FileNotFoundError), os.scandir(SHARED_MEMORY) as entries:
        for entry in entries:
            if FILE.fullmatch(entry.name) and entry.stat().st_uid == os.geteuid():
                paths.add(entry.path)
    return paths


def is_stale(path: str) -> bool:
    """Return whether the process that made such a file has ended."""
    match = FILE.fullmatch(os.path.basename(path))
    return bool(match and not proc.exists(int(match[1])))
