"""A connection to PostgreSQL that does not block: one transaction at a time, each in one round trip.

Only a COMMIT without a warning is an answer: a COMMIT that was cancelled while it waited for the standby
succeeds with a warning, and may be lost in a failover. This module never cancels. A transaction needs no
session state and no prepared statement, so that connections may be pooled by transaction.
"""

import json
import select
from typing import Any, LiteralString, NamedTuple

from psycopg import OperationalError, pq
from psycopg.pq.abc import PGconn, PGresult

from pycrond.cluster.statements import Statement

BEGIN: LiteralString = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
PREPARE: LiteralString = """
    SELECT to_jsonb(CASE WHEN pg_is_in_recovery() THEN 0
            ELSE ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int END),
        set_config('synchronous_commit', CASE
            WHEN NOT $1::bool THEN 'off'
            WHEN current_setting('synchronous_commit') = 'remote_apply' THEN 'remote_apply'
            ELSE 'on' END, true),
        set_config('client_min_messages', 'warning', true),
        set_config('statement_timeout', '0', true), set_config('lock_timeout', '0', true)
"""
"""Returns the timeline. A role's own settings could weaken a commit, hide its warning or cancel it."""
COMMIT: LiteralString = "COMMIT"
ROLLBACK: LiteralString = "ROLLBACK"

NO_ANSWER = {b"01000", b"57P01"}
"""The codes of warnings about a wait for the standby that was cancelled, or that ended with its process."""
READ_ONLY = b"25006"
BYTEA = 17


class Committed(NamedTuple):
    """A transaction's results: for each statement the values of its first column."""

    timeline: int
    results: list[list[Any]]


class Failed(NamedTuple):
    """A transaction without an answer: it was rolled back, or it is perhaps not durable."""

    reason: str
    is_read_only: bool = False
    """The server is a standby."""


class Connection:
    """A connection, also while it is being made; the loop watches its descriptor for `events`."""

    def __init__(self, conninfo: str) -> None:
        """Begin to connect. Only the look-up of a host's name blocks."""
        self._pgconn: PGconn = pq.PGconn.connect_start(conninfo.encode())
        self.is_connected = False
        self._wants_write = True
        self._results: list[PGresult] = []
        self._warning = ""
        self._failure: Failed | None = None
        self._is_busy = False
        self._pgconn.notice_handler = self._on_notice
        self._require(self._pgconn.status != pq.ConnStatus.BAD)

    def fileno(self) -> int:
        return int(self._pgconn.socket)

    @property
    def events(self) -> int:
        """The events for which `poll` waits."""
        if not self.is_connected:
            return select.POLLOUT if self._wants_write else select.POLLIN
        return select.POLLIN | (select.POLLOUT if self._wants_write else 0)

    def close(self) -> None:
        self._pgconn.finish()

    def connect(self) -> bool:
        """Continue to connect; return whether the connection is complete. Raises OperationalError."""
        state = self._pgconn.connect_poll()
        self._require(state != pq.PollingStatus.FAILED)
        self._wants_write = state == pq.PollingStatus.WRITING
        if state == pq.PollingStatus.OK:
            self._pgconn.nonblocking = 1
            self._pgconn.enter_pipeline_mode()
            self.is_connected = True
        return self.is_connected

    def send(self, statements: tuple[Statement, ...], *, is_durable: bool = True) -> None:
        """Send a transaction. Raises OperationalError."""
        self._results, self._warning, self._failure, self._is_busy = [], "", None, True
        prepare = Statement(PREPARE, ("true" if is_durable else "false",))
        for statement in (Statement(BEGIN), prepare, *statements, Statement(COMMIT)):
            self._send(statement)
        self._pgconn.pipeline_sync()
        self._flush()

    def receive(self) -> Committed | Failed | None:
        """Receive data; return the end of the transaction, if it has arrived. Raises OperationalError."""
        self._pgconn.consume_input()
        self._flush()
        while not self._pgconn.is_busy():
            result = self._pgconn.get_result()
            if result is None and not self._is_busy:
                break
            if result is None:
                continue
            if result.status == pq.ExecStatus.PIPELINE_SYNC:
                return self._end()
            self._results.append(result)
        self._require(self._pgconn.status != pq.ConnStatus.BAD)
        return None

    def _end(self) -> Committed | Failed | None:
        """Return the end of the transaction; after an error, roll it back first."""
        failure = self._failure or self._judge()
        if failure and self._pgconn.transaction_status != pq.TransactionStatus.IDLE:
            self._failure = failure
            self._results = []
            self._send(Statement(ROLLBACK))
            self._pgconn.pipeline_sync()
            self._flush()
            return None
        self._is_busy = False
        if failure:
            return failure
        _, prepare, *results, _ = self._results
        return Committed(_column(prepare)[0], [_column(result) for result in results])

    def _judge(self) -> Failed | None:
        """Return the failure of the transaction; None if it is an answer."""
        for result in self._results:
            if result.status == pq.ExecStatus.FATAL_ERROR:
                code = result.error_field(pq.DiagnosticField.SQLSTATE)
                return Failed(_text(result), is_read_only=code == READ_ONLY)
        if self._results[-1].command_status != b"COMMIT":
            return Failed("the server has rolled the transaction back")
        return Failed(self._warning) if self._warning else None

    def _send(self, statement: Statement) -> None:
        values = [value.encode() if isinstance(value, str) else value for value in statement.parameters]
        is_bytes = [isinstance(value, bytes) for value in statement.parameters]
        self._pgconn.send_query_params(
            statement.sql.encode(),
            values,
            param_types=[BYTEA if binary else 0 for binary in is_bytes],
            param_formats=[pq.Format.BINARY if binary else pq.Format.TEXT for binary in is_bytes],
        )

    def _flush(self) -> None:
        self._wants_write = self._pgconn.flush() == 1

    def _on_notice(self, notice: PGresult) -> None:
        if notice.error_field(pq.DiagnosticField.SQLSTATE) in NO_ANSWER:
            self._warning = _text(notice)

    def _require(self, is_fine: bool) -> None:
        if not is_fine:
            raise OperationalError(_line(self._pgconn.error_message) or "the connection is lost")


def _column(result: PGresult) -> list[Any]:
    if not result.nfields:
        return []
    return [json.loads(result.get_value(row, 0) or b"null") for row in range(result.ntuples)]


def _text(result: PGresult) -> str:
    code = (result.error_field(pq.DiagnosticField.SQLSTATE) or b"").decode()
    message = (result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY) or b"").decode("utf-8", "replace")
    return f"{message or _line(result.error_message)} ({code})" if code else _line(result.error_message)


def _line(message: bytes) -> str:
    return " ".join(message.decode("utf-8", "replace").split())
