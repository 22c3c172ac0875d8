"""An SQLite file with a single writer that continues while the disk is full.

Writes that failed are queued in memory, in order, and retried. A file that is damaged, or of a newer version,
is set aside, never deleted, and a new one is made.
"""

import os
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager, suppress

from pycrond import clock
from pycrond.errors import PycrondError
from pycrond.host.safe_paths import OWN_FILE
from pycrond.ledger.schema import MIGRATIONS

RETRY_INTERVAL = 1.0  # seconds between two attempts to write the queue
RESERVE_SIZE = 64 << 10  # bytes of disk space kept for a start; SQLite's shared memory needs half
MAX_LOG_SIZE = 1 << 20  # bytes of the log that stay after a checkpoint
CHECKPOINT_AFTER = 300  # rows written; about 3 MiB of log if each is a transaction
OUR_ERRORS = (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.InterfaceError)
"""Errors of SQLite that are bugs of pycrond, not problems of the file."""
Work = tuple[str, Collection[Sequence[object]]]
"""A statement and the values of its executions; a retry iterates over them again."""


class _TooNewError(Exception):
    """The file was written by a newer pycrond."""


class Database:
    """An open file. Its constructor raises PycrondError if the file can be neither opened nor made."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._reserve = f"{path}-reserve"
        self._pending: list[Work] = []
        self._retry_at = 0.0
        self._checkpointed_changes = 0
        self.trouble = ""
        """Why the queued writes failed; empty while nothing is wrong."""
        self.is_full = False
        """True if they failed because the disk is full."""
        self.set_aside = ""
        """The error in a file that was set aside, and its new path; emptied when it has been reported."""
        try:
            self._connect_with_reserve()
        except (sqlite3.OperationalError, OSError) as error:
            raise PycrondError(f"cannot use ledger {path}: {error}") from error
        except (sqlite3.DatabaseError, _TooNewError) as error:
            self._replace(str(error))

    def _connect_with_reserve(self) -> None:
        """Connect; if the disk is too full for SQLite's shared memory, release the reserved space first."""
        try:
            self._connect()
        except (sqlite3.OperationalError, OSError):
            with suppress(FileNotFoundError):
                os.unlink(self._reserve)
            self._connect()
        self._reserve_space()

    def _reserve_space(self) -> None:
        """Reserve some disk space, if there is any."""
        with suppress(OSError):
            descriptor = os.open(self._reserve, os.O_RDWR | os.O_CREAT | OWN_FILE, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, RESERVE_SIZE)
            finally:
                os.close(descriptor)

    def _connect(self) -> None:
        # Create the file first: only its owner can read it.
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        self.db = sqlite3.connect(self._path, isolation_level=None)
        try:
            self._prepare()
        except (sqlite3.Error, _TooNewError):
            self.db.close()
            raise

    def _prepare(self) -> None:
        self.db.execute("PRAGMA auto_vacuum = INCREMENTAL")  # has an effect only on a new file
        self.db.execute("PRAGMA journal_mode = WAL")
        self.db.execute(f"PRAGMA journal_size_limit = {MAX_LOG_SIZE}")  # bytes kept for later use
        # `maintain` makes the checkpoints when nothing is due: a checkpoint can take 40 ms.
        self.db.execute("PRAGMA wal_autocheckpoint = 0")
        self.db.execute("PRAGMA synchronous = NORMAL")
        self._migrate()
        self.db.execute("SELECT count(*) FROM jobs, problems").fetchone()
        if self._has_crashed():
            result = self.db.execute("PRAGMA quick_check(1)").fetchone()[0]
            if result != "ok":
                raise sqlite3.DatabaseError(result)

    def _has_crashed(self) -> bool:
        """Return whether the latest daemon did not stop properly: it was killed, or the machine crashed."""
        row = self.db.execute("SELECT stopped_at FROM daemons ORDER BY id DESC LIMIT 1").fetchone()
        return row is not None and row[0] is None

    def _migrate(self) -> None:
        version: int = self.db.execute("PRAGMA user_version").fetchone()[0]
        if version > len(MIGRATIONS):
            raise _TooNewError(_version_message(self._path, version))
        for number, statements in enumerate(MIGRATIONS[version:], version + 1):
            self.db.executescript(f"BEGIN; {statements} PRAGMA user_version = {number}; COMMIT;")

    def _replace(self, reason: str) -> None:
        """Rename the damaged file, so that it can be examined, and make a new one."""
        self.db.close()
        new_path = f"{self._path}.{clock.now():%Y%m%dT%H%M%S.%f}"
        for suffix in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                os.rename(self._path + suffix, new_path + suffix)
        self.set_aside = f"{reason}; it is kept as {new_path}"
        try:
            self._connect()
        except (sqlite3.Error, OSError) as error:
            raise PycrondError(f"cannot make a new ledger {self._path}: {error}") from error

    @property
    def has_pending(self) -> bool:
        """True while queued writes are in memory only."""
        return bool(self._pending)

    @property
    def pending(self) -> int:
        """The number of rows that are queued."""
        return sum(len(rows) for _, rows in self._pending)

    def write(self, *work: Work) -> None:
        """Write in one transaction; while the disk is full, queue the writes."""
        more = [(statement, rows) for statement, rows in work if rows]
        if not more:
            return
        queued = len(self._pending)
        self._pending += more
        if not self.trouble or clock.elapsed() >= self._retry_at:
            try:
                self.flush()
            except (*OUR_ERRORS, ValueError):  # a bug of pycrond: this work is not retried
                del self._pending[queued:]
                raise

    def write_durably(self, *work: Work) -> bool:
        """Write so that a power cut cannot undo it; return whether it is written, not queued."""
        self.db.execute("PRAGMA synchronous = FULL")
        try:
            self.write(*work)
        finally:
            self.db.execute("PRAGMA synchronous = NORMAL")
        return not self._pending

    def flush(self) -> None:
        """Write the queue in one transaction; if the disk is full, leave it for `maintain`."""
        try:
            with self._transaction():
                for statement, rows in self._pending:
                    self.db.executemany(statement, rows)
        except sqlite3.OperationalError as error:
            self.trouble, self.is_full = str(error), error.sqlite_errorcode == sqlite3.SQLITE_FULL
            self._retry_at = clock.elapsed() + RETRY_INTERVAL
        except OUR_ERRORS:
            raise
        except sqlite3.DatabaseError as error:
            self._replace(str(error))  # the file was damaged while it was open
        else:
            self._pending.clear()
            if self.trouble:
                self._reserve_space()
            self.trouble = ""

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Open a transaction for many small queries, so that the file is locked only once."""
        self.db.execute("BEGIN")
        try:
            yield
        finally:
            if self.db.in_transaction:  # an error may have ended it
                self.db.execute("ROLLBACK")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.db.execute("COMMIT")
        except BaseException:
            if self.db.in_transaction:
                self.db.execute("ROLLBACK")
            raise

    def maintain(self) -> None:
        """Retry the queue; make a checkpoint if the log has grown. To be called when nothing is due."""
        if self._pending and clock.elapsed() >= self._retry_at:
            self.flush()
        if self.db.total_changes - self._checkpointed_changes > CHECKPOINT_AFTER and not self.trouble:
            with suppress(sqlite3.OperationalError):  # the disk is full
                self.db.execute("PRAGMA wal_checkpoint(PASSIVE)")
            self._checkpointed_changes = self.db.total_changes

    def log_size(self) -> int:
        """Return the bytes of the log."""
        with suppress(OSError):
            return os.stat(f"{self._path}-wal").st_size
        return 0

    def retry_in(self, elapsed: float) -> float | None:
        """Return the seconds until `maintain` has to retry; None if nothing is queued."""
        return max(0.0, self._retry_at - elapsed) if self._pending else None

    def finish(self) -> None:
        """Write the queue, if possible, and empty the log by a checkpoint."""
        if self._pending:
            self.flush()
        if not self.trouble:
            with suppress(sqlite3.OperationalError):
                self.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def check_version(path: str) -> None:
    """Raise PycrondError if this version cannot use the file at `path`; change nothing."""
    try:
        with closing(open_read_only(path)) as db:
            version: int = db.execute("PRAGMA user_version").fetchone()[0]
    except sqlite3.Error as error:
        raise PycrondError(f"cannot use ledger {path}: {error}") from error
    if version > len(MIGRATIONS):
        raise PycrondError(_version_message(path, version))


def _version_message(path: str, version: int) -> str:
    known = len(MIGRATIONS)
    return f"ledger {path} is of version {version}, from a newer pycrond; this one knows up to {known}"


def open_read_only(path: str, options: str = "") -> sqlite3.Connection:
    """Open a ledger, perhaps of another user; `options` are SQLite's in a URI. Raises sqlite3.Error."""
    quoted = path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    db = sqlite3.connect(f"file:{quoted}?mode=ro{options}", uri=True, isolation_level=None)
    db.execute("PRAGMA trusted_schema = OFF")
    return db
