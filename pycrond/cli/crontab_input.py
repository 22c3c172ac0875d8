"""A crontab that a command line names: a file, or - for the standard input."""

import sys

from pycrond.sources import files
from pycrond.sources.files import PermissionCheck

STDIN = "-"


def read_named_crontab(file: str, check: PermissionCheck = files.NO_CHECK) -> bytes:
    """Return its bytes; raises UnreadableError as `files.read_crontab` does."""
    return sys.stdin.buffer.read() if file == STDIN else files.read_crontab(file, check)
