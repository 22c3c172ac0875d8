"""What the control socket's clients may read: of the ledger and the spools, those who cannot open them.

A request reads what fits into an answer, and is given up when it takes long: the client asks for the rest.
"""

import base64
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

from pycrond import clock
from pycrond.control import requests
from pycrond.control.requests import Requester
from pycrond.errors import PycrondError
from pycrond.ledger.reader import Reader
from pycrond.ledger.rows import RunFilter, RunRow
from pycrond.output import spool
from pycrond.settings import Settings

ROWS_MOST = 500  # of an answer
BYTES_MOST = 1 << 16  # of output
TIME_MOST = 0.1  # seconds that the ledger is read for an answer
LATEST = 1e12  # a time in Unix seconds
LARGEST = (1 << 63) - 1  # a number of SQLite's
Method = Callable[[Reader, dict[str, Any], Requester], Any]


class Queries:
    """Reads the ledger anew for each request: no transaction of ours stays open."""

    def __init__(self, settings: Settings) -> None:
        self._state_dir = settings.state_dir
        self._spools = os.path.join(settings.state_dir, "spool")
        self._root = settings.root
        self._system = settings.system
        self._methods: dict[str, Method] = {
            "daemon": lambda reader, _request, _asker: reader.daemon(),
            "jobs": self._jobs,
            "problems": self._problems,
            "last_runs": self._last_runs,
            "running": lambda reader, _request, asker: _of(asker, reader.running())[:ROWS_MOST],
            "unfinished": lambda reader, _request, asker: _of(asker, reader.unfinished())[:ROWS_MOST],
            "runs": lambda reader, request, asker: _of(asker, reader.runs(_numbers(request))),
            "after": self._after,
            "history": self._history,
            "find_jobs": lambda reader, request, asker: reader.find_jobs(
                requests.text(request, "word"), asker.user
            ),
            "medians": self._medians,
            "pauses": self._pauses,
            "ends": self._ends,
            "output": self._output,
        }

    def read(self, request: dict[str, Any], uid: int) -> dict[str, Any]:
        """One of the methods of `cli.records.Records`: {"rows": what it gives}."""
        asker = requests.requester(uid, system=self._system)
        method = self._methods.get(requests.text(request, "method"))
        if method is None:
            raise PycrondError(f"unknown method (known: {', '.join(self._methods)})")
        give_up_at = clock.elapsed() + TIME_MOST
        with closing(Reader(self._state_dir)) as reader:
            reader.give_up(lambda: clock.elapsed() > give_up_at)
            try:
                return {"rows": method(reader, request, asker)}
            except sqlite3.Error as error:
                raise PycrondError(f"cannot read the ledger: {error}; ask for less") from error

    @staticmethod
    def _jobs(reader: Reader, request: dict[str, Any], asker: Requester) -> Any:
        return reader.jobs(asker.user, requests.number(request, "offset", 0, LARGEST), ROWS_MOST)

    def _problems(self, reader: Reader, _request: dict[str, Any], asker: Requester) -> Any:
        """A user's are those of the crontab that is called after them."""
        spools = ("var/spool/cron", "var/spool/cron/crontabs")
        own = {os.path.join(self._root, folder, asker.name) for folder in spools}
        return [
            [one.file, one.line, one.column, one.severity, one.code, one.message]
            for one in reader.problems()
            if asker.user is None or one.file in own
        ][:ROWS_MOST]

    @staticmethod
    def _last_runs(reader: Reader, request: dict[str, Any], asker: Requester) -> Any:
        keys = requests.texts(request, "keys", ROWS_MOST)
        return _of(asker, [*reader.last_runs(keys).values()])

    @staticmethod
    def _after(reader: Reader, request: dict[str, Any], asker: Requester) -> Any:
        return reader.after(requests.number(request, "run", 0, LARGEST), ROWS_MOST, asker.user)

    @staticmethod
    def _history(reader: Reader, request: dict[str, Any], asker: Requester) -> Any:
        limit = requests.number(request, "limit", 1, ROWS_MOST)
        which = _which(request)
        if request.get("run") is not None:
            return _of(asker, reader.history(None, limit, requests.number(request, "run", 0, LARGEST)))
        if request.get("keys") is not None:
            keys = [key for key in requests.texts(request, "keys", ROWS_MOST) if asker.can_access(_user(key))]
            return reader.history(keys, limit, None, which)
        if asker.user is not None:
            return reader.history_of(asker.user, limit, which)
        return reader.history(None, limit, None, which)

    @staticmethod
    def _medians(reader: Reader, request: dict[str, Any], asker: Requester) -> Any:
        keys = requests.texts(request, "keys", ROWS_MOST)
        return reader.medians([key for key in keys if asker.can_access(_user(key))])

    @staticmethod
    def _pauses(reader: Reader, _request: dict[str, Any], asker: Requester) -> Any:
        return [row for row in reader.pauses(clock.now().timestamp()) if asker.can_access(_user(row.key))]

    def _output(self, reader: Reader, request: dict[str, Any], asker: Requester) -> Any:
        """Where what is kept of a run's output begins and ends, and bytes of it, the latter as base64."""
        run = requests.number(request, "run", 0, LARGEST)
        if not _of(asker, reader.runs([run])):
            raise PycrondError(f"there is no run {run}")
        offset = requests.number(request, "offset", 0, LARGEST)
        most = requests.number(request, "most", 0, BYTES_MOST)
        data = spool.read(self._spools, run, offset, most) if most else b""
        return [*spool.kept(self._spools, run), base64.b64encode(data).decode()]

    def _ends(self, reader: Reader, request: dict[str, Any], asker: Requester) -> Any:
        """Of each of these runs its number and the last bytes of its output, as base64; 64 KiB in all."""
        runs = _of(asker, reader.runs(_numbers(request)))
        most = requests.number(request, "most", 1, BYTES_MOST // max(1, len(runs)))
        ends = ((one.id, spool.end(self._spools, one.id, most)) for one in runs)
        return [[run, base64.b64encode(data).decode()] for run, data in ends]


def _which(request: dict[str, Any]) -> RunFilter:
    states = requests.texts(request, "states", ROWS_MOST) if request.get("states") else []
    return RunFilter(states, *(_seconds(request, name) for name in ("since", "until")))


def _seconds(request: dict[str, Any], name: str) -> float | None:
    value = request.get(name)
    if value is None:
        return None
    if type(value) not in {int, float} or not abs(value) < LATEST:
        raise PycrondError(f"'{name}': a time in seconds is wanted")
    return float(value)


def _of(asker: Requester, runs: list[RunRow]) -> list[RunRow]:
    return [run for run in runs if asker.can_access(_user(run.key))]


def _user(key: str) -> str:
    return key.partition("/")[0]


def _numbers(request: dict[str, Any]) -> list[int]:
    values = request.get("runs")
    if not isinstance(values, list) or len(values) > ROWS_MOST:
        raise PycrondError(f"'runs': a list of at most {ROWS_MOST} numbers is wanted")
    return [requests.number({"run": value}, "run", 0, LARGEST) for value in values]
