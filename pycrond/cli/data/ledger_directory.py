"""The directory of the ledger that commands read."""

import os

from pycrond.settings import Settings


def ledger_directory(settings: Settings) -> str:
    """Return the state directory; if no daemon has run with it, one with the ledger that it would begin.

    Without any crontab the state directory is returned too: its name may be mistyped.
    """
    try:
        os.stat(settings.ledger_path)
    except FileNotFoundError:
        from pycrond.cli.data.planned import planned_directory

        return planned_directory(settings)
    except OSError:
        pass  # a reader reports it
    return settings.state_dir
