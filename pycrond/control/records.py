"""The queries of the ledger and the spools for clients of the control socket."""

import os
from collections.abc import Sequence
from functools import partial
from typing import Any

from pycrond.control.requests import Check, list_of, number, seconds, text
from pycrond.errors import PycrondError
from pycrond.keeper.lock import is_locked
from pycrond.ledger.shared_reader import SharedReader
from pycrond.output import split_streams, spool

MAX_ROWS = 500  # in an answer
MAX_BYTES = 1 << 16  # of output in an answer
LINE_BYTES = 1024  # at the end of a run's output, which are searched for its last line
MAX_ENDS = MAX_BYTES // LINE_BYTES  # runs
LARGEST = (1 << 63) - 1  # SQLite's largest number


class Records(SharedReader):
    """The ledger and the spools of a state directory."""

    retry_for = 0.0
    """Seconds to wait for an absent daemon, for readers that ask the daemon."""

    @property
    def _spools(self) -> str:
        return os.path.join(self._state_dir, "spool")

    def is_running(self) -> bool:
        """Return whether a daemon is running."""
        return is_locked(self._state_dir)

    def _check_access(self, run: int) -> None:
        """Raise PycrondError for a run that the user may not see."""
        if self._user is not None and not self.runs([run]):
            raise PycrondError(f"there is no run {run}")

    def kept(self, run: int) -> tuple[int, int]:
        """Return the offsets at which the kept output of a run begins and ends."""
        return self.output(run, 0, 0)[:2]

    def output(self, run: int, offset: int, most: int) -> tuple[int, int, bytes]:
        """Return the offsets at which the kept output begins and ends, and `most` bytes from `offset`."""
        self._check_access(run)
        data = spool.read(self._spools, run, offset, most) if most else b""
        output = spool.Spool(self._spools, run)
        return output.kept_start, output.size, data

    def times(self, run: int, start: int, end: int) -> list[tuple[int, float]]:
        """Return the times at which a run's output was read, from `start` to `end` (exclusive), for at most
        MAX_BYTES: sorted offsets, each with the Unix time of the bytes from there on.
        """
        self._check_access(run)
        return spool.Spool(self._spools, run).times(start, min(end, start + MAX_BYTES))

    def streams(self, run: int, start: int, end: int) -> list[tuple[int, str]]:
        """Return the streams of a run's output from `start` to `end` (exclusive), for at most twice
        MAX_BYTES: sorted offsets, each with the stream of the bytes from there on.
        """
        self._check_access(run)
        output = spool.Spool(self._spools, run)
        return split_streams.streams(output, start, min(end, start + 2 * MAX_BYTES))

    def ends(self, runs: Sequence[int]) -> dict[int, bytes]:
        """Return the last bytes of the output of each run, enough for its last line."""
        return {run.id: spool.tail(self._spools, run.id, LINE_BYTES) for run in self.runs(runs)}


def optional(check: Check[Any]) -> Check[Any]:
    """Return a check that also accepts null and a missing parameter."""
    return lambda request, name: None if request.get(name) is None else check(request, name)


NUMBER = partial(number, first=0, last=LARGEST)
KEYS = partial(list_of, check=text, longest=MAX_ROWS)
RUNS = partial(list_of, check=NUMBER, longest=MAX_ROWS, shortest=0)

QUERIES: dict[str, dict[str, Check[Any]]] = {
    "daemon": {},
    "jobs": {"offset": NUMBER},
    "problems": {},
    "last_runs": {"keys": KEYS},
    "standings": {"keys": KEYS},
    "totals": {"offset": NUMBER},
    "expected": {},
    "unfinished": {},
    "runs": {"runs": RUNS},
    "after": {"run": NUMBER},
    "history": {
        "keys": optional(KEYS),
        "limit": partial(NUMBER, first=1, last=MAX_ROWS),
        "states": optional(partial(KEYS, shortest=0)),
        "since": optional(seconds),
        "until": optional(seconds),
    },
    "medians": {"keys": KEYS},
    "find_jobs": {"word": text},
    "pauses": {"now": seconds},
    "output": {"run": NUMBER, "offset": NUMBER, "most": partial(NUMBER, last=MAX_BYTES)},
    "times": {"run": NUMBER, "start": NUMBER, "end": NUMBER},
    "streams": {"run": NUMBER, "start": NUMBER, "end": NUMBER},
    "ends": {"runs": partial(RUNS, longest=MAX_ENDS)},
}
"""The methods of Records that clients may call, with the parameters of each and their checks."""
