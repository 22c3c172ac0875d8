"""The queries that the daemon and the commands share: jobs, runs, pauses and problems."""

import json
import os
import sqlite3
import sys
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from pycrond.errors import Problem, PycrondError, os_reason
from pycrond.jobs.display_name import MAX_COMMAND
from pycrond.ledger.database import open_read_only
from pycrond.ledger.job_words import matching_keys
from pycrond.ledger.rows import DaemonRow, ExpectedRow, JobRow, PauseRow, ProcessRow, RunRow, StandingRow
from pycrond.ledger.schema import MIGRATIONS
from pycrond.ledger.totals import TOTALS, TotalsRow

Row = TypeVar("Row")

OPEN = "('claimed', 'waiting', 'running')"
NO_END = "('claimed', 'waiting', 'running', 'skipped', 'missed')"
OWN = "jobs.key BETWEEN :first_key AND :last_key"
"""The jobs in a reader's scope."""
_OF_JOB = {"name": "jobs.name", "command": f"coalesce(substr(jobs.command, 1, {MAX_COMMAND}), '')"}
RUN = ", ".join(_OF_JOB.get(name, f"runs.{name}") for name in RunRow._fields)
RUNS = f"SELECT {RUN} FROM runs LEFT JOIN jobs USING (key) WHERE +runs.key BETWEEN :first_key AND :last_key"  # noqa: S608 -- constants
"""The runs in a reader's scope; the plus keeps SQLite from searching them by their keys."""
CONDITIONS = {
    "keys": " AND runs.key IN (SELECT value FROM json_each(:keys))",
    "states": " AND state IN (SELECT value FROM json_each(:states))",
    "since": f" AND coalesce(runs.until, ended_at, iif(state IN {OPEN}, 9e999, fire)) >= :since",
    "until": " AND fire < :until",
}
TEXT = partial(str, encoding="utf-8", errors="surrogateescape")
"""Reads texts that may not be UTF-8: the file may be damaged."""
USER_COMMANDS = "list, history, logs, run, kill, pause and resume"
LATEST_RUNS = 20  # of a job, from which its usual duration is computed


class SharedReader:
    """The queries that the daemon also answers for users who cannot open the ledger.

    The file is opened for reading only; no transaction stays open between two calls.
    """

    def __init__(
        self,
        state_dir: str,
        user: str | None = None,
        *,
        crontabs: Sequence[str] = (),
        limit: int = -1,
        max_bytes: int = sys.maxsize,
    ) -> None:
        """With `user`, show its jobs, their runs and the problems of `crontabs`; at most `limit` rows.
        Raises PycrondError for rows with more than `max_bytes` of text.
        """
        path = os.path.join(state_dir, "ledger")
        _check_readable(path)
        try:
            self._db = open_read_only(path)
            weakref.finalize(self, self._db.close)  # also after an error in a command
            self._db.text_factory = TEXT
            self._db.execute("SELECT count(*) FROM daemons").fetchone()
            version: int = self._db.execute("PRAGMA user_version").fetchone()[0]
        except sqlite3.Error as error:
            raise PycrondError(f"cannot read ledger {path}: {error}") from error
        if version < len(MIGRATIONS):
            raise PycrondError(
                f"ledger {path} was written by an older pycrond: 'pycrond restart' converts it"
            )
        self._state_dir = state_dir
        self._user = user
        self._max_bytes = max_bytes
        prefix = "" if user is None else f"{user}/"
        self._scope: dict[str, object] = {
            "first_key": prefix,
            "last_key": f"{prefix}\U0010ffff",
            "crontabs": None if user is None else json.dumps(crontabs),
            "row_limit": limit,
        }

    def _execute(self, statement: str, **values: object) -> sqlite3.Cursor:
        """Run a statement with the reader's scope and these values; a list becomes JSON."""
        bound = self._scope | values
        for name, value in values.items():
            if isinstance(value, Sequence) and not isinstance(value, str):
                bound[name] = json.dumps([*value])
        return self._db.execute(statement, bound)

    def _rows(self, row: Callable[..., Row], statement: str, **values: object) -> list[Row]:
        rows, size = [], 0
        for columns in self._execute(statement, **values):
            size += sum(len(column) for column in columns if isinstance(column, str))
            if size > self._max_bytes:
                raise PycrondError(f"the rows have more than {self._max_bytes} bytes of text; ask for less")
            rows.append(row(*columns))
        return rows

    def interrupt_when(self, is_late: Callable[[], bool]) -> None:
        """Raise sqlite3.OperationalError in a running query as soon as `is_late` returns True."""
        self._db.set_progress_handler(is_late, 1000)

    def daemon(self) -> DaemonRow | None:
        """Return the latest daemon."""
        rows = self._rows(
            DaemonRow,
            "SELECT pid, version, started_at, ready_at, loaded_at, stopped_at FROM daemons"
            " ORDER BY id DESC LIMIT 1",
        )
        return rows[0] if rows else None

    def jobs(self, offset: int = 0) -> list[JobRow]:
        """Return the loaded jobs, in the order of their files and lines."""
        return self._rows(
            JobRow,
            "SELECT key, name, user, file, line, schedule, canonical, zone, command, options"  # noqa: S608 -- constants
            f" FROM jobs JOIN files USING (file) WHERE loaded > 0 AND {OWN}"
            " ORDER BY place, line LIMIT :row_limit OFFSET :offset",
            offset=offset,
        )

    def problems(self) -> list[Problem]:
        """Return the errors and warnings of the last load."""
        return self._rows(
            Problem,
            "SELECT file, line, column, severity, code, message FROM problems"
            " WHERE :crontabs IS NULL OR file IN (SELECT value FROM json_each(:crontabs))"
            " ORDER BY rowid LIMIT :row_limit",
        )

    def last_runs(self, keys: Sequence[str] | None = None) -> dict[str, RunRow]:
        """Return the last ended run of each loaded job by key; with `keys`, only of these jobs."""
        # It may have been folded into a row of a lower number meanwhile.
        runs = self._rows(
            RunRow,
            f"SELECT {RUN} FROM jobs JOIN last_runs USING (key) JOIN runs ON runs.id = ("  # noqa: S608 -- constants
            " SELECT max(id) FROM runs AS past WHERE past.key = jobs.key AND past.id <= last_runs.run"
            f" AND state NOT IN {NO_END}) WHERE jobs.loaded > 0 AND {OWN}{_with_keys(keys)}",
            keys=keys,
        )
        return {run.key: run for run in runs}

    def standings(self, keys: Sequence[str] | None = None) -> dict[str, StandingRow]:
        """Return the consecutive failures and the fires passed over since the last run, by key, if any."""
        rows = self._rows(
            StandingRow,
            "SELECT key, failing_since, failures, passed, skipped, missed, elsewhere_at"  # noqa: S608 -- constants
            " FROM jobs JOIN last_runs USING (key)"
            " WHERE (failing_since NOT NULL OR passed NOT NULL OR elsewhere_at NOT NULL)"
            f" AND loaded > 0 AND {OWN}{_with_keys(keys)}",
            keys=keys,
        )
        return {row.key: row for row in rows}

    def totals(self, offset: int = 0) -> list[TotalsRow]:
        """Return the totals of all runs by job and state, in the order of the jobs' first ends."""
        return self._rows(TotalsRow, TOTALS, offset=offset)

    def expected(self) -> list[ExpectedRow]:
        """Return the jobs that are expected to succeed regularly, including deleted jobs."""
        return self._rows(
            ExpectedRow,
            "SELECT health.key, name, coalesce(loaded > 0, 0), expect, since, succeeded_at FROM health"  # noqa: S608 -- constants
            f" LEFT JOIN jobs USING (key) WHERE expect NOT NULL AND {OWN.replace('jobs', 'health')}"
            " LIMIT :row_limit",
        )

    def processes(self) -> list[ProcessRow]:
        """Return the processes of the runs that are not over."""
        return self._rows(
            ProcessRow,
            "SELECT id, state, reason_code, reason, pid, pid_start, started_at,"  # noqa: S608 -- constants
            " options, (SELECT boot FROM daemons ORDER BY id DESC LIMIT 1)"
            f" FROM runs LEFT JOIN jobs USING (key) WHERE state IN {OPEN}",
        )

    def unfinished(self) -> list[RunRow]:
        """Return the runs that are not over: claimed, waiting or running."""
        return self._rows(RunRow, f"{RUNS} AND state IN {OPEN} ORDER BY runs.id LIMIT :row_limit")

    def runs(self, runs: Sequence[int]) -> list[RunRow]:
        """Return the runs with these numbers."""
        ids = "SELECT value FROM json_each(:runs)"
        return self._rows(RunRow, f"{RUNS} AND runs.id IN ({ids}) ORDER BY runs.id", runs=runs)

    def after(self, run: int) -> list[RunRow]:
        """Return the runs with higher numbers than this, the lowest first."""
        statement = RUNS
        if self._user is not None:  # a user may have few of many runs: search by job
            statement = f"SELECT {RUN} FROM jobs CROSS JOIN runs USING (key) WHERE {OWN}"  # noqa: S608 -- constants
        return self._rows(
            RunRow, f"{statement} AND runs.id > :run ORDER BY runs.id LIMIT :row_limit", run=run
        )

    def history(
        self,
        keys: Sequence[str] | None,
        limit: int,
        states: Sequence[str] = (),
        since: float | None = None,
        until: float | None = None,
    ) -> list[RunRow]:
        """Return runs of some jobs, or of all with None, newest first.

        `since`: runs that were under way or due at this time or later; `until`: that were due before.
        """
        values = {"keys": keys, "states": states or None, "since": since, "until": until}
        conditions = "".join(CONDITIONS[name] for name, value in values.items() if value is not None)
        statement = RUNS + conditions
        if self._user is not None and keys is None:  # as in `after`
            statement = (
                f"SELECT {RUN} FROM jobs CROSS JOIN runs ON runs.id IN (SELECT id FROM runs"  # noqa: S608 -- constants
                f" WHERE runs.key = jobs.key{conditions} ORDER BY id DESC LIMIT :limit) WHERE {OWN}"
            )
        return self._rows(RunRow, f"{statement} ORDER BY runs.id DESC LIMIT :limit", limit=limit, **values)

    def medians(self, keys: Sequence[str] | None = None) -> dict[str, float]:
        """Return the usual duration of each loaded job in seconds by key; with `keys`, only of these jobs.

        It is the median of the succeeded runs among the latest; a job without such runs is left out.
        """
        seconds = self._durations("CASE state WHEN 'succeeded' THEN duration_s END", keys)
        return {key: _median(values) for key, values in seconds.items()}

    def _durations(self, column: str, keys: Sequence[str] | None = None) -> dict[str, list[float]]:
        """Return `column` of each job's latest runs with a duration; a job without such runs is left out."""
        # One text for each job: fetching a row for each run takes three times as long.
        rows = self._execute(
            f"SELECT key, (SELECT group_concat(seconds) FROM (SELECT {column} AS seconds FROM runs"  # noqa: S608 -- constants
            " WHERE runs.key = jobs.key AND duration_s NOT NULL ORDER BY runs.id DESC LIMIT :latest))"
            f" FROM jobs WHERE loaded > 0 AND {OWN}{_with_keys(keys)}",
            latest=LATEST_RUNS,
            keys=keys,
        )
        return {key: [float(text) for text in texts.split(",")] for key, texts in rows if texts}

    def find_jobs(self, word: str) -> list[str]:
        """Return the keys that a word may mean: a name, a key's beginning or file:line; also of gone jobs."""
        rows = self._execute(
            "SELECT key, name, file, line, loaded, command"  # noqa: S608 -- constants
            f" FROM jobs LEFT JOIN files USING (file) WHERE {OWN}"
            " ORDER BY loaded = 0, place, line"
        )
        return matching_keys(
            word,
            (
                (key, name, f"{file}:{line}" if loaded else "", command)
                for key, name, file, line, loaded, command in rows
            ),
        )

    def pauses(self, now: float) -> list[PauseRow]:
        """Return the jobs that are paused at a time, in Unix seconds."""
        return self._rows(
            PauseRow,
            "SELECT key, since, until, reason FROM pauses WHERE ended_at IS NULL"
            " AND (until IS NULL OR until > :now) AND key BETWEEN :first_key AND :last_key",
            now=now,
        )

    def close(self) -> None:
        self._db.close()


def _check_readable(path: str) -> None:
    """Raise PycrondError if there is no ledger, or none that this user may read. To open it could release
    the locks that this process holds on it.
    """
    try:
        os.stat(path)
        is_readable = os.access(path, os.R_OK)
    except FileNotFoundError:
        message = f"there is no ledger at {path}: no daemon has run with this --state-dir yet"
        raise PycrondError(message) from None
    except PermissionError:
        is_readable = False
    except OSError as error:
        raise PycrondError(f"cannot read ledger {path}: {os_reason(error)}") from error
    if not is_readable:
        raise PycrondError(
            f"cannot read ledger {path}: permission denied (only root and the daemon's own user may; for"
            f" your own jobs, {USER_COMMANDS} ask the daemon)"
        )


def _median(values: list[float]) -> float:
    values.sort()
    return (values[len(values) // 2] + values[~(len(values) // 2)]) / 2


def _with_keys(keys: Sequence[str] | None) -> str:
    """Return the condition that selects the jobs with these keys; empty for all jobs."""
    return "" if keys is None else " AND jobs.key IN (SELECT value FROM json_each(:keys))"
