"""What jobs may have of the daemon's own environment, as containers give settings and secrets. Pure."""

import re
from collections.abc import Mapping

_NOT_FOR_JOBS = re.compile(
    "(?:LD|PYCROND|LISTEN|WATCHDOG|SYSTEMD)_.*|NOTIFY_SOCKET|INVOCATION_ID|JOURNAL_STREAM|M(?:AIN|ANAGER)PID"
    "|MALLOC_MMAP_THRESHOLD_|SHELL|HOME|LOGNAME|USER|MAIL|MAILTO|MAILFROM|PWD|OLDPWD|SHLVL|_|(?![A-Za-z_]).*"
)
"""What makes programs load files, what is for the daemon alone, and what is of whoever started it."""


def inherited(environ: Mapping[str, str], *, wanted: bool) -> dict[str, str]:
    """The variables that go to every job; none unless it is `wanted`."""
    return {name: value for name, value in environ.items() if wanted and not _NOT_FOR_JOBS.fullmatch(name)}
