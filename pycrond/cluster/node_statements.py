"""The SQL of a node's own row: its name, its heartbeats; and the deletion of old rows."""

from collections.abc import Sequence
from typing import LiteralString

from pycrond.cluster.node_identity import Identity
from pycrond.cluster.statements import Statement

SERVER: LiteralString = """
    SELECT jsonb_build_array(pg_is_in_recovery(), system_identifier::text) FROM pg_control_system()
"""
NAMES: LiteralString = """
    SELECT jsonb_build_array(name, ledger, instance, token, machine) FROM pycrond.nodes
    WHERE name = $1 OR ledger = $2::uuid
"""
HOLD_NAMES: LiteralString = """
    SELECT FROM pycrond.nodes WHERE name = $1 OR ledger = $2::uuid ORDER BY name FOR UPDATE
"""
"""Blocks heartbeats of others until the transaction has ended."""
FORGET: LiteralString = """
    DELETE FROM pycrond.nodes WHERE name <> $1 AND ledger = $2::uuid AND token = ANY($3::uuid[])
"""
"""Deletes the row of this ledger under an earlier name."""
LOSE: LiteralString = """
    UPDATE pycrond.claims c SET state = 'lost', ended = now()
    FROM pycrond.nodes n
    WHERE n.name = $1 AND n.ledger <> $2::uuid AND n.token = ANY($3::uuid[])
        AND c.ledger = n.ledger AND c.ended IS NULL
"""
"""No other node can close these claims: the dead ledger's row will be replaced."""
LOSE_LOCKS: LiteralString = """
    DELETE FROM pycrond.locks k USING pycrond.nodes n
    WHERE n.name = $1 AND n.ledger <> $2::uuid AND n.token = ANY($3::uuid[]) AND k.ledger = n.ledger
"""
TAKE_NAME: LiteralString = """
    INSERT INTO pycrond.nodes AS n (name, ledger, machine, instance, beat, token, seen, labels, version)
    VALUES ($1, $2::uuid, $4, $5::uuid, 0, $6::uuid, now(),
        ARRAY(SELECT jsonb_array_elements_text($7::jsonb)), $8)
    ON CONFLICT (name) DO UPDATE SET ledger = excluded.ledger, machine = excluded.machine,
        instance = excluded.instance, token = excluded.token, seen = now(), labels = excluded.labels,
        version = excluded.version, beat = n.beat + 1
    WHERE n.token = ANY($3::uuid[])
    RETURNING jsonb_build_array(n.name)
"""
BEAT: LiteralString = """
    UPDATE pycrond.nodes n
    SET beat = n.beat + 1, token = $4::uuid, seen = now(), offset_ms = $5::bigint, digest = $6
    WHERE n.name = $1 AND n.instance = $2::uuid AND n.token = ANY($3::uuid[])
    RETURNING jsonb_build_array(n.name)
"""
NODES: LiteralString = """
    SELECT jsonb_build_array(
        n.name, n.ledger, n.token, n.draining, to_jsonb(n.labels), n.version, n.offset_ms, n.digest)
    FROM (SELECT * FROM pycrond.nodes ORDER BY seen DESC LIMIT 500) AS n ORDER BY n.name
"""
"""At most 500 nodes, so that the answer fits into a packet; the longest silent ones are left out."""
CLOCK: LiteralString = "SELECT to_jsonb(extract(epoch FROM clock_timestamp())::float8)"

DELETED_AT_ONCE = 5000
RETIRE: LiteralString = """
    WITH old AS (
        SELECT c.wall, c.fold, c.job FROM pycrond.claims c
        WHERE c.ended IS NOT NULL AND c.wall < (
            SELECT extract(epoch FROM now() - m.keep)::bigint / 60 - 1440 FROM pycrond.meta m)
        ORDER BY c.wall, c.fold, c.job LIMIT $1::int FOR UPDATE SKIP LOCKED
    ), gone AS (
        DELETE FROM pycrond.claims c USING old
        WHERE c.wall = old.wall AND c.fold = old.fold AND c.job = old.job RETURNING c.run
    ), pieces AS (
        DELETE FROM pycrond.outputs WHERE run IN (SELECT run FROM gone)
    )
    SELECT to_jsonb(count(*)) FROM gone
"""
"""Keeps rows a day longer than `keep`, because `wall` is not UTC. Two nodes at once delete different rows."""
RETIRE_NODES: LiteralString = """
    DELETE FROM pycrond.nodes n
    WHERE n.seen < now() - (SELECT least(m.keep, interval '7 days') FROM pycrond.meta m)
        AND NOT EXISTS (SELECT FROM pycrond.claims c WHERE c.ledger = n.ledger AND c.ended IS NULL)
"""
ADD_PIECE: LiteralString = """
    INSERT INTO pycrond.outputs (run, piece, data) VALUES ($1::uuid, $2::int, $3::bytea)
    ON CONFLICT (run, piece) DO NOTHING
"""


def take_name(identity: Identity, seen: Sequence[str], token: str) -> tuple[Statement, ...]:
    """Return the statements that take the node's name if the rows with it still have the `seen` tokens."""
    own = (identity.name, identity.ledger, array(seen))
    new = (identity.machine, identity.instance, token, identity.labels, identity.version)
    return (
        Statement(HOLD_NAMES, own[:2]),
        *(Statement(sql, own) for sql in (FORGET, LOSE, LOSE_LOCKS)),
        Statement(TAKE_NAME, (*own, *new)),
    )


def beat(identity: Identity, token: str, offset_ms: int | None, digest: str) -> tuple[Statement, ...]:
    """Return the statements of a heartbeat; the first returns no row if another agent has the name."""
    chain = (identity.name, identity.instance, array(identity.tokens), token)
    offset = None if offset_ms is None else str(offset_ms)
    return Statement(BEAT, (*chain, offset, digest)), Statement(NODES), Statement(CLOCK)


def retire() -> tuple[Statement, ...]:
    """Return the statements that delete old rows."""
    return Statement(RETIRE, (str(DELETED_AT_ONCE),)), Statement(RETIRE_NODES)


def array(values: Sequence[str]) -> str:
    """Return UUIDs as an array in PostgreSQL's notation."""
    return "{" + ",".join(values) + "}"
