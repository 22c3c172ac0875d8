"""The ledger's tables of crontab files, of jobs, and of all versions of each job."""

from collections.abc import Sequence

from pycrond.ledger.database import Database, Work
from pycrond.ledger.rows import FileRows, JobRow

# The statements use no values read earlier: while the disk is full they are queued and executed later.
MARK_OLD_JOBS = "UPDATE jobs SET loaded = -1 WHERE file = ? AND loaded <> 0"
STORE_JOB = """
    INSERT INTO jobs (key, name, user, file, line, schedule, canonical, zone, command, options, loaded)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1) ON CONFLICT DO UPDATE SET
    name = excluded.name, user = excluded.user, file = excluded.file, line = excluded.line,
    schedule = excluded.schedule, canonical = excluded.canonical, zone = excluded.zone,
    command = excluded.command, options = excluded.options, loaded = 1
"""
END_VERSIONS = """
    UPDATE job_versions SET until = ? WHERE until IS NULL
    AND key IN (SELECT key FROM jobs WHERE file = ? AND loaded <> 0)
    AND NOT EXISTS (SELECT 1 FROM jobs WHERE key = job_versions.key AND loaded = 1
        AND canonical IS job_versions.canonical AND zone = job_versions.zone
        AND command = job_versions.command AND options = job_versions.options)
"""
BEGIN_VERSIONS = """
    INSERT INTO job_versions (key, file, line, canonical, zone, command, options, since)
    SELECT key, file, line, canonical, zone, command, options, ? FROM jobs
    WHERE file = ? AND loaded <> 0 AND loaded = 1
    AND NOT EXISTS (SELECT 1 FROM job_versions WHERE key = jobs.key AND until IS NULL)
    ORDER BY line
"""
UNLOAD_OLD_JOBS = "UPDATE jobs SET loaded = 0 WHERE file = ? AND loaded <> 0 AND loaded < 0"
STORE_FILE = "INSERT OR REPLACE INTO files (file, place, stamp) VALUES (?, ?, ?)"


class JobTable:
    """Reads and replaces the jobs in the ledger."""

    def __init__(self, file: Database) -> None:
        self._file = file
        self._files: dict[str, tuple[str, int, str]] = {
            row[0]: row for row in file.db.execute("SELECT file, place, stamp FROM files")
        }

    @property
    def zone(self) -> str | None:
        """The time zone of the daemon that loaded the jobs; None before the first load."""
        stamps = [stamp for _, _, stamp in self._files.values()]
        return stamps[0].partition(" ")[2] or None if stamps else None

    def begin_by(self, now: float) -> None:
        """Make the loaded jobs due in the minutes after now (Unix seconds), if the clock was set back to
        before the time of their loading.
        """
        statement = "UPDATE job_versions SET since = ? WHERE until IS NULL AND since > ?"
        self._file.write((statement, [(now, now)]))

    def reset(self) -> None:
        """Forget the files: the ledger has been replaced by an empty one."""
        self._files = {}

    def replace(self, files: Sequence[FileRows], since: float) -> list[Work]:
        """Return the statements that make the jobs of these files, in this order, the loaded jobs.

        The jobs are loaded from `since` on (Unix seconds). Files with a known stamp need no statement.
        """
        file_rows = {file.file: (file.file, place, file.stamp) for place, file in enumerate(files, 1)}
        stamps = {path: stamp for path, _, stamp in self._files.values()}
        new = [file for file in files if stamps.get(file.file) != file.stamp]
        gone = [(path,) for path in self._files if path not in file_rows]
        changed = [*gone, *((file.file,) for file in new)]
        changed_at = [(since, *path) for path in changed]
        moved = [row for path, row in file_rows.items() if self._files.get(path) != row]
        self._files = file_rows
        # All old jobs are marked before the first new job is stored: a key may move from file to file.
        return [
            (MARK_OLD_JOBS, changed),
            *((STORE_JOB, file.rows) for file in new),
            (END_VERSIONS, changed_at),
            (BEGIN_VERSIONS, changed_at),
            (UNLOAD_OLD_JOBS, changed),
            ("DELETE FROM files WHERE file = ?", gone),
            (STORE_FILE, moved),
        ]

    def loaded_schedules(self) -> list[tuple[str, str, str, str, float]]:
        """Return the loaded jobs with fire times: key, stored schedule, zone, options, and the time (Unix
        seconds) after which each is due.
        """
        return self._file.db.execute(
            "SELECT jobs.key, jobs.canonical, jobs.zone, jobs.options, max(since)"
            " FROM jobs JOIN files USING (file)"
            " JOIN job_versions ON job_versions.key = jobs.key AND until IS NULL"
            " WHERE loaded > 0 AND jobs.canonical IS NOT NULL GROUP BY jobs.key ORDER BY place, jobs.line"
        ).fetchall()

    def latest_fire(self, after: float, max_seconds: float) -> float | None:
        """Return the latest single fire in the `max_seconds` after a time; None if there is none."""
        (fire,) = self._file.db.execute(
            "SELECT max(fire) FROM (SELECT fire, wall, folded FROM runs ORDER BY id DESC LIMIT 10000)"
            " WHERE wall IS NOT NULL AND folded IS NULL AND fire > ? AND fire <= ?",
            (after, after + max_seconds),
        ).fetchone()
        return None if fire is None else float(fire)

    def users(self) -> set[str]:
        """Return the users of the loaded jobs."""
        return {user for (user,) in self._file.db.execute("SELECT DISTINCT user FROM jobs WHERE loaded > 0")}

    def job(self, key: str) -> JobRow | None:
        """Return a job as it was last loaded."""
        row = self._file.db.execute(
            "SELECT key, name, user, file, line, schedule, canonical, zone, command, options"
            " FROM jobs WHERE key = ?",
            (key,),
        ).fetchone()
        return JobRow(*row) if row else None
