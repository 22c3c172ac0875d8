"""The ledger's only writer: daemons, jobs, claims, starts, ends and the progress of delivery.

Times come from the caller, as aware UTC; they are stored as Unix seconds.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from pycrond.errors import Problem
from pycrond.jobs.run import NO_CAUSE, Cause, Fire, Outcome, Reason, State
from pycrond.ledger import last_runs
from pycrond.ledger.archive import Archive
from pycrond.ledger.database import Database, Work
from pycrond.ledger.jobs import JobTable
from pycrond.ledger.rows import FileRows, GapRow, RunRow, Unfinished
from pycrond.ledger.shared_reader import RUN
from pycrond.text import storable

# Whole statements, each with its columns.
BEGIN = "INSERT OR REPLACE INTO daemons (id, pid, version, boot, started_at, why) VALUES (?, ?, ?, ?, ?, ?)"
PROBLEM = """
    INSERT INTO problems (file, line, column, severity, code, message) VALUES (?, ?, ?, ?, ?, ?)
"""
CLAIM = """
    INSERT INTO runs (id, key, fire, wall, fold, era, trigger, attempt, state, start_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
CLAIMED = "SELECT 1 FROM runs WHERE key = ? AND wall = ? AND fold = ? AND era = ? AND attempt = ?"
GAP = """
    INSERT INTO runs (id, key, fire, wall, fold, era, trigger, attempt, state, reason_code, reason,
    ended_at, told, until, folded) VALUES (?, ?, ?, ?, ?, ?, 'schedule', 1, ?, ?, ?, ?, 3, ?, ?)
    ON CONFLICT DO NOTHING
"""
STARTED = """
    UPDATE runs SET state = 'running', pid = ?, pid_start = ?, started_at = ?, lateness_ms = ? WHERE id = ?
"""
FINISHED = """
    UPDATE runs SET state = ?, reason_code = ?, reason = ?, exit_status = ?, signal = ?, cpu_s = ?,
    max_rss_kb = ?, ended_at = ?, duration_s = ? WHERE id = ?
"""
_UNFINISHED = """
    SELECT id, key, fire, wall, fold, era, trigger, attempt, state, reason_code, reason, pid, pid_start,
    started_at, ended_at, duration_s, exit_status, signal, cpu_s, max_rss_kb, delivered, told,
    printed, shown, start_at FROM runs
"""
UNFINISHED = f"""
    {_UNFINISHED} WHERE id IN (
        SELECT id FROM runs WHERE state IN ('claimed', 'waiting', 'running')
        UNION SELECT id FROM runs WHERE told < 3
    ) ORDER BY id
"""  # noqa: S608 -- constants
"""A UNION uses both indexes. An OR would search all runs: 0.12 s for a million, twice at each start."""
ADD_RUNNING = """
    INSERT INTO runs (id, key, fire, wall, fold, era, trigger, attempt, state, pid, pid_start, started_at)
    VALUES (?, ?, ?, NULL, 0, 0, ?, ?, 'running', ?, ?, ?) ON CONFLICT DO NOTHING
"""
DELIVERED = "UPDATE runs SET bytes = ?, delivered = ?, told = ?, printed = ?, shown = ? WHERE id = ?"
WAITING = f"""
    {_UNFINISHED} WHERE state IN ('claimed', 'waiting', 'running') AND state = 'waiting' ORDER BY fire, id
"""


class Ledger:
    """An open ledger file. Raises PycrondError if it cannot be opened or made."""

    def __init__(self, path: str) -> None:
        self.file = Database(path)
        self._promised: set[tuple[object, ...]] = set()  # fires whose claims are queued
        self.start = 0
        """The number of this daemon's start."""
        row = self.file.db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'runs'").fetchone()
        self.last_run = min(int(row[0]), 1 << 62) if row else 0
        """The highest number that a run has."""
        self.jobs = JobTable(self.file)
        self.archive = Archive(self.file)

    def close(self) -> None:
        self.file.db.close()

    def begin_after(self, run: int) -> None:
        """Give new runs higher numbers than this: lower ones belong to a ledger that was set aside, or to
        runs that were never written down because the disk was full.
        """
        self.last_run = max(self.last_run, run)

    def renew(self) -> None:
        """Write this daemon to a new file that has replaced the ledger; `load` writes the rest."""
        self.jobs.reset()
        self.file.write(self._began)

    # The daemon itself

    def begin(self, pid: int, version: str, boot: str, why: str, now: datetime) -> None:
        """Write that a daemon starts."""
        latest = self.file.db.execute("SELECT max(id) FROM daemons WHERE id < 1 << 62").fetchone()[0]
        self.start = 1 + (latest or 0)
        self._began: Work = (BEGIN, [(self.start, pid, version, boot, now.timestamp(), why)])
        self.file.write(self._began)

    def ready(self, now: datetime) -> None:
        self.file.write(("UPDATE daemons SET ready_at = ? WHERE id = ?", [(now.timestamp(), self.start)]))

    def stop(self, now: datetime) -> None:
        """Write a planned stop; empty the log by a checkpoint."""
        self.file.write(("UPDATE daemons SET stopped_at = ? WHERE id = ?", [(now.timestamp(), self.start)]))
        self.file.finish()

    def clock_event(self, kind: str, moved: float, now: datetime) -> None:
        row = (now.timestamp(), kind, moved)
        self.file.write(("INSERT INTO clock_events (at, kind, moved) VALUES (?, ?, ?)", [row]))

    # Jobs

    def load(
        self,
        files: Sequence[FileRows],
        problems: Iterable[Problem],
        now: datetime,
        through: datetime | None = None,
    ) -> None:
        """Write the loaded jobs, by files in their order, and the problems of the files. Files whose jobs
        have not changed are left as they are.

        `through` (default: `now`) is the last minute of the previous jobs; the new ones are due after it.
        """
        self.file.write(
            *self.jobs.replace(files, (through or now).timestamp()),
            ("DELETE FROM problems", [()]),
            (PROBLEM, [_problem(problem) for problem in problems]),
            ("UPDATE daemons SET loaded_at = ? WHERE id = ?", [(now.timestamp(), self.start)]),
        )

    # Runs

    def latest(self) -> dict[str, float]:
        """Return the latest fire time of each job that has a verdict, without queued writes."""
        rows = self.file.db.execute(
            "SELECT key, max(coalesce(until, fire)) FROM runs WHERE wall IS NOT NULL GROUP BY key"
        )
        return {str(key): float(fire) for key, fire in rows}

    def claim(self, fires: Sequence[Fire], boot: str | None = None) -> list[int | None]:
        """Write claims durably in one transaction, before the runs start; return a run id for each fire.

        It is None for a fire that was claimed before and must not start again. With `boot`, the fires are the
        @reboot fires of that boot, all None if it was claimed before. On a full disk the claims are queued.
        """
        boot_rows: list[Sequence[object]] = []
        if boot is not None:
            if self.knows_boot(boot):
                return [None] * len(fires)
            boot_rows = [(boot,)]
        with self.file.reading():
            run_ids = self._run_ids(fires)
        rows = [
            (
                *(run, fire.job.key, fire.at.timestamp(), fire.wall, fire.fold, fire.era),
                *(fire.trigger, fire.attempt, *_start(fire)),
            )
            for run, fire in zip(run_ids, fires, strict=True)
            if run is not None
        ]
        boots = ("INSERT INTO boots (boot) VALUES (?) ON CONFLICT DO NOTHING", boot_rows)
        self.file.write_durably(boots, (CLAIM, rows))
        self.last_run += len(rows)
        names = {_name(fire) for fire in fires}
        self._promised = self._promised | names if self.file.has_pending else set()
        return run_ids

    def knows_boot(self, boot: str) -> bool:
        """Return whether the @reboot jobs of that boot were claimed."""
        return bool(self.file.db.execute("SELECT 1 FROM boots WHERE boot = ?", (boot,)).fetchone())

    def _run_ids(self, fires: Iterable[Fire]) -> list[int | None]:
        """Give a number to each fire that was not claimed before."""
        run_ids: list[int | None] = []
        run, seen = self.last_run, set(self._promised)
        for fire in fires:
            name = _name(fire)
            known = name in seen or self.file.db.execute(CLAIMED, name).fetchone()
            if known and fire.wall is not None:
                run_ids.append(None)
                continue
            run += 1
            run_ids.append(run)
            seen.add(name)
        return run_ids

    def pass_over(self, gaps: Iterable[GapRow]) -> list[int]:
        """Write fires that were passed over, a row for each gap of a job; return the ids of the rows."""
        numbered = [*enumerate(gaps, self.last_run + 1)]
        self.last_run += len(numbered)
        states = [(run, gap.state) for run, gap in numbered]
        self.file.write((GAP, [(run, *gap) for run, gap in numbered]), *last_runs.changes(states))
        return [run for run, _ in numbered]

    def cancel(self, runs: Iterable[int]) -> None:
        """Delete claims for a minute that has not come."""
        self.file.write(
            ("DELETE FROM runs WHERE id = ? AND state IN ('claimed', 'waiting')", [(run,) for run in runs])
        )
        self._promised.clear()

    def waiting(self) -> list[Unfinished]:
        """Return the waiting runs, in the order of their fires."""
        return [Unfinished(*row) for row in self.file.db.execute(WAITING)]

    def wait(self, rows: Sequence[tuple[int, Cause]]) -> None:
        """Write that claimed runs wait."""
        statement = (
            "UPDATE runs SET state = 'waiting', start_at = NULL, reason_code = ?, reason = ? WHERE id = ?"
        )
        self.file.write((statement, [(*_columns(cause), run) for run, cause in rows]))

    def move_starts(self, seconds: float) -> None:
        """Move the planned starts of waiting runs by `seconds`, earlier if it is negative."""
        where = "state IN ('claimed', 'waiting', 'running') AND start_at IS NOT NULL"
        self.file.write((f"UPDATE runs SET start_at = start_at + ? WHERE {where}", [(seconds,)]))  # noqa: S608

    def may_start(self, runs: Sequence[int]) -> bool:
        """Write durably that runs no longer wait. On a full disk return False: they continue to wait."""
        if self.file.has_pending:
            return False
        statement = "UPDATE runs SET state = 'claimed', reason_code = '', reason = '' WHERE id = ?"
        is_written = self.file.write_durably((statement, [(run,) for run in runs]))
        if not is_written:  # the last queued write must be their real state
            self.wait([(run, NO_CAUSE) for run in runs])
        return is_written

    def settle(self, rows: Sequence[tuple[int, Cause]], state: State, now: datetime) -> None:
        """Write that claimed and waiting runs are skipped, missed or killed."""
        statement = (
            "UPDATE runs SET state = ?, reason_code = ?, reason = ?, ended_at = ?, told = 3 WHERE id = ?"
        )
        settled = [(state, *_columns(cause), now.timestamp(), run) for run, cause in rows]
        own = [(run, state) for run, cause in rows if cause.reason is not Reason.ELSEWHERE]
        self.file.write((statement, settled), *last_runs.changes(own))

    def note(self, rows: Sequence[tuple[int, Cause]]) -> None:
        """Write why running runs are being ended."""
        statement = "UPDATE runs SET reason_code = ?, reason = ? WHERE id = ?"
        self.file.write((statement, [(*_columns(cause), run) for run, cause in rows]))

    def add_running(self, rows: Iterable[Sequence[object]]) -> None:
        """Write running runs that a new ledger does not have: id, key, fire, trigger, attempt, pid, start
        time of the pid in clock ticks, time of the start.
        """
        self.file.write((ADD_RUNNING, [tuple(row) for row in rows]))

    def run(self, run: int) -> RunRow | None:
        """Return a run, as `history` shows it."""
        row = self.file.db.execute(
            f"SELECT {RUN} FROM runs LEFT JOIN jobs USING (key) WHERE runs.id = ?",  # noqa: S608 -- constants
            (run,),
        ).fetchone()
        return RunRow(*row) if row else None

    # Starts and ends

    def started(self, rows: Iterable[tuple[int, int, int, datetime, float]]) -> None:
        """Write starts: id, pid, start time of the pid in clock ticks, time, lateness in ms."""
        self.file.write(
            (STARTED, [(pid, ticks, at.timestamp(), late, run) for run, pid, ticks, at, late in rows])
        )

    def finished(self, rows: Iterable[tuple[int, Outcome, datetime, float | None]], *more: Work) -> None:
        """Write ends (id, outcome, time, duration in seconds if measured) and their effects."""
        values, states = [], []
        for run, end, at, duration in rows:
            usage = (end.exit_status, end.signal, end.cpu_s, end.max_rss_kb)
            values.append((end.state, *_columns(end.cause), *usage, at.timestamp(), duration, run))
            states.append((run, end.state))
        self.file.write((FINISHED, values), *last_runs.changes(states), *more)

    def delivered(self, progress: Mapping[int, tuple[int, tuple[int, int], tuple[int, int]]]) -> None:
        """Write the progress of outputs: bytes in the spool, (bytes, stage) of syslog and standard output."""
        self.file.write((DELIVERED, [(size, *a, *b, run) for run, (size, a, b) in progress.items()]))

    def unfinished(self) -> list[Unfinished]:
        """Return the runs of earlier daemons that have not ended or are not delivered, oldest first."""
        return [Unfinished(*row) for row in self.file.db.execute(UNFINISHED)]


def _columns(cause: Cause) -> tuple[str, str]:
    """Return the code of a cause and its text, which may name a path that is not UTF-8."""
    return cause.reason, storable(cause.text)


def _name(fire: Fire) -> tuple[object, ...]:
    """Return the columns that are unique in the ledger if the fire has a wall minute."""
    return fire.job.key, fire.wall, fire.fold, fire.era, fire.attempt


def _start(fire: Fire) -> tuple[str, float | None]:
    """Return the state in which a fire is claimed, and when it is to start."""
    return (State.WAITING, fire.start_at.timestamp()) if fire.start_at else (State.CLAIMED, None)


def _problem(problem: Problem) -> tuple[str, int, int, str, str, str]:
    return (storable(problem.file), *problem[1:5], storable(problem.message))
