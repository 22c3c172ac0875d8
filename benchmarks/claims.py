"""`make bench-cluster`: measure what one PostgreSQL server can do for a cluster, with the agent's statements.

python benchmarks/claims.py [--seconds N]

The server is started for the benchmark, with fsync, on a Unix socket. The connections are the agent's, each
with one transaction at a time, all in this process. Server and connections share the machine's processors: a
server on a machine of its own can do more.
"""

import argparse
import os
import select
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path
from statistics import median, quantiles
from typing import Any, NamedTuple

import psycopg

sys.path.insert(0, str(Path(__file__).parent.parent))

from pycrond.cluster import node_statements, schema
from pycrond.cluster.database import Committed, Connection
from pycrond.cluster.node_identity import Identity
from pycrond.cluster.protocol import Ask, Claim, Report, Tell
from pycrond.cluster.statements import Node, Statement, statements
from pycrond.ledger.cluster import new_uuid
from tests.support.postgres import Postgres, primary

CONNECTIONS, BATCHES = (1, 5, 50), (1, 10, 100)
NODES = 200
Transaction = Callable[[int], tuple[Statement, ...]]
"""Returns the statements of the next transaction of a connection, by its number."""


class Figures(NamedTuple):
    transactions: float
    """Per second."""
    median_ms: float
    p99_ms: float


class Clients:
    """Connections of this process, each with a transaction at any time."""

    def __init__(self, conninfo: str, number: int) -> None:
        self._poll = select.poll()
        self._connections: dict[int, Connection] = {}
        for _ in range(number):
            connection = Connection(conninfo)
            self._poll.register(connection, connection.events)
            self._connections[connection.fileno()] = connection
        while not all(connection.is_connected for connection in self._connections.values()):
            for descriptor, _ in self._poll.poll():
                connection = self._connections[descriptor]
                if not connection.is_connected:
                    connection.connect()
                self._poll.modify(descriptor, connection.events)

    def run(self, transaction: Transaction, seconds: float, *, is_durable: bool = True) -> Figures:
        """Repeat a transaction on each connection."""
        since, sent = time.perf_counter(), dict[int, float]()
        took: list[float] = []
        numbers = {descriptor: number for number, descriptor in enumerate(self._connections)}
        for descriptor, connection in self._connections.items():
            sent[descriptor] = time.perf_counter()
            connection.send(transaction(numbers[descriptor]), is_durable=is_durable)
        while sent:
            for descriptor, _ in self._poll.poll():
                connection = self._connections[descriptor]
                end = connection.receive()
                if end is not None:
                    if not isinstance(end, Committed):
                        raise SystemExit(f"a transaction failed: {end.reason}")
                    now = time.perf_counter()
                    took.append(now - sent.pop(descriptor))
                    if now < since + seconds:
                        sent[descriptor] = now
                        connection.send(transaction(numbers[descriptor]), is_durable=is_durable)
                self._poll.modify(descriptor, connection.events)
        elapsed = time.perf_counter() - since
        p99 = quantiles(took, n=100)[-1] if len(took) > 1 else took[0]
        return Figures(len(took) / elapsed, median(took) * 1000, p99 * 1000)

    def close(self) -> None:
        for connection in self._connections.values():
            connection.close()


_walls = count(30_000_000)


def _fires(batch: int) -> list[tuple[str, int, str, float]]:
    wall, now = next(_walls), time.time()
    return [(f"root/job-{number}", wall, new_uuid(), now) for number in range(batch)]


def claims(batch: int) -> Transaction:
    """Return transactions that claim new fires each time."""

    def transaction(number: int) -> tuple[Statement, ...]:
        asked = tuple(Claim(job, wall, 0, run, fire, 30.0) for job, wall, run, fire in _fires(batch))
        return statements(Ask(1, 0.0, asked), _node(number))

    return transaction


def lost_claims(batch: int) -> Transaction:
    """Return transactions that claim the same fires, which the first of them has claimed."""
    wall, now = next(_walls), time.time()

    def transaction(number: int) -> tuple[Statement, ...]:
        asked = tuple(Claim(f"root/job-{job}", wall, 0, new_uuid(), now, 90.0) for job in range(batch))
        return statements(Ask(1, 0.0, asked), _node(number))

    return transaction


def ends(batch: int) -> Transaction:
    """Return transactions that report the ends of runs without a row."""

    def transaction(number: int) -> tuple[Statement, ...]:
        reports = tuple(
            Report(job, wall, 0, run, fire, "succeeded", "", fire, fire + 1, 0, 7)
            for job, wall, run, fire in _fires(batch)
        )
        return statements(Tell(1, reports), _node(number))

    return transaction


def life(batch: int) -> Iterator[tuple[Statement, ...]]:
    """Yield the transactions of runs: claimed, running, ended."""
    fires, node = _fires(batch), _node(0)
    yield statements(Ask(1, 0.0, tuple(Claim(*fire[:2], 0, *fire[2:], 30.0) for fire in fires)), node)
    for state, ended in (("running", None), ("succeeded", time.time())):
        rows = tuple(
            Report(job, wall, 0, run, at, state, "", at, ended, None if ended is None else 0, 7)
            for job, wall, run, at in fires
        )
        yield statements(Tell(1, rows), node)


def _node(number: int) -> Node:
    return Node(f"node-{number}", f"00000000-0000-4000-8000-{number:012}")


def heartbeats(server: Postgres, seconds: float) -> Figures:
    """Measure the heartbeats of many nodes; each heartbeat returns all nodes."""
    identities = [Identity(*_node(number), "host", (), "0") for number in range(NODES)]
    clients = Clients(server.conninfo(), 5)
    turns = count()
    named: set[int] = set()

    def transaction(_number: int) -> tuple[Statement, ...]:
        number = next(turns) % NODES
        identity = identities[number]
        if number not in named:
            named.add(number)
            token = identity.new_token()
            identity.name_taken()
            return node_statements.take_name(identity, (), token)
        token = identity.new_token()
        return node_statements.beat(identity, token, 0, "digest")

    clients.run(transaction, 1.0, is_durable=False)
    figures = clients.run(transaction, seconds, is_durable=False)
    clients.close()
    return figures


def _same(transaction: tuple[Statement, ...], _number: int) -> tuple[Statement, ...]:
    return transaction


def sizes(server: Postgres, number: int) -> dict[str, float]:
    """Return bytes of a run's row, of its indexes, and of the log that its life writes."""
    server.execute("TRUNCATE pycrond.claims")
    before = server.execute("SELECT pg_current_wal_insert_lsn()")[0][0]
    clients = Clients(server.conninfo(), 1)
    for _ in range(number // 100):
        for transaction in life(100):
            clients.run(partial(_same, transaction), 0.0)
    clients.close()
    written = server.execute("SELECT pg_current_wal_insert_lsn() - %s::pg_lsn", before)[0][0]
    heap, index = server.execute("SELECT pg_table_size('pycrond.claims'), pg_indexes_size('pycrond.claims')")[
        0
    ]
    return {"heap": heap / number, "index": index / number, "wal": float(written) / number}


def deletion(server: Postgres, number: int) -> float:
    """Return the rows that are deleted a second, as the agent does it."""
    server.execute("UPDATE pycrond.meta SET keep = interval '1 minute'")
    server.execute("UPDATE pycrond.claims SET wall = wall - 30000000, ended = now()")
    clients = Clients(server.conninfo(), 1)
    since = time.perf_counter()
    for _ in range(-(-number // node_statements.DELETED_AT_ONCE)):
        clients.run(lambda _number: node_statements.retire(), 0.0)
    clients.close()
    left = server.execute("SELECT count(*) FROM pycrond.claims")[0][0]
    return (number - int(left)) / (time.perf_counter() - since)


def show(name: str, figures: Figures, batch: int = 1) -> None:
    rate = figures.transactions * batch
    print(
        f"{name:<56} {rate:>9,.0f} /s   {figures.median_ms:7.2f} ms  p99 {figures.p99_ms:7.2f} ms", flush=True
    )


def measure(name: str, kind: Callable[[int], Transaction], server: Postgres, options: Any) -> None:
    for number in CONNECTIONS:
        for batch in BATCHES:
            clients = Clients(server.conninfo(), number)
            figures = clients.run(kind(batch), options.seconds)
            clients.close()
            show(f"{name}, {number} connections, batches of {batch}", figures, batch)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=3.0, help="of each figure")
    parser.add_argument("--rows", type=int, default=100_000, help="for sizes and deletion")
    options = parser.parse_args()
    with primary(max_connections="100", shared_buffers="128MB") as server:
        with psycopg.connect(server.conninfo(), autocommit=True) as connection:
            schema.migrate(connection, "bench", "UTC")
        print(f"{os.cpu_count()} processors, PostgreSQL {server.execute('SHOW server_version')[0][0]}")
        measure("claims", claims, server, options)
        measure("claims of claimed fires", lost_claims, server, options)
        measure("reported ends", ends, server, options)
        show(f"heartbeats, {NODES} nodes", heartbeats(server, options.seconds))
        for name, value in sizes(server, options.rows).items():
            print(f"{name + ', bytes of a run':<56} {value:>9,.0f}")
        print(f"{'rows deleted':<56} {deletion(server, options.rows):>9,.0f} /s")


if __name__ == "__main__":
    main()
