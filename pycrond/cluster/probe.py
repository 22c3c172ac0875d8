"""Facts about the connection to the cluster's database and about the role, for `doctor`."""

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from pycrond.cluster.reader import ClusterReader
from pycrond.cluster.reader_connection import begin_reading, connect
from pycrond.cluster.reader_rows import ClusterRow, NodeRow, ServerRow

STATEMENT_POOLING = "statement pooling"
"""Words of PgBouncer's error for a transaction in this mode."""


class Probe(NamedTuple):
    """The facts about a server, read through a connection."""

    transport: str
    """`socket`, `TLS`, `loopback` or `plain`."""
    role: str
    database: str
    server: ServerRow
    lacking: Sequence[str]
    """Rights that the role lacks, such as `INSERT on pycrond.claims`."""
    offset_ms: int
    """Milliseconds by which this machine's clock is ahead of the database's."""
    cluster: ClusterRow | None
    """None without tables, or without the right to read them."""
    nodes: Sequence[NodeRow]


def probe(conninfo: str) -> Probe:
    """Connect and read the facts; raises PycrondError."""
    with connect(conninfo) as connection:
        from pycrond.cluster import schema  # noqa: PLC0415 -- it imports psycopg

        begin_reading(connection)
        reader = ClusterReader(connection)
        offset_ms = _offset_ms(connection)
        ((role, database, exists, usage, lacking),) = connection.execute(schema.CHECK).fetchone()
        server = reader.server()
        lacking = lacking if usage or not exists else ["USAGE on schema pycrond"]
        can_read = exists and not any("SELECT" in right or "USAGE" in right for right in lacking)
        cluster, nodes = (reader.meta(), reader.nodes()) if can_read else (None, [])
        info = connection.info
        transport = "TLS" if connection.pgconn.ssl_in_use else _transport(info.host)
    return Probe(transport, role, database, server, lacking, offset_ms, cluster, nodes)


def _offset_ms(connection: Any) -> int:
    """Return the milliseconds by which this machine's clock is ahead, from the fastest of three queries."""
    offsets: list[tuple[float, float]] = []
    for _ in range(3):
        asked = time.time()
        (theirs,) = connection.execute("SELECT extract(epoch FROM clock_timestamp())::float8").fetchone()
        answered = time.time()
        offsets.append((answered - asked, (asked + answered) / 2 - theirs))
    return round(1000 * min(offsets)[1])


def _transport(host: str) -> str:
    if host.startswith(("/", "@")):
        return "socket"
    return "loopback" if host in {"localhost", "127.0.0.1", "::1"} else "plain"
