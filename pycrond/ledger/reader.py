"""The ledger's reading side: what the command line shows, with the daemon up or down."""

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence

from pycrond.errors import Problem, PycrondError
from pycrond.ledger.audit import StepRow, VerdictRow, VersionRow
from pycrond.ledger.rows import DaemonRow, JobRow, PauseRow, RunFilter, RunRow, SpanRow, matching_keys, quoted

RUN_COLUMNS = ", ".join("jobs.name" if name == "name" else f"runs.{name}" for name in RunRow._fields)

OPEN = "('claimed', 'waiting', 'running')"
RECORDED = "SELECT id, coalesce(started_at, ended_at, fire) FROM runs WHERE id >= ? ORDER BY id LIMIT 1"
SPANS = """
    SELECT start, CASE WHEN state = 'running' THEN NULL ELSE max(start, coalesce(until, over, start)) END,
    state, id, coalesce(folded, 1), trigger = 'schedule', key
    FROM (SELECT *, coalesce(started_at, start_at, fire) AS start,
    CASE WHEN state = 'running' THEN :now WHEN started_at NOT NULL THEN ended_at END AS over FROM runs
    WHERE id BETWEEN :first AND :last OR id IN (SELECT id FROM runs
    WHERE state IN ('claimed', 'waiting', 'running') AND state = 'running'))
    WHERE start < :until AND fire <= :now AND coalesce(until, over, start) >= :start
"""
EARLIER, LATER = 86_400, 3600  # seconds


class Reader:
    """A ledger opened for reading only; no transaction stays open between two calls."""

    def __init__(self, state_dir: str) -> None:
        path = os.path.join(state_dir, "ledger")
        if not os.path.exists(path):
            raise PycrondError(f"there is no ledger at {path}: no daemon has run with this --state-dir yet")
        try:
            self._db = sqlite3.connect(f"file:{quoted(path)}?mode=ro", uri=True, isolation_level=None)
            self._db.execute("SELECT count(*) FROM daemons").fetchone()
        except sqlite3.Error as error:
            raise PycrondError(f"cannot read ledger {path}: {error}") from error

    def daemon(self) -> DaemonRow | None:
        row = self._db.execute(
            "SELECT pid, version, started_at, ready_at, loaded_at, stopped_at FROM daemons"
            " ORDER BY id DESC LIMIT 1"
        ).fetchone()
        return DaemonRow(*row) if row else None

    def give_up(self, when: Callable[[], bool]) -> None:
        """From now on a query that is under way when this turns true raises sqlite3.OperationalError."""
        self._db.set_progress_handler(when, 1000)

    def jobs(self, user: str | None = None, offset: int = 0, limit: int = -1) -> list[JobRow]:
        """The loaded jobs, of one user or all, in the order of their files and lines."""
        rows = self._db.execute(
            "SELECT key, name, user, file, line, schedule, canonical, zone, command, options"
            " FROM jobs JOIN files USING (file) WHERE loaded > 0 AND key BETWEEN ? AND ?"
            " ORDER BY place, line LIMIT ? OFFSET ?",
            (*_range(user), limit, offset),
        )
        return [JobRow(*row) for row in rows]

    def problems(self) -> list[Problem]:
        rows = self._db.execute(
            "SELECT file, line, column, severity, code, message FROM problems ORDER BY rowid"
        )
        return [Problem(*row) for row in rows]

    def last_runs(self, keys: Sequence[str] | None = None) -> dict[str, RunRow]:
        """The latest run of each loaded job that is over, by key; of all jobs, or of some."""
        where, values = "", []
        if keys is not None:
            where, values = f" AND jobs.key IN ({', '.join('?' * len(keys))})", list(keys)
        rows = self._db.execute(
            f"SELECT {RUN_COLUMNS} FROM jobs JOIN runs ON runs.id = ("  # noqa: S608 -- column names of ours
            " SELECT max(id) FROM runs AS past WHERE past.key = jobs.key"
            f" AND state NOT IN ('claimed', 'waiting', 'running')) WHERE jobs.loaded > 0{where}",
            values,
        )
        return {run.key: run for run in (RunRow(*row) for row in rows)}

    def running(self) -> list[RunRow]:
        rows = self._db.execute(
            f"SELECT {RUN_COLUMNS} FROM runs LEFT JOIN jobs USING (key)"  # noqa: S608
            " WHERE state IN ('claimed', 'waiting', 'running') AND state = 'running' ORDER BY runs.id"
        )
        return [RunRow(*row) for row in rows]

    def unfinished(self) -> list[RunRow]:
        """Runs that are not over, those that wait among them."""
        rows = self._db.execute(
            f"SELECT {RUN_COLUMNS} FROM runs LEFT JOIN jobs USING (key)"  # noqa: S608
            " WHERE state IN ('claimed', 'waiting', 'running') ORDER BY runs.id"
        )
        return [RunRow(*row) for row in rows]

    def runs(self, ids: Sequence[int]) -> list[RunRow]:
        """Those with these numbers."""
        rows = self._db.execute(
            f"SELECT {RUN_COLUMNS} FROM runs LEFT JOIN jobs USING (key)"  # noqa: S608
            f" WHERE runs.id IN ({', '.join('?' * len(ids))}) ORDER BY runs.id",
            ids,
        )
        return [RunRow(*row) for row in rows]

    def after(self, run: int, limit: int = 500, user: str | None = None) -> list[RunRow]:
        """The first runs with higher numbers than this, of one user or all."""
        tables = "runs LEFT JOIN jobs USING (key) WHERE"
        if user is not None:  # whose runs may be few among many
            tables = "jobs CROSS JOIN runs ON runs.key = jobs.key WHERE jobs.key BETWEEN ? AND ? AND"
        rows = self._db.execute(
            f"SELECT {RUN_COLUMNS} FROM {tables} runs.id > ? ORDER BY runs.id LIMIT ?",  # noqa: S608
            (*(() if user is None else _range(user)), run, limit),
        )
        return [RunRow(*row) for row in rows]

    def history_of(self, user: str, limit: int, which: RunFilter = RunFilter()) -> list[RunRow]:  # noqa: B008
        """Runs of a user's jobs, newest first."""
        conditions, values = _conditions("past", which)
        rows = self._db.execute(
            f"SELECT {RUN_COLUMNS} FROM jobs CROSS JOIN runs ON runs.id IN ("  # noqa: S608 -- ours
            f" SELECT id FROM runs AS past WHERE past.key = jobs.key{conditions} ORDER BY id DESC LIMIT ?)"
            " WHERE jobs.key BETWEEN ? AND ? ORDER BY runs.id DESC LIMIT ?",
            (*values, limit, *_range(user), limit),
        )
        return [RunRow(*row) for row in rows]

    def history(
        self,
        keys: Sequence[str] | None,
        limit: int,
        run: int | None = None,
        which: RunFilter = RunFilter(),  # noqa: B008 -- a tuple
    ) -> list[RunRow]:
        """Runs, newest first: of some jobs, of all with None, or the one with an id."""
        conditions, values = _conditions("runs", which)
        if keys is not None:
            conditions += f" AND runs.key IN ({', '.join('?' * len(keys))})"
            values += keys
        if run is not None:
            conditions, values = " AND runs.id = ?", [run]
        rows = self._db.execute(
            f"SELECT {RUN_COLUMNS} FROM runs LEFT JOIN jobs USING (key)"  # noqa: S608 -- columns of ours
            f" WHERE 1{conditions} ORDER BY runs.id DESC LIMIT ?",
            (*values, limit),
        )
        return [RunRow(*row) for row in rows]

    def at(self, key: str, fire: float) -> list[RunRow]:
        """What the ledger says of a job's fire time: its runs, or the gap that it lies in."""
        rows = self._db.execute(
            f"SELECT {RUN_COLUMNS} FROM runs LEFT JOIN jobs USING (key)"  # noqa: S608
            " WHERE runs.key = ? AND (fire = ? OR until IS NOT NULL AND ? BETWEEN fire AND until)"
            " ORDER BY runs.id",
            (key, fire, fire),
        )
        return [RunRow(*row) for row in rows]

    def durations(self, most: int = 20) -> dict[str, list[float]]:
        """How long the latest runs of each loaded job took, in seconds, by key."""
        rows = self._db.execute(
            "SELECT jobs.key, duration_s FROM jobs JOIN runs ON runs.id IN ("
            " SELECT id FROM runs AS past WHERE past.key = jobs.key AND duration_s NOT NULL"
            " ORDER BY id DESC LIMIT ?) WHERE jobs.loaded > 0",
            (most,),
        )
        found: dict[str, list[float]] = {}
        for key, seconds in rows:
            found.setdefault(key, []).append(seconds)
        return found

    def spans(self, start: float, until: float, now: float) -> list[SpanRow]:
        """What ran, should have run or waits from `start` up to but not including `until`, of what was due by
        `now` (the next minute is claimed already), without going through all that is older and newer.

        Ids follow the clock: a row is written when a run starts, or when it is noticed that it did not. So
        the days before are left out, but for one, as a run may begin on the eve and end in between; what runs
        now is found however old it is. And what comes later is left out, but for the hour after the first of
        it: when a daemon is back, it begins by writing down what it has missed.
        """
        back = self._first_since(until)
        row = self._db.execute(RECORDED, (back,)).fetchone()
        last = self._first_since(max(until, row[1]) + LATER) if row else back
        first = self._first_since(start - EARLIER)
        wanted = {"first": first, "last": last, "start": start, "until": until, "now": now}
        return list(map(SpanRow._make, self._db.execute(SPANS, wanted)))

    def _first_since(self, moment: float) -> int:
        """The id of the first run that was written down at that time or later, by halving."""
        low, high = 1, 1 + (self._db.execute("SELECT max(id) FROM runs").fetchone()[0] or 0)
        while low < high:
            middle = (low + high) // 2
            row = self._db.execute(RECORDED, (middle,)).fetchone()
            if row[1] < moment:
                low = row[0] + 1
            else:
                high = middle
        return low

    def medians(self, keys: Sequence[str] | None = None, most: int = 20) -> dict[str, float]:
        """How long the succeeded ones among the latest runs of each loaded job take, by key; of all jobs, or
        of some.
        """
        where = "" if keys is None else f" AND key IN ({', '.join('?' * len(keys))})"
        # A text for a job: to fetch a row for each run would take three times as long.
        rows = self._db.execute(
            "SELECT key, (SELECT group_concat(took) FROM ("  # noqa: S608
            " SELECT CASE state WHEN 'succeeded' THEN duration_s END AS took FROM runs"
            " WHERE runs.key = jobs.key AND duration_s NOT NULL ORDER BY runs.id DESC LIMIT ?))"
            f" FROM jobs WHERE loaded > 0{where}",
            (most, *(keys or ())),
        )
        return {key: _median([float(took) for took in texts.split(",")]) for key, texts in rows if texts}

    def versions(self) -> list[VersionRow]:
        """What was loaded when, in the order in which it was."""
        rows = self._db.execute("SELECT key, canonical, zone, since, until FROM job_versions ORDER BY id")
        return [VersionRow(*row) for row in rows]

    def verdicts(self) -> Iterator[VerdictRow]:
        """Every run and every fire that was passed over."""
        rows = self._db.execute(
            "SELECT id, key, fire, wall, trigger, attempt, state, until, folded FROM runs ORDER BY id"
        )
        return (VerdictRow(*row) for row in rows)

    def steps(self) -> list[StepRow]:
        """When the clock was turned."""
        rows = self._db.execute("SELECT at, moved FROM clock_events WHERE kind = 'step' ORDER BY id")
        return [StepRow(*row) for row in rows]

    def find_jobs(self, word: str, user: str | None = None) -> list[str]:
        """The keys a word may mean: a name, the beginning of a key, or file:line; also of gone jobs."""
        rows = self._db.execute(
            "SELECT key, name, file, line, loaded FROM jobs LEFT JOIN files USING (file)"
            " WHERE key BETWEEN ? AND ? ORDER BY loaded = 0, place, line",
            _range(user),
        )
        return matching_keys(
            word, ((key, name, f"{file}:{line}" if loaded else "") for key, name, file, line, loaded in rows)
        )

    def pauses(self, now: float) -> list[PauseRow]:
        """The jobs that are paused at a time, in Unix seconds."""
        rows = self._db.execute(
            "SELECT key, since, until, reason FROM pauses"
            " WHERE ended_at IS NULL AND (until IS NULL OR until > ?)",
            (now,),
        )
        return [PauseRow(*row) for row in rows]

    def close(self) -> None:
        self._db.close()


def _median(values: list[float]) -> float:
    values.sort()
    return (values[len(values) // 2] + values[~(len(values) // 2)]) / 2


def _conditions(table: str, which: RunFilter) -> tuple[str, list[object]]:
    """The end of a WHERE, and its values. What is not over goes on for ever."""
    text, values = "", list[object](which.states)
    if which.states:
        text += f" AND {table}.state IN ({', '.join('?' * len(which.states))})"
    if which.until is not None:
        text, values = f"{text} AND {table}.fire < ?", [*values, which.until]
    if which.since is not None:
        end = f"coalesce({table}.until, {table}.ended_at, iif({table}.state IN {OPEN}, 9e999, {table}.fire))"
        text, values = f"{text} AND {end} >= ?", [*values, which.since]
    return text, values


def _range(user: str | None) -> tuple[str, str]:
    """The keys of a user's jobs lie between these two; everybody's with None."""
    return ("", "\U0010ffff") if user is None else (f"{user}/", f"{user}/\U0010ffff")
