"""Access to the ledger and the spools through the daemon, for users who cannot open them."""

import base64
import functools
import operator
import time
from types import UnionType
from typing import Any, get_args, get_origin

from pycrond.cli.daemon_requests import Presence
from pycrond.control.client import ask
from pycrond.control.records import KEYS, MAX_ENDS, MAX_ROWS, QUERIES, Records
from pycrond.errors import NotRunningError

RETRY_INTERVAL = 0.2  # seconds
PAGED = ("jobs", "totals")  # queries whose rows may not fit into one answer
PORTION = MAX_ENDS  # keys or runs of a request, because each is a search in the ledger


class Remote(Records):
    """Sends each of QUERIES to the daemon, which answers with rows of the user's own jobs."""

    def __init__(self, path: str) -> None:
        self._path = path
        for name in QUERIES:
            setattr(self, name, functools.partial(self._all if name in PAGED else self._query, name))

    def is_running(self) -> bool:
        """Return True; raise NotRunningError if no daemon answers."""
        self.daemon()
        return True

    def presence(self) -> Presence:
        """Return the presence of a running daemon; raise NotRunningError if none answers."""
        return Presence(runs=self.is_running())

    def _all(self, name: str) -> list[Any]:
        """Return all rows of a query, page by page."""
        rows: list[Any] = []
        while not len(rows) % MAX_ROWS and (page := self._query(name, len(rows))):
            rows += page
        return rows

    def _query(self, name: str, *values: Any, **named: Any) -> Any:
        arguments = dict(zip(QUERIES[name], values, strict=False)) | named
        if "limit" in arguments:
            arguments["limit"] = MAX_ROWS if arguments["limit"] < 0 else min(arguments["limit"], MAX_ROWS)
        kind = getattr(Records, name).__annotations__["return"]
        answers = [restored(kind, self._ask(name, portion)) for portion in self._portions(name, arguments)]
        if not answers:
            return get_origin(kind)()
        rows = functools.reduce(operator.ior if get_origin(kind) is dict else operator.iadd, answers)
        return sorted(rows, key=lambda run: -run.id)[: arguments["limit"]] if "limit" in arguments else rows

    def _portions(self, name: str, arguments: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the arguments of each request of a query."""
        if QUERIES[name].get("keys") is KEYS and arguments.get("keys") is None:  # a list is required
            arguments["keys"] = [job.key for job in self.jobs()]
        for divided in ("keys", "runs"):
            if (values := arguments.get(divided)) is not None:
                starts = range(0, len(values), PORTION)
                return [{**arguments, divided: values[start : start + PORTION]} for start in starts]
        return [arguments]

    def _ask(self, name: str, arguments: dict[str, Any]) -> Any:
        deadline = time.monotonic() + self.retry_for
        while True:
            try:
                return ask(self._path, {"command": "read", "method": name, **arguments})["rows"]
            except NotRunningError:
                if time.monotonic() >= deadline:
                    raise
            time.sleep(RETRY_INTERVAL)


def restored(kind: Any, value: Any) -> Any:
    """Return a value of a type from its form in JSON."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin is list:
        return [restored(parts[0], part) for part in value]
    if origin is dict:
        return {parts[0](key): restored(parts[1], part) for key, part in value.items()}
    if origin is tuple:
        return tuple(map(restored, parts, value))
    if origin is UnionType:  # a row or None
        return value and restored(parts[0], value)
    if kind is bytes:
        return base64.b64decode(value)
    return kind(*value) if isinstance(value, list) else kind(value)
