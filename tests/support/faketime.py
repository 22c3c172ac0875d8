"""libfaketime: a clock of their own for whole daemons, also across exec, where freezegun ends."""

import functools
import glob
import os
import shutil

import pytest

from tests.support.rsyslog import _apt_get


def _installed() -> str | None:
    return next(iter(glob.glob("/usr/lib/*/faketime/libfaketime.so.1")), None)


@functools.cache
def library() -> str:
    """The library to preload. Where CI runs, a test that cannot have it fails; elsewhere it is skipped."""
    found = _installed()
    if found is None:
        why = "no libfaketime, and not root with apt-get to install it"
        if os.geteuid() == 0 and shutil.which("apt-get"):
            why = _apt_get("update") or _apt_get("install", "--yes", "--no-install-recommends", "libfaketime")
        found = _installed()
        if found is None:
            give_up = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
            give_up(why)
    return found
