"""The ledger's writing side: what is claimed, started, ended and delivered, and what should have been.

One writer, the daemon. Times come from the caller, as aware UTC; they are stored as Unix seconds.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from pycrond.errors import Problem
from pycrond.jobs.run import Fire, Outcome
from pycrond.ledger.database import Database, Work
from pycrond.ledger.jobs import JobTable
from pycrond.ledger.rows import FileRows, GapRow, RunRow, Unfinished, WaitingRow
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
    INSERT INTO runs (id, key, fire, wall, fold, era, trigger, attempt, state, reason, ended_at,
    told, until, folded) VALUES (?, ?, ?, ?, ?, ?, 'schedule', 1, ?, ?, ?, 3, ?, ?)
    ON CONFLICT DO NOTHING
"""
STARTED = """
    UPDATE runs SET state = 'running', pid = ?, pid_start = ?, started_at = ?, lateness_ms = ? WHERE id = ?
"""
FINISHED = """
    UPDATE runs SET state = ?, reason = ?, exit_status = ?, signal = ?, cpu_s = ?, max_rss_kb = ?,
    ended_at = ?, duration_s = ? WHERE id = ?
"""
UNFINISHED = """
    SELECT id, key, fire, wall, fold, era, trigger, attempt, state, reason, pid, pid_start, started_at,
    duration_s, exit_status, signal, cpu_s, max_rss_kb, delivered, told
    FROM runs WHERE id IN (
        SELECT id FROM runs WHERE state IN ('claimed', 'waiting', 'running')
        UNION SELECT id FROM runs WHERE told < 3
    ) ORDER BY id
"""
"""An OR would look at every run instead of at both indexes: 0.12 s for a million, twice at each start."""
FOUND = """
    INSERT INTO runs (id, key, fire, wall, fold, era, trigger, attempt, state, pid, pid_start, started_at)
    VALUES (?, ?, ?, NULL, 0, 0, ?, ?, 'running', ?, ?, ?) ON CONFLICT DO NOTHING
"""
WAITING = """
    SELECT id, key, fire, wall, fold, era, trigger, attempt, start_at FROM runs
    WHERE state IN ('claimed', 'waiting', 'running') AND state = 'waiting' ORDER BY fire, id
"""


class Ledger:
    """An open ledger file; raises PycrondError where there can be none."""

    def __init__(self, path: str) -> None:
        self.file = Database(path)
        self._promised: set[tuple[object, ...]] = set()  # fires whose claims are owed
        self._daemon = 0
        row = self.file.db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'runs'").fetchone()
        self.last_run = int(row[0]) if row else 0
        """The highest number that a run has."""
        self.jobs = JobTable(self.file)

    def close(self) -> None:
        self.file.db.close()

    def begin_after(self, run: int) -> None:
        """Give runs numbers higher than this: lower ones are of a ledger that was set aside, or of runs that
        were never written down, the disk being full.
        """
        self.last_run = max(self.last_run, run)

    def renew(self) -> None:
        """Another file has taken this one's place: tell it who we are. `load` tells it the rest."""
        self.jobs.begin_again()
        self.file.do(self._began)

    # The daemon itself

    def begin(self, pid: int, version: str, boot: str, why: str, now: datetime) -> None:
        """A daemon starts."""
        self._daemon = 1 + (self.file.db.execute("SELECT max(id) FROM daemons").fetchone()[0] or 0)
        self._began: Work = (BEGIN, [(self._daemon, pid, version, boot, now.timestamp(), why)])
        self.file.do(self._began)

    @property
    def start(self) -> int:
        """The number of this start of a daemon."""
        return self._daemon

    def ready(self, now: datetime) -> None:
        self.file.do(("UPDATE daemons SET ready_at = ? WHERE id = ?", [(now.timestamp(), self._daemon)]))

    def stop(self, now: datetime) -> None:
        """A planned stop; copies the log back and empties it."""
        self.file.do(("UPDATE daemons SET stopped_at = ? WHERE id = ?", [(now.timestamp(), self._daemon)]))
        self.file.finish()

    def clock_event(self, kind: str, moved: float, now: datetime) -> None:
        row = (now.timestamp(), kind, moved)
        self.file.do(("INSERT INTO clock_events (at, kind, moved) VALUES (?, ?, ?)", [row]))

    # Jobs

    def load(
        self,
        files: Sequence[FileRows],
        problems: Iterable[Problem],
        now: datetime,
        through: datetime | None = None,
    ) -> None:
        """The jobs from now on, by their files in order, and what is wrong with these; writes only of files
        whose jobs are not the same.

        `through` is the last minute that the jobs before them have run in (`now`): theirs begin after it.
        """
        self.file.do(
            *self.jobs.loaded(files, (through or now).timestamp()),
            ("DELETE FROM problems", [()]),
            (PROBLEM, [_problem(one) for one in problems]),
            ("UPDATE daemons SET loaded_at = ? WHERE id = ?", [(now.timestamp(), self._daemon)]),
        )

    # Runs

    def latest(self) -> dict[str, float]:
        """The latest fire time of each job that has a verdict: what is owed is written in order."""
        rows = self.file.db.execute(
            "SELECT key, max(coalesce(until, fire)) FROM runs WHERE wall IS NOT NULL GROUP BY key"
        )
        return {str(key): float(fire) for key, fire in rows}

    def claim(self, fires: Sequence[Fire], boot: str | None = None) -> list[int | None]:
        """Write down, durably and at once, all that is about to start: a run id for each fire.

        None for a fire that was claimed before and must not start again. With `boot`, these are the
        @reboot fires of that boot, all None when it has had them. What the disk does not take is owed.
        """
        booted: list[Sequence[object]] = []
        if boot is not None:
            if self.knows_boot(boot):
                return [None] * len(fires)
            booted = [(boot,)]
        with self.file.reading():
            numbered = self._numbered(fires)
        rows = [
            (
                run,
                fire.job.key,
                fire.at.timestamp(),
                fire.wall,
                fire.fold,
                fire.era,
                fire.trigger,
                fire.attempt,
                *_start(fire),
            )
            for run, fire in zip(numbered, fires, strict=True)
            if run is not None
        ]
        self.file.db.execute("PRAGMA synchronous = FULL")
        self.file.do(("INSERT INTO boots (boot) VALUES (?) ON CONFLICT DO NOTHING", booted), (CLAIM, rows))
        self.file.db.execute("PRAGMA synchronous = NORMAL")
        self.last_run += len(rows)
        names = {_name(fire) for fire in fires}
        self._promised = self._promised | names if self.file.owes else set()
        return numbered

    def knows_boot(self, boot: str) -> bool:
        """Whether the @reboot jobs of that boot were claimed."""
        return bool(self.file.db.execute("SELECT 1 FROM boots WHERE boot = ?", (boot,)).fetchone())

    def _numbered(self, fires: Iterable[Fire]) -> list[int | None]:
        """The next numbers, for those that had none before."""
        numbered: list[int | None] = []
        run, seen = self.last_run, set(self._promised)
        for fire in fires:
            name = _name(fire)
            known = name in seen or self.file.db.execute(CLAIMED, name).fetchone()
            if known and fire.wall is not None:
                numbered.append(None)
                continue
            run += 1
            numbered.append(run)
            seen.add(name)
        return numbered

    def pass_over(self, gaps: Iterable[GapRow]) -> list[int]:
        """Fires that came while nobody was looking, a row for a job and a gap, told already: their ids."""
        rows = [(self.last_run + number, *gap) for number, gap in enumerate(gaps, 1)]
        self.last_run += len(rows)
        self.file.do((GAP, rows))
        return [row[0] for row in rows]

    def cancel(self, runs: Iterable[int]) -> None:
        """Take back claims whose minute has not come: the job is gone, or the clock was turned."""
        self.file.do(
            ("DELETE FROM runs WHERE id = ? AND state IN ('claimed', 'waiting')", [(run,) for run in runs])
        )
        self._promised.clear()

    def waiting(self) -> list[WaitingRow]:
        """What was claimed to start later, in the order of the fires."""
        return [WaitingRow(*row) for row in self.file.db.execute(WAITING)]

    def wait(self, rows: Sequence[tuple[int, str]]) -> None:
        """Claimed runs that cannot start yet, and why."""
        statement = "UPDATE runs SET state = 'waiting', start_at = NULL, reason = ? WHERE id = ?"
        self.file.do((statement, [(reason, run) for run, reason in rows]))

    def may_start(self, runs: Sequence[int]) -> bool:
        """Write down, durably, that they do not wait any more; False if the disk does not take it."""
        self.file.db.execute("PRAGMA synchronous = FULL")
        self.file.do(
            ("UPDATE runs SET state = 'claimed', reason = '' WHERE id = ?", [(run,) for run in runs])
        )
        self.file.db.execute("PRAGMA synchronous = NORMAL")
        return not self.file.owes

    def settle(self, rows: Sequence[tuple[int, str]], state: str, now: datetime) -> None:
        """They will not run, and why: `state` is skipped or missed."""
        statement = "UPDATE runs SET state = ?, reason = ?, ended_at = ?, told = 3 WHERE id = ?"
        self.file.do((statement, [(state, reason, now.timestamp(), run) for run, reason in rows]))

    def note(self, rows: Sequence[tuple[int, str]]) -> None:
        """Of runs that live, why they are being ended."""
        self.file.do(("UPDATE runs SET reason = ? WHERE id = ?", [(reason, run) for run, reason in rows]))

    def found(self, rows: Iterable[Sequence[object]]) -> None:
        """Runs that live and that this ledger, being new, does not know: id, key, fire, trigger, attempt,
        pid, its start in clock ticks, when it started.
        """
        self.file.do((FOUND, [tuple(row) for row in rows]))

    def run(self, run: int) -> RunRow | None:
        """A run, as `history` shows it."""
        columns = ", ".join("jobs.name" if name == "name" else f"runs.{name}" for name in RunRow._fields)
        row = self.file.db.execute(
            f"SELECT {columns} FROM runs LEFT JOIN jobs USING (key) WHERE runs.id = ?",  # noqa: S608
            (run,),
        ).fetchone()
        return RunRow(*row) if row else None

    # What starts and ends

    def started(self, rows: Iterable[tuple[int, int, int, datetime, float]]) -> None:
        """Runs that live: id, pid, start time of the pid in clock ticks, when, lateness in ms."""
        self.file.do(
            (STARTED, [(pid, ticks, at.timestamp(), late, run) for run, pid, ticks, at, late in rows])
        )

    def finished(self, rows: Iterable[tuple[int, Outcome, datetime, float | None]], *more: Work) -> None:
        """Runs that are over: id, outcome, when, duration in seconds if it was measured; and what follows."""
        values = [
            (
                end.state, end.reason, end.exit_status, end.signal, end.cpu_s, end.max_rss_kb,
                at.timestamp(), duration, run,
            )
            for run, end, at, duration in rows
        ]  # fmt: skip
        self.file.do((FINISHED, values), *more)

    def delivered(self, progress: Mapping[int, tuple[int, int, int]]) -> None:
        """How far each run's output has come: bytes spooled, bytes that syslog has taken, what was told."""
        rows = [(written, taken, told, run) for run, (written, taken, told) in progress.items()]
        self.file.do(("UPDATE runs SET bytes = ?, delivered = ?, told = ? WHERE id = ?", rows))

    def unfinished(self) -> list[Unfinished]:
        """What an earlier daemon left to do, oldest first."""
        return [Unfinished(*row) for row in self.file.db.execute(UNFINISHED)]


def _name(fire: Fire) -> tuple[object, ...]:
    """What is unique in the ledger, where the fire has a wall minute."""
    return fire.job.key, fire.wall, fire.fold, fire.era, fire.attempt


def _start(fire: Fire) -> tuple[str, float | None]:
    """The state that it is claimed in, and when it is to start."""
    return ("waiting", fire.start_at.timestamp()) if fire.start_at else ("claimed", None)


def _problem(one: Problem) -> tuple[str, int, int, str, str, str]:
    return storable(one.file), one.line, one.column, one.severity, one.code, storable(one.message)
