"""The ledger's table of jobs: what is loaded, from which files, and what should have run when."""

from collections.abc import Sequence

from pycrond.ledger.database import Database, Work
from pycrond.ledger.rows import FileRows, JobRow

# A file's jobs are replaced by statements alone, which hold whenever a full disk lets them be carried out.
LEFT = "UPDATE jobs SET loaded = -1 WHERE file = ? AND loaded <> 0"
JOB = """
    INSERT INTO jobs (key, name, user, file, line, schedule, canonical, zone, command, options, loaded)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1) ON CONFLICT DO UPDATE SET
    name = excluded.name, user = excluded.user, file = excluded.file, line = excluded.line,
    schedule = excluded.schedule, canonical = excluded.canonical, zone = excluded.zone,
    command = excluded.command, options = excluded.options, loaded = 1
"""
VERSIONS_END = """
    UPDATE job_versions SET until = ? WHERE until IS NULL
    AND key IN (SELECT key FROM jobs WHERE file = ? AND loaded <> 0)
    AND NOT EXISTS (SELECT 1 FROM jobs WHERE key = job_versions.key AND loaded = 1
        AND canonical IS job_versions.canonical AND zone = job_versions.zone
        AND command = job_versions.command AND options = job_versions.options)
"""
VERSIONS_BEGIN = """
    INSERT INTO job_versions (key, file, line, canonical, zone, command, options, since)
    SELECT key, file, line, canonical, zone, command, options, ? FROM jobs
    WHERE file = ? AND loaded <> 0 AND loaded = 1
    AND NOT EXISTS (SELECT 1 FROM job_versions WHERE key = jobs.key AND until IS NULL)
    ORDER BY line
"""
GONE = "UPDATE jobs SET loaded = 0 WHERE file = ? AND loaded <> 0 AND loaded < 0"
FILE = "INSERT OR REPLACE INTO files (file, place, stamp) VALUES (?, ?, ?)"


class JobTable:
    """Reads and replaces them, in the ledger's file."""

    def __init__(self, file: Database) -> None:
        self._file = file
        self._files: dict[str, tuple[str, int, str]] = {
            row[0]: row for row in file.db.execute("SELECT file, place, stamp FROM files")
        }

    def begin_again(self) -> None:
        """Another file has taken the place of the ledger's: it knows no jobs."""
        self._files = {}

    def loaded(self, files: Sequence[FileRows], since: float) -> list[Work]:
        """What makes these the jobs from then on (Unix seconds), by their files in order: nothing of files
        whose stamp is known already.
        """
        found = {one.file: (one.file, place, one.stamp) for place, one in enumerate(files, 1)}
        stamps = {file: stamp for file, _, stamp in self._files.values()}
        others = [one for one in files if stamps.get(one.file) != one.stamp]
        gone = [(file,) for file in self._files if file not in found]
        changed = [*gone, *((one.file,) for one in others)]
        at = [(since, *file) for file in changed]
        places = [row for file, row in found.items() if self._files.get(file) != row]
        self._files = found
        # All are left before the first is filled: a key may go from one file to another.
        return [
            (LEFT, changed),
            *((JOB, one.rows) for one in others),
            (VERSIONS_END, at),
            (VERSIONS_BEGIN, at),
            (GONE, changed),
            ("DELETE FROM files WHERE file = ?", gone),
            (FILE, places),
        ]

    def expected(self) -> list[tuple[str, str, str, str, float]]:
        """Of every job with fire times that the last daemon had loaded: key, stored schedule, zone, options,
        and the minute after which these hold.
        """
        return self._file.db.execute(
            "SELECT jobs.key, jobs.canonical, jobs.zone, jobs.options, max(since)"
            " FROM jobs JOIN files USING (file)"
            " JOIN job_versions ON job_versions.key = jobs.key AND until IS NULL"
            " WHERE loaded > 0 AND jobs.canonical IS NOT NULL GROUP BY jobs.key ORDER BY place, jobs.line"
        ).fetchall()

    def job(self, key: str) -> JobRow | None:
        """A job as it was when it was loaded last."""
        row = self._file.db.execute(
            "SELECT key, name, user, file, line, schedule, canonical, zone, command, options"
            " FROM jobs WHERE key = ?",
            (key,),
        ).fetchone()
        return JobRow(*row) if row else None
