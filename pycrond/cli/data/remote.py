"""The ledger and the spools as the daemon shows them: to a user, of that user's own jobs."""

import base64
import time
from collections.abc import Iterator, Sequence
from typing import Any

from pycrond.control import protocol
from pycrond.errors import NotRunningError, Problem
from pycrond.ledger.rows import DaemonRow, JobRow, PauseRow, RunFilter, RunRow

ROWS = 500  # of an answer, as many as the daemon gives
KEYS = 100  # in a request: each is a search
BYTES = 1 << 16
END = 1024  # bytes at the end of a run's output, among which its last line is looked for
ENDS = 64  # runs of a request for them
RETRY = 0.2  # seconds


class Remote:
    """Asks the daemon, in portions."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.patience = 0.0

    def _read(self, method: str, **given: Any) -> Any:
        give_up = time.monotonic() + self.patience
        while True:
            try:
                return protocol.ask(self._path, {"command": "read", "method": method, **given})["rows"]
            except NotRunningError:
                if time.monotonic() >= give_up:
                    raise
            time.sleep(RETRY)

    def _runs(self, method: str, **given: Any) -> list[RunRow]:
        return [RunRow(*row) for row in self._read(method, **given)]

    def is_running(self) -> bool:
        """It answers."""
        self._read("daemon")
        return True

    def daemon(self) -> DaemonRow | None:
        row = self._read("daemon")
        return DaemonRow(*row) if row else None

    def jobs(self) -> list[JobRow]:
        found: list[JobRow] = []
        while len(rows := self._read("jobs", offset=len(found))) == ROWS:
            found += [JobRow(*row) for row in rows]
        return found + [JobRow(*row) for row in rows]

    def problems(self) -> list[Problem]:
        return [Problem(*row) for row in self._read("problems")]

    def last_runs(self) -> dict[str, RunRow]:
        keys = [job.key for job in self.jobs()]
        found = (run for some in _portions(keys, KEYS) for run in self._runs("last_runs", keys=some))
        return {run.key: run for run in found}

    def running(self) -> list[RunRow]:
        return self._runs("running")

    def unfinished(self) -> list[RunRow]:
        return self._runs("unfinished")

    def runs(self, ids: Sequence[int]) -> list[RunRow]:
        return [run for some in _portions(ids, KEYS) for run in self._runs("runs", runs=some)]

    def after(self, run: int) -> list[RunRow]:
        return self._runs("after", run=run)

    def history(
        self,
        keys: Sequence[str] | None,
        limit: int,
        run: int | None = None,
        which: RunFilter = RunFilter(),  # noqa: B008 -- a tuple
    ) -> list[RunRow]:
        limit = ROWS if limit < 0 else min(limit, ROWS)
        given = {"limit": limit, "run": run, **which._asdict()}
        if keys is None or len(keys) <= KEYS:
            return self._runs("history", keys=keys, **given)
        found = [one for some in _portions(keys, KEYS) for one in self._runs("history", keys=some, **given)]
        return sorted(found, key=lambda one: -one.id)[:limit]

    def medians(self, keys: Sequence[str] | None = None) -> dict[str, float]:
        keys = [job.key for job in self.jobs()] if keys is None else keys
        return {
            key: took
            for some in _portions(keys, KEYS)
            for key, took in self._read("medians", keys=some).items()
        }

    def find_jobs(self, word: str) -> list[str]:
        found: list[str] = self._read("find_jobs", word=word)
        return found

    def pauses(self, _now: float) -> list[PauseRow]:
        return [PauseRow(*row) for row in self._read("pauses")]

    def kept(self, run: int) -> tuple[int, int]:
        first, end, _ = self._read("output", run=run, offset=0, most=0)
        return first, end

    def output(self, run: int, offset: int) -> bytes:
        return base64.b64decode(self._read("output", run=run, offset=offset, most=BYTES)[2])

    def ends(self, runs: Sequence[int]) -> dict[int, bytes]:
        found = (pair for some in _portions(runs, ENDS) for pair in self._read("ends", runs=some, most=END))
        return {run: base64.b64decode(data) for run, data in found}


def _portions(values: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(values), size):
        yield values[start : start + size]
