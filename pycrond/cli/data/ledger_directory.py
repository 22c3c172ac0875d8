"""The directory of the ledger that commands read."""

import os
from functools import cache
from typing import TYPE_CHECKING

from pycrond import clock
from pycrond.host import machine
from pycrond.ledger.codec import JobRows
from pycrond.ledger.rows import FileRows
from pycrond.settings import Settings
from pycrond.text import storable

if TYPE_CHECKING:
    from tempfile import TemporaryDirectory


def ledger_directory(settings: Settings) -> str:
    """Return the state directory or, before the first start, a directory with the ledger of a first start.

    Without any crontab, return the state directory: its name may be mistyped.
    """
    try:
        os.stat(settings.ledger_path)
    except FileNotFoundError:
        planned = _planned_ledger(settings)
        return planned.name if planned else settings.state_dir
    except OSError:
        pass  # a reader reports it
    return settings.state_dir


@cache
def _planned_ledger(settings: Settings) -> "TemporaryDirectory[str] | None":
    """Return a directory with the jobs that a daemon would load, without any run; None without any crontab.

    It is removed when the process ends.
    """
    import tempfile

    from pycrond.cli.crontab_input import load_crontabs
    from pycrond.ledger.writer import Ledger

    loaded = load_crontabs(settings)
    if not loaded.sources:
        return None
    directory = tempfile.TemporaryDirectory(prefix="pycrond-")
    zone, now = machine.local_zone().name, clock.now()
    ledger = Ledger(os.path.join(directory.name, "ledger"))
    files = [
        FileRows(storable(source.file), f"{source.stamp} {zone}", JobRows(source.jobs, zone))
        for source in loaded.sources
    ]
    ledger.load(files, loaded.problems, now)
    ledger.stop(now)
    ledger.close()
    return directory
