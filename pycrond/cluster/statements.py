"""The SQL of the daemon's requests, and the meaning of its results.

Each statement returns one column of JSON, or none. `$1` is the batch, sorted by key, so that two nodes
cannot deadlock. The transaction's last statement reads which node has a fire. A row of this node counts only
if the same transaction has written it: a row that is only read may not be replicated yet.
"""

import json
from collections.abc import Sequence
from typing import Any, LiteralString, NamedTuple

from pycrond.cluster.protocol import (
    Abandoned,
    Ask,
    Bury,
    Close,
    Confirm,
    LastFires,
    LastSuccess,
    Open,
    Row,
    TakeOver,
    Tell,
)


class Statement(NamedTuple):
    sql: LiteralString
    parameters: tuple[str | bytes | None, ...] = ()
    """`$1`, `$2` and so on, as text; bytes are a `bytea`."""


class Node(NamedTuple):
    """The node that sends requests, as named in its rows."""

    name: str
    ledger: str


Results = Sequence[list[Any]]
"""The rows of each statement, as values of its single column."""

CLAIM: LiteralString = """
    INSERT INTO pycrond.claims (job, wall, fold, fire, run, node, ledger, rerun, state)
    SELECT a.job, a.wall, a.fold, to_timestamp(a.fire), a.run, $2, $3::uuid, a.rerun, 'claimed'
    FROM jsonb_to_recordset($1::jsonb)
        AS a (job text, wall int, fold smallint, fire float8, run uuid, rerun bool, within float8)
    WHERE a.fire - extract(epoch FROM now())::float8 - $4::float8 BETWEEN -a.within AND 3
    ORDER BY a.wall, a.fold, a.job
    ON CONFLICT (wall, fold, job) DO NOTHING
    RETURNING jsonb_build_array(wall, fold, job)
"""
TOUCH: LiteralString = """
    UPDATE pycrond.claims c SET asked = c.asked + 1
    FROM jsonb_to_recordset($1::jsonb) AS a (job text, wall int, fold smallint, run uuid)
    WHERE c.wall = a.wall AND c.fold = a.fold AND c.job = a.job AND c.run = a.run
    RETURNING jsonb_build_array(c.wall, c.fold, c.job)
"""
LOCK: LiteralString = """
    INSERT INTO pycrond.locks (name, run, ledger)
    SELECT l.name, c.run, c.ledger
    FROM jsonb_to_recordset($1::jsonb) AS a (job text, wall int, fold smallint, run uuid, locks jsonb)
    JOIN pycrond.claims c ON c.wall = a.wall AND c.fold = a.fold AND c.job = a.job AND c.run = a.run
    CROSS JOIN jsonb_array_elements_text(a.locks) AS l (name)
    WHERE c.state IN ('claimed', 'waiting')
    ORDER BY l.name, a.wall, a.fold, a.job
    ON CONFLICT (name) DO NOTHING
"""
SETTLE: LiteralString = """
    UPDATE pycrond.claims c SET
        state = CASE WHEN a.missing IS NULL THEN 'claimed' WHEN a.may_wait THEN 'waiting' ELSE 'skipped' END,
        reason = CASE WHEN a.missing IS NULL THEN '' WHEN a.waits AND NOT a.may_wait THEN 'queue-full'
            WHEN starts_with(a.missing, 'overlap:') THEN 'overlap' ELSE 'lock' END,
        ended = CASE WHEN a.missing IS NOT NULL AND NOT a.may_wait THEN now() END
    FROM (
        SELECT asked.*, asked.waits AND NOT EXISTS (SELECT FROM pycrond.claims w
            WHERE w.job = asked.job AND w.state = 'waiting' AND w.run <> asked.run) AS may_wait, (
            SELECT l.name FROM jsonb_array_elements_text(asked.locks) AS l (name)
            WHERE NOT EXISTS (SELECT FROM pycrond.locks k WHERE k.name = l.name AND k.run = asked.run)
            ORDER BY starts_with(l.name, 'overlap:') DESC LIMIT 1
        ) AS missing
        FROM jsonb_to_recordset($1::jsonb)
            AS asked (job text, wall int, fold smallint, run uuid, locks jsonb, waits bool)
        WHERE jsonb_array_length(asked.locks) > 0
    ) AS a
    WHERE c.wall = a.wall AND c.fold = a.fold AND c.job = a.job AND c.run = a.run
        AND c.state IN ('claimed', 'waiting')
    RETURNING jsonb_build_array(c.wall, c.fold, c.job)
"""
UNLOCK: LiteralString = """
    DELETE FROM pycrond.locks k USING pycrond.claims c,
        jsonb_to_recordset($1::jsonb) AS a (job text, wall int, fold smallint, run uuid)
    WHERE c.wall = a.wall AND c.fold = a.fold AND c.job = a.job AND c.run = a.run
        AND k.run = a.run AND (c.ended IS NOT NULL OR c.state = 'waiting')
"""
CONFIRM: LiteralString = """
    UPDATE pycrond.claims c
    SET state = 'running', started = to_timestamp(a.started), number = a.number, asked = c.asked + 1
    FROM jsonb_to_recordset($1::jsonb)
        AS a (job text, wall int, fold smallint, run uuid, started float8, number bigint)
    WHERE c.wall = a.wall AND c.fold = a.fold AND c.job = a.job AND c.run = a.run
        AND c.state IN ('claimed', 'running')
    RETURNING jsonb_build_array(c.wall, c.fold, c.job)
"""
HOLD_DEAD: LiteralString = """
    SELECT FROM pycrond.nodes WHERE ledger = $1::uuid AND token = $2::uuid FOR SHARE
"""
"""Blocks heartbeats of a node that has just come back until the transaction has ended."""
TAKE_OVER: LiteralString = """
    UPDATE pycrond.claims c SET run = a.run, node = $2, ledger = $3::uuid, asked = c.asked + 1,
        claimed = CASE WHEN c.run = a.run THEN c.claimed ELSE now() END,
        started = CASE WHEN c.run = a.run THEN c.started END,
        number = CASE WHEN c.run = a.run THEN c.number ELSE 0 END,
        state = CASE WHEN c.run = a.run OR c.state = 'waiting' THEN c.state ELSE 'claimed' END
    FROM jsonb_to_recordset($1::jsonb) AS a (job text, wall int, fold smallint, run uuid, old uuid)
    WHERE c.wall = a.wall AND c.fold = a.fold AND c.job = a.job AND c.rerun AND c.ended IS NULL
        AND (c.run = a.run OR c.run = a.old AND c.ledger = $4::uuid AND ($4::uuid = $3::uuid OR EXISTS (
            SELECT FROM pycrond.nodes n WHERE n.ledger = $4::uuid AND n.token = $5::uuid)))
    RETURNING jsonb_build_array(c.wall, c.fold, c.job)
"""
MOVE_LOCKS: LiteralString = """
    UPDATE pycrond.locks k SET run = a.run, ledger = $2::uuid
    FROM pycrond.claims c,
        jsonb_to_recordset($1::jsonb) AS a (job text, wall int, fold smallint, run uuid, old uuid)
    WHERE c.wall = a.wall AND c.fold = a.fold AND c.job = a.job AND c.run = a.run AND k.run = a.old
"""
BURY: LiteralString = """
    UPDATE pycrond.claims c SET state = 'lost', ended = now()
    WHERE c.ledger = $1::uuid AND c.ended IS NULL AND (NOT c.rerun OR $3::bool)
        AND EXISTS (SELECT FROM pycrond.nodes n WHERE n.ledger = $1::uuid AND n.token = $2::uuid)
"""
BURY_LOCKS: LiteralString = """
    DELETE FROM pycrond.locks k
    WHERE k.ledger = $1::uuid
        AND EXISTS (SELECT FROM pycrond.nodes n WHERE n.ledger = $1::uuid AND n.token = $2::uuid)
        AND NOT EXISTS (
            SELECT FROM pycrond.claims c WHERE c.ledger = $1::uuid AND c.ended IS NULL AND c.run = k.run)
"""
ABANDONED: LiteralString = """
    SELECT jsonb_build_array(c.job, c.wall, c.fold, c.run, c.node, c.state, c.reason, c.ended IS NOT NULL,
        extract(epoch FROM c.fire)::float8)
    FROM pycrond.claims c
    WHERE c.ledger = $1::uuid AND c.ended IS NULL AND c.rerun
        AND ($2::bool OR NOT EXISTS (SELECT FROM pycrond.locks k WHERE k.run = c.run))
    ORDER BY c.wall, c.fold, c.job
"""
CLOSE: LiteralString = """
    INSERT INTO pycrond.claims
        (job, wall, fold, fire, run, node, ledger, state, reason, started, ended, status)
    SELECT a.job, a.wall, a.fold, to_timestamp(a.fire), a.run, $2, $3::uuid, a.state, a.reason,
        to_timestamp(a.started), coalesce(to_timestamp(a.ended), now()), a.status
    FROM jsonb_to_recordset($1::jsonb) AS a (job text, wall int, fold smallint, run uuid, fire float8,
        state text, reason text, started float8, ended float8, status int)
    ORDER BY a.wall, a.fold, a.job
    ON CONFLICT (wall, fold, job) DO NOTHING
    RETURNING jsonb_build_array(wall, fold, job)
"""
CLOSE_OWN: LiteralString = """
    UPDATE pycrond.claims c SET state = a.state, reason = a.reason, asked = c.asked + 1,
        ended = coalesce(to_timestamp(a.ended), now())
    FROM jsonb_to_recordset($1::jsonb)
        AS a (job text, wall int, fold smallint, run uuid, state text, reason text, ended float8)
    WHERE c.wall = a.wall AND c.fold = a.fold AND c.job = a.job AND c.run = a.run AND c.ended IS NULL
    RETURNING jsonb_build_array(c.wall, c.fold, c.job)
"""
TELL: LiteralString = """
    INSERT INTO pycrond.claims AS c
        (job, wall, fold, fire, run, node, ledger, number, state, reason, started, ended, status)
    SELECT a.job, a.wall, a.fold, to_timestamp(a.fire), a.run, $2, $3::uuid, a.number, a.state, a.reason,
        to_timestamp(a.started),
        CASE WHEN a.state NOT IN ('claimed', 'waiting', 'running')
            THEN coalesce(to_timestamp(a.ended), now()) END,
        a.status
    FROM jsonb_to_recordset($1::jsonb) AS a (job text, wall int, fold smallint, run uuid, fire float8,
        number bigint, state text, reason text, started float8, ended float8, status int)
    ORDER BY a.wall, a.fold, a.job
    ON CONFLICT (wall, fold, job) DO UPDATE SET run = excluded.run, node = excluded.node,
        ledger = excluded.ledger, number = excluded.number, state = excluded.state, reason = excluded.reason,
        started = excluded.started, ended = excluded.ended, status = excluded.status
    WHERE c.run = excluded.run AND (c.ended IS NULL OR excluded.ended IS NOT NULL OR c.state = 'lost')
    OR c.state IN ('skipped', 'missed') AND excluded.started IS NOT NULL
    RETURNING jsonb_build_array(c.wall, c.fold, c.job)
"""
"""A late request does not change a final state; but `lost` was only the view of other nodes, and a node that
skipped a fire without the database did not know of a start on another node (`on-partition=run`)."""
READ: LiteralString = """
    SELECT jsonb_build_array(c.job, c.wall, c.fold, c.run, c.node, c.state, c.reason, c.ended IS NOT NULL,
        extract(epoch FROM c.fire)::float8)
    FROM jsonb_to_recordset($1::jsonb) AS a (job text, wall int, fold smallint)
    JOIN pycrond.claims c ON c.wall = a.wall AND c.fold = a.fold AND c.job = a.job
    ORDER BY c.wall, c.fold, c.job
"""
OPEN: LiteralString = """
    SELECT jsonb_build_array(c.job, c.wall, c.fold, c.run, c.node, c.state, c.reason, c.ended IS NOT NULL,
        extract(epoch FROM c.fire)::float8)
    FROM pycrond.claims c WHERE c.ledger = $1::uuid AND c.ended IS NULL ORDER BY c.wall, c.fold, c.job
"""
LAST_FIRES: LiteralString = """
    SELECT jsonb_build_array(c.job, c.wall, c.fold, c.run, c.node, c.state, c.reason, c.ended IS NOT NULL,
        extract(epoch FROM c.fire)::float8, NULL, (
            SELECT count(*) FROM pycrond.claims k WHERE k.job = a.job AND k.fire < to_timestamp($2::float8)
                AND k.fire >= to_timestamp($3::float8) AND k.wall >= $3::float8 / 60 - 1440))
    FROM jsonb_array_elements_text($1::jsonb) AS a (job) CROSS JOIN LATERAL (
        SELECT * FROM pycrond.claims WHERE claims.job = a.job AND claims.fire < to_timestamp($2::float8)
        ORDER BY wall DESC, fold DESC LIMIT 1
    ) AS c
"""
LAST_SUCCESS: LiteralString = """
    SELECT jsonb_build_array(c.job, c.wall, c.fold, c.run, c.node, c.state, c.reason, true,
        extract(epoch FROM c.fire)::float8, extract(epoch FROM c.ended)::float8)
    FROM jsonb_to_recordset($1::jsonb) AS a (job text, after float8) CROSS JOIN LATERAL (
        SELECT * FROM pycrond.claims
        WHERE claims.job = a.job AND claims.wall >= a.after / 60 - 10080 AND claims.state = 'succeeded'
            AND claims.ended > to_timestamp(a.after)
        ORDER BY wall DESC, fold DESC LIMIT 1
    ) AS c
"""
"""Reads rows from a week before that time on: a run of more than a week does not count."""

Batch = Ask | Confirm | TakeOver | Abandoned | Bury | Close | Tell | Open | LastFires | LastSuccess
"""A request about rows of `claims`."""


def statements(request: Batch, node: Node, *, again: bool = False) -> tuple[Statement, ...]:
    """Return the statements between BEGIN and COMMIT. `again`: it may have been carried out before."""
    match request:
        case Ask():
            parts = _ask(request, node, again)
        case Confirm():
            batch = _sorted(request.runs)
            parts = [Statement(CONFIRM, (batch,)), Statement(READ, (batch,))]
        case TakeOver():
            parts = _take_over(request, node)
        case Bury():
            dead = (request.ledger, request.token)
            bury = Statement(BURY, (*dead, str(request.all_of_them)))
            parts = [Statement(HOLD_DEAD, dead), bury, Statement(BURY_LOCKS, dead)]
        case Close():
            parts = _close(_sorted(request.rows), node, again)
        case Tell():
            batch = _sorted(request.rows)
            tell = Statement(TELL, (batch, *node))
            parts = [tell, Statement(UNLOCK, (batch,)), Statement(READ, (batch,))]
        case _:
            parts = [_reading(request, node)]
    return tuple(parts)


def answer(request: Batch, results: Results) -> tuple[Row, ...] | None:
    """Return the rows that answer a request, from the results of its statements; None: send it again."""
    rows = tuple(Row(*fields) for fields in results[-1])
    written = {tuple(key) for result in results[:-1] for key in result}
    match request:
        case Ask(claims=own) | Close(rows=own):
            runs = {claim.run for claim in own}
            is_known = all((row.wall, row.fold, row.job) in written for row in rows if row.run in runs)
            return rows if is_known else None
        case Confirm() | TakeOver():
            return tuple(row for row in rows if (row.wall, row.fold, row.job) in written)
    return rows


def _reading(request: Abandoned | Open | LastFires | LastSuccess, node: Node) -> Statement:
    match request:
        case Abandoned():
            return Statement(ABANDONED, (request.ledger, str(request.with_locks)))
        case Open():
            return Statement(OPEN, (node.ledger,))
        case LastSuccess():
            jobs = [{"job": job, "after": after} for job, after in request.jobs]
            return Statement(LAST_SUCCESS, (json.dumps(jobs),))
    return Statement(LAST_FIRES, (json.dumps(request.jobs), repr(request.before), repr(request.since)))


def _ask(request: Ask, node: Node, again: bool) -> list[Statement]:
    batch = _sorted(request.claims)
    parts = [Statement(CLAIM, (batch, node.name, node.ledger, repr(request.skew)))]
    if again or any(claim.waits for claim in request.claims):
        parts.append(Statement(TOUCH, (batch,)))
    if any(claim.locks for claim in request.claims):
        parts += [Statement(LOCK, (batch,)), Statement(SETTLE, (batch,)), Statement(UNLOCK, (batch,))]
    return [*parts, Statement(READ, (batch,))]


def _take_over(request: TakeOver, node: Node) -> list[Statement]:
    fires = [{**claim._asdict(), "old": old} for claim, old in request.fires]
    batch = json.dumps(sorted(fires, key=lambda fire: (fire["wall"], fire["fold"], fire["job"])))
    dead = (request.ledger, request.token or None)
    over = Statement(TAKE_OVER, (batch, *node, *dead)), Statement(MOVE_LOCKS, (batch, node.ledger))
    return [Statement(HOLD_DEAD, dead), *over, Statement(READ, (batch,))]


def _close(batch: str, node: Node, again: bool) -> list[Statement]:
    following = (CLOSE_OWN, *((TOUCH,) if again else ()), UNLOCK, READ)
    return [Statement(CLOSE, (batch, *node)), *(Statement(sql, (batch,)) for sql in following)]


def _sorted(rows: Sequence[Any]) -> str:
    """Return claims or reports as JSON, in the order of their keys."""
    return json.dumps([row._asdict() for row in sorted(rows, key=lambda row: (row.wall, row.fold, row.job))])
