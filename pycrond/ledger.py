"""The ledger's writing side: what is claimed, started, ended and delivered, and what should have been.

One writer, the daemon. Times come from the caller, as aware UTC; they are stored as Unix seconds.
"""

import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime

from pycrond.errors import Problem, PycrondError
from pycrond.rows import JobRow, quoted, storable
from pycrond.run import Fire, GapRow, Outcome, Unfinished
from pycrond.schema import MIGRATIONS

CHECKPOINT_AFTER = 300  # rows written: about 3 MiB of log where each is a transaction


class Ledger:
    """An open ledger file; raises PycrondError where the file cannot serve."""

    def __init__(self, path: str) -> None:
        self._path = path
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))  # nobody else's to read
        except OSError as error:
            raise PycrondError(f"cannot open ledger {path}: {error.strerror}") from error
        try:
            self._db = sqlite3.connect(path, isolation_level=None)
            self._db.execute("PRAGMA journal_mode = WAL")
            # The daemon copies the log back itself, in a quiet moment: a checkpoint can take 40 ms.
            self._db.execute("PRAGMA wal_autocheckpoint = 0")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._migrate()
            row = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'runs'").fetchone()
        except sqlite3.Error as error:
            raise PycrondError(f"cannot use ledger {path}: {error}") from error
        self._last_run: int = row[0] if row else 0
        self._daemon = 0
        self._changes_copied = 0

    def _migrate(self) -> None:
        version: int = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version > len(MIGRATIONS):
            raise PycrondError(_too_new(self._path, version))
        for number, statements in enumerate(MIGRATIONS[version:], version + 1):
            self._db.executescript(f"BEGIN; {statements} PRAGMA user_version = {number}; COMMIT;")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def close(self) -> None:
        self._db.close()

    # The daemon itself

    def begin(self, pid: int, version: str, boot: str, why: str, now: datetime) -> None:
        """A daemon starts."""
        cursor = self._db.execute(
            "INSERT INTO daemons (pid, version, boot, started_at, why) VALUES (?, ?, ?, ?, ?)",
            (pid, version, boot, now.timestamp(), why),
        )
        self._daemon = cursor.lastrowid or 0

    @property
    def start(self) -> int:
        """The number of this start of a daemon."""
        return self._daemon

    def ready(self, now: datetime) -> None:
        self._db.execute("UPDATE daemons SET ready_at = ? WHERE id = ?", (now.timestamp(), self._daemon))

    def stop(self, now: datetime) -> None:
        """A planned stop; copies the log back and empties it."""
        self._db.execute("UPDATE daemons SET stopped_at = ? WHERE id = ?", (now.timestamp(), self._daemon))
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def clock_event(self, kind: str, moved: float, now: datetime) -> None:
        self._db.execute(
            "INSERT INTO clock_events (at, kind, moved) VALUES (?, ?, ?)", (now.timestamp(), kind, moved)
        )

    def tidy(self) -> None:
        """Copy the log back where it has grown; for a moment in which nothing is due."""
        if self._db.total_changes - self._changes_copied > CHECKPOINT_AFTER:
            self._db.execute("PRAGMA wal_checkpoint(PASSIVE)")
            self._changes_copied = self._db.total_changes

    # Jobs

    def load(
        self,
        jobs: Sequence[JobRow],
        problems: Iterable[Problem],
        now: datetime,
        through: datetime | None = None,
    ) -> None:
        """The jobs from now on, in order, and what is wrong with the files; writes only differences.

        `through` is the last minute that the jobs before them have run in (`now`): theirs begin after it.
        """
        through = through or now
        with self._transaction():
            before = {
                row[0]: row
                for row in self._db.execute(
                    "SELECT key, name, user, file, line, schedule, canonical, zone, command, options, loaded"
                    " FROM jobs WHERE loaded > 0"
                )
            }
            for place, job in enumerate(jobs, 1):
                old = before.pop(job.key, None)
                if old != (*job, place):
                    self._write_job(job, place, through, changed=old is None or old[6:10] != job[6:10])
            for key in before:
                self._db.execute("UPDATE jobs SET loaded = 0 WHERE key = ?", (key,))
                self._end_version(key, through)
            self._db.execute("DELETE FROM problems")
            self._db.executemany(
                "INSERT INTO problems (file, line, column, severity, code, message)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                [
                    (storable(one.file), one.line, one.column, one.severity, one.code, storable(one.message))
                    for one in problems
                ],
            )
            self._db.execute("UPDATE daemons SET loaded_at = ? WHERE id = ?", (now.timestamp(), self._daemon))

    def _write_job(self, job: JobRow, place: int, through: datetime, *, changed: bool) -> None:
        self._db.execute(
            "INSERT OR REPLACE INTO jobs (key, name, user, file, line, schedule, canonical, zone, command,"
            " options, loaded) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*job, place),
        )
        if changed:
            self._end_version(job.key, through)
            self._db.execute(
                "INSERT INTO job_versions (key, file, line, canonical, zone, command, options, since)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (job.key, job.file, job.line, *job[6:10], through.timestamp()),
            )

    def _end_version(self, key: str, through: datetime) -> None:
        self._db.execute(
            "UPDATE job_versions SET until = ? WHERE key = ? AND until IS NULL", (through.timestamp(), key)
        )

    # Runs

    def claim(self, fires: Sequence[Fire], boot: str | None = None) -> list[int | None]:
        """Write down, durably and at once, all that is about to start: a run id for each fire.

        None for a fire that was claimed before and must not start again. With `boot`, these are the
        @reboot fires of that boot, all None when it has had them.
        """
        self._db.execute("PRAGMA synchronous = FULL")
        try:
            with self._transaction():
                if boot is not None and self._known_boot(boot):
                    return [None] * len(fires)
                return [self._claim(fire) for fire in fires]
        finally:
            self._db.execute("PRAGMA synchronous = NORMAL")

    def _known_boot(self, boot: str) -> bool:
        return not self._db.execute(
            "INSERT INTO boots (boot) VALUES (?) ON CONFLICT DO NOTHING", (boot,)
        ).rowcount

    def _claim(self, fire: Fire) -> int | None:
        run = self._last_run + 1
        cursor = self._db.execute(
            "INSERT INTO runs (id, key, fire, wall, fold, era, trigger, attempt, state)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, 1, 'claimed') ON CONFLICT DO NOTHING",
            (run, fire.job.key, fire.at.timestamp(), fire.wall, fire.fold, fire.era, fire.trigger),
        )
        if not cursor.rowcount:
            return None
        self._last_run = run
        return run

    def pass_over(self, gaps: Iterable[GapRow]) -> None:
        """Fires that came while nobody was looking: one row for a job and a gap, told already."""
        with self._transaction():
            self._db.executemany(
                "INSERT INTO runs (key, fire, wall, fold, era, trigger, attempt, state, reason, ended_at,"
                " told, until, folded) VALUES (?, ?, ?, ?, ?, 'schedule', 1, ?, ?, ?, 3, ?, ?)"
                " ON CONFLICT DO NOTHING",
                gaps,
            )
            row = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'runs'").fetchone()
            self._last_run = row[0] if row else 0

    def expected(self) -> list[tuple[str, str, str]]:
        """Key, stored schedule and zone of every job with fire times that the last daemon had loaded."""
        return self._db.execute(
            "SELECT key, canonical, zone FROM jobs WHERE loaded > 0 AND canonical IS NOT NULL ORDER BY loaded"
        ).fetchall()

    def cancel(self, runs: Iterable[int]) -> None:
        """Take back claims whose minute has not come: the job is gone, or the clock was turned."""
        with self._transaction():
            self._db.executemany(
                "DELETE FROM runs WHERE id = ? AND state = 'claimed'", [(run,) for run in runs]
            )

    def started(self, rows: Iterable[tuple[int, int, int, datetime, float]]) -> None:
        """Runs that live: id, pid, start time of the pid in clock ticks, when, lateness in ms."""
        with self._transaction():
            self._db.executemany(
                "UPDATE runs SET state = 'running', pid = ?, pid_start = ?, started_at = ?, lateness_ms = ?"
                " WHERE id = ?",
                [(pid, ticks, at.timestamp(), late, run) for run, pid, ticks, at, late in rows],
            )

    def finished(self, rows: Iterable[tuple[int, Outcome, datetime, float | None]]) -> None:
        """Runs that are over: id, outcome, when, duration in seconds where it was measured."""
        with self._transaction():
            self._db.executemany(
                "UPDATE runs SET state = ?, reason = ?, exit_status = ?, signal = ?, cpu_s = ?,"
                " max_rss_kb = ?, ended_at = ?, duration_s = ? WHERE id = ?",
                [
                    (
                        end.state, end.reason, end.exit_status, end.signal, end.cpu_s, end.max_rss_kb,
                        at.timestamp(), duration, run,
                    )
                    for run, end, at, duration in rows
                ],
            )  # fmt: skip

    def delivered(self, progress: Mapping[int, tuple[int, int, int]]) -> None:
        """How far each run's output has come: bytes spooled, bytes that syslog has taken, what was told."""
        with self._transaction():
            self._db.executemany(
                "UPDATE runs SET bytes = ?, delivered = ?, told = ? WHERE id = ?",
                [(written, taken, told, run) for run, (written, taken, told) in progress.items()],
            )

    def unfinished(self) -> list[Unfinished]:
        """What an earlier daemon left to do, oldest first."""
        rows = self._db.execute(
            "SELECT runs.id, runs.key, name, coalesce(user, ''), coalesce(command, ''),"
            " coalesce(options, '{}'), fire, state,"
            " reason, pid, pid_start, started_at, duration_s, exit_status, signal, cpu_s, max_rss_kb,"
            " delivered, told"
            " FROM runs LEFT JOIN jobs USING (key)"
            " WHERE state IN ('claimed', 'waiting', 'running') OR told < 3 ORDER BY runs.id"
        )
        return [Unfinished(*row) for row in rows]


def look(path: str) -> None:
    """Raises PycrondError if this version cannot go on with the ledger at `path`; changes nothing."""
    try:
        db = sqlite3.connect(f"file:{quoted(path)}?mode=ro", uri=True)
        version: int = db.execute("PRAGMA user_version").fetchone()[0]
        db.close()
    except sqlite3.Error as error:
        raise PycrondError(f"cannot use ledger {path}: {error}") from error
    if version > len(MIGRATIONS):
        raise PycrondError(_too_new(path, version))


def _too_new(path: str, version: int) -> str:
    return (
        f"ledger {path} is of version {version}, from a newer pycrond; this one knows up to {len(MIGRATIONS)}"
    )
