"""A ledger before the first start: the jobs that a daemon would load, without any run."""

import os
import tempfile
from functools import cache

from pycrond import clock
from pycrond.cli.crontab_input import load_crontabs
from pycrond.host import machine
from pycrond.ledger.codec import JobRows
from pycrond.ledger.rows import FileRows
from pycrond.ledger.writer import Ledger
from pycrond.settings import Settings
from pycrond.text import storable


@cache
def planned_directory(settings: Settings) -> str:
    """Return a directory with such a ledger; the state directory if there is no crontab."""
    loaded = load_crontabs(settings)
    if not loaded.sources:
        return settings.state_dir
    directory = tempfile.TemporaryDirectory(prefix="pycrond-")
    _DIRECTORIES.append(directory)
    zone, now = machine.local_zone().name, clock.now()
    ledger = Ledger(os.path.join(directory.name, "ledger"))
    files = [
        FileRows(storable(source.file), f"{source.stamp} {zone}", JobRows(source.jobs, zone))
        for source in loaded.sources
    ]
    ledger.load(files, loaded.problems, now)
    ledger.stop(now)
    ledger.close()
    return directory.name


_DIRECTORIES: list[tempfile.TemporaryDirectory[str]] = []
"""Removed when the process ends."""
