"""An SQLite file with one writer, who owes what the disk does not take and goes on.

What is owed is kept in memory, in order, and written when that can be done. A file that is damaged, or of a
newer version, is set aside, never deleted, and another begun.
"""

import os
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress

from pycrond import clock
from pycrond.errors import PycrondError
from pycrond.ledger.rows import quoted
from pycrond.ledger.schema import MIGRATIONS

PAY_EVERY = 1.0  # seconds between two tries to write what is owed
RESERVE = 64 << 10  # bytes of the disk that only a start takes: SQLite's shared memory is half of it
CHECKPOINT_AFTER = 300  # rows written: about 3 MiB of log where each is a transaction
Work = tuple[str, Collection[Sequence[object]]]
"""A statement, and the values of each of its executions: gone through again where they had to be owed."""


class _TooNewError(Exception):
    """The file was written by a newer pycrond."""


class Database:
    """The open file; raises PycrondError where there can be none."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._reserve = f"{path}-reserve"
        self._pending: list[Work] = []
        self._pay_at = 0.0
        self._changes_copied = 0
        self.trouble = ""
        """Why what is owed could not be written."""
        self.set_aside = ""
        """What was wrong with the file that was there, and where it is. Whoever tells of it empties this."""
        try:
            self._connect_all_the_same()
        except (sqlite3.OperationalError, OSError) as error:
            raise PycrondError(f"cannot use ledger {path}: {error}") from error
        except (sqlite3.DatabaseError, _TooNewError) as error:
            self._put_away(str(error))

    def _connect_all_the_same(self) -> None:
        """Also on a full disk, which takes not even SQLite's shared memory: with the room kept for that."""
        try:
            self._connect()
        except (sqlite3.OperationalError, OSError):
            with suppress(FileNotFoundError):
                os.unlink(self._reserve)
            self._connect()
        self._take_reserve()

    def _take_reserve(self) -> None:
        """Keep some room, if the disk gives it."""
        with suppress(OSError):
            descriptor = os.open(self._reserve, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, RESERVE)
            finally:
                os.close(descriptor)

    def _connect(self) -> None:
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))  # nobody else's to read
        self.db = sqlite3.connect(self._path, isolation_level=None)
        self.db.execute("PRAGMA journal_mode = WAL")
        # The daemon copies the log back itself, in a quiet moment: a checkpoint can take 40 ms.
        self.db.execute("PRAGMA wal_autocheckpoint = 0")
        self.db.execute("PRAGMA synchronous = NORMAL")
        self._migrate()
        self.db.execute("SELECT count(*) FROM jobs, problems").fetchone()
        if self._ended_badly() and (found := self.db.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            raise sqlite3.DatabaseError(found)

    def _ended_badly(self) -> bool:
        """Whether the latest daemon was killed, or the machine fell over."""
        row = self.db.execute("SELECT stopped_at FROM daemons ORDER BY id DESC LIMIT 1").fetchone()
        return row is not None and row[0] is None

    def _migrate(self) -> None:
        version: int = self.db.execute("PRAGMA user_version").fetchone()[0]
        if version > len(MIGRATIONS):
            raise _TooNewError(_too_new(self._path, version))
        for number, statements in enumerate(MIGRATIONS[version:], version + 1):
            self.db.executescript(f"BEGIN; {statements} PRAGMA user_version = {number}; COMMIT;")

    def _put_away(self, why: str) -> None:
        """Keep the file for people to look at, and begin another."""
        self.db.close()
        place = f"{self._path}.{clock.now():%Y%m%dT%H%M%S.%f}"
        for end in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                os.rename(self._path + end, place + end)
        self.set_aside = f"{why}; it is kept as {place}"
        try:
            self._connect()
        except (sqlite3.Error, OSError) as error:
            raise PycrondError(f"cannot make a new ledger {self._path}: {error}") from error

    @property
    def owes(self) -> bool:
        """Whether something is known here and nowhere else."""
        return bool(self._pending)

    def do(self, *work: Work) -> None:
        """Write in one transaction, now or when the disk takes it."""
        more = [(statement, rows) for statement, rows in work if rows]
        self._pending += more
        if not self.trouble or clock.elapsed() >= self._pay_at:
            try:
                self.flush()
            except (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.InterfaceError):
                del self._pending[-len(more) :]  # a bug of ours, and no reason to try it again
                raise

    def flush(self) -> None:
        """Write what is owed."""
        try:
            with self._transaction():
                for statement, rows in self._pending:
                    self.db.executemany(statement, rows)
        except sqlite3.OperationalError as error:
            self.trouble = str(error)
            self._pay_at = clock.elapsed() + PAY_EVERY
        except (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.InterfaceError):
            raise
        except sqlite3.DatabaseError as error:
            self._put_away(str(error))  # it went bad under us
        else:
            self._pending.clear()
            if self.trouble:
                self._take_reserve()
            self.trouble = ""

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Many small questions in one transaction: the file is locked for all of them once."""
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

    def tidy(self) -> None:
        """Write what is owed; copy the log back where it has grown. For a moment in which nothing is due."""
        if self._pending and clock.elapsed() >= self._pay_at:
            self.flush()
        if self.db.total_changes - self._changes_copied > CHECKPOINT_AFTER and not self.trouble:
            with suppress(sqlite3.OperationalError):  # the disk is full: the next time, then
                self.db.execute("PRAGMA wal_checkpoint(PASSIVE)")
            self._changes_copied = self.db.total_changes

    def retry_in(self, elapsed: float) -> float | None:
        """Seconds until `tidy` has to try again; None if nothing is owed."""
        return max(0.0, self._pay_at - elapsed) if self._pending else None

    def finish(self) -> None:
        """Write what is owed, if that can be, and copy the whole log back."""
        if self._pending:
            self.flush()
        if not self.trouble:
            with suppress(sqlite3.OperationalError):
                self.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def look(path: str) -> None:
    """Raises PycrondError if this version cannot go on with the file at `path`; changes nothing."""
    try:
        db = sqlite3.connect(f"file:{quoted(path)}?mode=ro", uri=True)
        version: int = db.execute("PRAGMA user_version").fetchone()[0]
        db.close()
    except sqlite3.Error as error:
        raise PycrondError(f"cannot use ledger {path}: {error}") from error
    if version > len(MIGRATIONS):
        raise PycrondError(_too_new(path, version))


def _too_new(path: str, version: int) -> str:
    known = len(MIGRATIONS)
    return f"ledger {path} is of version {version}, from a newer pycrond; this one knows up to {known}"
