"""Answers to the queries of the control socket's clients, restricted to the data that the client may see.

A query reads only what fits into an answer, and the client asks for the rest. A long query is interrupted.
"""

import os
import sqlite3
from contextlib import closing
from typing import Any

from pycrond import clock
from pycrond.control import permissions, requests
from pycrond.control.permissions import Requester
from pycrond.control.records import MAX_ROWS, QUERIES, Records
from pycrond.errors import PycrondError, os_reason
from pycrond.settings import Settings
from pycrond.sources.user_crontabs import SPOOLS
from pycrond.text import duration

MAX_TIME = 0.05  # seconds that the ledger is read for an answer
MAX_BYTES = 1 << 20  # of text in an answer; as JSON up to three times as much


class Queries:
    """The queries of `control.records`; the ledger is opened for each, so that no transaction stays open."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def read(self, request: dict[str, Any], uid: int) -> dict[str, Any]:
        """Return the rows of one query."""
        requester = permissions.requester(uid, system=self._settings.system)
        name = requests.text(request, "method")
        if name not in QUERIES:
            raise PycrondError(f"unknown method (known: {', '.join(QUERIES)})")
        arguments = {parameter: check(request, parameter) for parameter, check in QUERIES[name].items()}
        deadline = clock.elapsed() + MAX_TIME
        with closing(self._records(requester)) as records:
            records.interrupt_when(lambda: clock.elapsed() > deadline)
            try:
                return {"rows": getattr(records, name)(**arguments)}
            except sqlite3.Error as error:
                if isinstance(error, sqlite3.OperationalError) and clock.elapsed() > deadline:
                    message = f"the ledger was read for {duration(MAX_TIME)}, the most for an answer"
                    raise PycrondError(f"{message}; ask for less") from error
                raise PycrondError(f"cannot read the ledger: {error}") from error
            except OSError as error:  # no descriptor is free
                raise PycrondError(f"cannot read the output: {os_reason(error)}") from error

    def _records(self, requester: Requester) -> Records:
        """Return a reader for a client. A user sees the problems of the crontab that has its name."""
        spools = [spool for spool, _ in SPOOLS.values()]
        crontabs = [os.path.join(self._settings.root, spool, requester.name) for spool in spools]
        return Records(
            self._settings.state_dir, requester.user, crontabs=crontabs, limit=MAX_ROWS, max_bytes=MAX_BYTES
        )
