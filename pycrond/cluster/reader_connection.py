"""Short connections to the cluster's database for commands, and readable errors."""

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pycrond.errors import PycrondError
from pycrond.text import duration

if TYPE_CHECKING:
    from pycrond.cluster.schema import Migration

CONNECT_TIMEOUT = 5  # seconds, for each host of the conninfo
STATEMENT_TIMEOUT = 5  # seconds
TOTAL_TIMEOUT = 15.0  # seconds after which a server that does not answer is given up
INSTALL = "pip install 'pycrond[cluster]'"
MIGRATE = "pycrond cluster migrate"
SENTENCES = {
    "InvalidSchemaName": f"the database has no tables of pycrond: run '{MIGRATE}'",
    "UndefinedTable": f"the database has no tables of pycrond: run '{MIGRATE}'",
    "UndefinedColumn": f"the database's tables are of an older pycrond: run '{MIGRATE}'",
    "InsufficientPrivilege": "the database refuses it: {reason} (the owner of its tables may GRANT it)",
    "QueryCanceled": f"the database has not answered within {STATEMENT_TIMEOUT} s",
    "LockNotAvailable": "the tables are in use: try again",
    "ReadOnlySqlTransaction": "the server is a standby: 'cluster' must name the primary, by its host or by"
    " target_session_attrs=read-write",
}
"""The messages for errors of the database, by psycopg's names."""


def load_psycopg() -> Any:
    """Return the module psycopg; raise PycrondError if it is not installed."""
    try:
        import psycopg  # noqa: PLC0415 -- most machines have no cluster
    except ImportError as error:
        raise PycrondError(f"a cluster needs psycopg: {INSTALL}") from error
    return psycopg


@contextlib.contextmanager
def connect(conninfo: str, seconds: float | None = None) -> Iterator[Any]:
    """Connect for the duration of the block, at most `seconds`; errors of the database become
    PycrondError.
    """
    seconds = TOTAL_TIMEOUT if seconds is None else seconds
    psycopg = load_psycopg()
    late, has_connected = threading.Event(), False
    try:
        with psycopg.connect(
            conninfo, connect_timeout=CONNECT_TIMEOUT, prepare_threshold=None, application_name="pycrond"
        ) as connection:
            has_connected = True
            with _end_after(seconds, connection.fileno(), late):
                yield connection
    except psycopg.Error as error:
        if late.is_set():
            raise PycrondError(f"the database has not answered within {duration(seconds)}") from error
        raise PycrondError(explain(error, conninfo, has_connected=has_connected)) from error


@contextlib.contextmanager
def _end_after(seconds: float, descriptor: int, late: threading.Event) -> Iterator[None]:
    """End a connection after `seconds`, and set `late`: a frozen server does not observe its timeouts."""
    connection = socket.socket(fileno=os.dup(descriptor))

    def shut_down() -> None:
        late.set()
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, shut_down)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        connection.close()


def explain(error: Any, conninfo: str, *, has_connected: bool) -> str:
    """Return an error of psycopg as a sentence with a remedy."""
    if type(error).__name__ == "ProgrammingError" and not has_connected:
        from pycrond.cluster import database_hosts  # noqa: PLC0415 -- it imports psycopg

        return database_hosts.refusal(conninfo)  # the error itself may show a password
    reason = " ".join((error.diag.message_primary or str(error) or type(error).__name__).split())
    sentence = SENTENCES.get(type(error).__name__)
    if sentence:
        return sentence.format(reason=reason)
    if has_connected:
        return f"the cluster's database failed: {reason}"
    return f"cannot connect to the cluster's database: {reason}"


def begin_reading(connection: Any) -> None:
    """Begin the transaction, and set its timeouts: a pooler may refuse them at the connection's start."""
    psycopg = load_psycopg()
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    connection.read_only = True
    limit_statements(connection)


def limit_statements(connection: Any) -> None:
    """Limit the time of each statement of the transaction, which begins with this statement."""
    connection.execute(f"SET LOCAL statement_timeout = '{STATEMENT_TIMEOUT} s'")


def known_version() -> int:
    """Return the newest version of the tables that this program knows."""
    load_psycopg()
    from pycrond.cluster import schema  # noqa: PLC0415 -- it imports psycopg

    return schema.VERSION


def migrate(
    conninfo: str, name: str | None, zone: str | None, keep: timedelta | None, new_zone: str
) -> "Migration":
    """Create or convert the tables; return their version before and after. Raises PycrondError.

    `new_zone` is the zone of a cluster that is created without `zone`.
    """
    with connect(conninfo) as connection:
        from pycrond.cluster import schema  # noqa: PLC0415 -- as above

        return schema.migrate(connection, name, zone, keep, new_zone)


def set_draining(conninfo: str, node: str, *, drains: bool) -> bool:
    """Make a node stop claiming fires, or start again; return False if there is no such node."""
    with connect(conninfo) as connection:
        limit_statements(connection)
        connection.execute("SET LOCAL synchronous_commit = on")
        statement = "UPDATE pycrond.nodes SET draining = %s WHERE name = %s"
        return bool(connection.execute(statement, (drains, node)).rowcount)
