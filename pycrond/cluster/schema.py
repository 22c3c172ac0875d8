"""The tables of a cluster in PostgreSQL, as a list of migrations; their creation, and a check before use.

Migrations only add. `pycrond.meta.version` is the number of migrations in the database; `pycrond.meta.oldest`
is the oldest version of pycrond's schema with which a node may still use it, so that nodes are upgraded one
by one.
"""

from datetime import timedelta
from typing import Any, LiteralString, NamedTuple

import psycopg
from psycopg import errors

from pycrond.errors import PycrondError

CREATE = """
    CREATE SCHEMA pycrond;
    CREATE TABLE pycrond.meta (
        one     bool PRIMARY KEY DEFAULT true CHECK (one),
        cluster text NOT NULL,      -- its name, from which `H` and jitter of shared jobs are drawn
        zone    text NOT NULL,      -- the time zone of shared jobs that name none
        version int NOT NULL,
        oldest  int NOT NULL,
        keep    interval NOT NULL   -- age at which rows of `claims` are deleted
    );
    INSERT INTO pycrond.meta (cluster, zone, version, oldest, keep)
        VALUES (current_database(), 'UTC', 0, 0, interval '90 days');
"""
MIGRATIONS: tuple[LiteralString, ...] = (
    """
    CREATE TABLE pycrond.nodes (
        name      text PRIMARY KEY,
        ledger    uuid NOT NULL UNIQUE,   -- its history database
        machine   text NOT NULL,          -- for people: the host that has the name
        instance  uuid NOT NULL,          -- drawn at each start of its agent
        beat      bigint NOT NULL,        -- counts its heartbeats
        token     uuid NOT NULL,          -- drawn for each heartbeat
        seen      timestamptz NOT NULL,   -- for people only: no decision compares it with a clock
        draining  bool NOT NULL DEFAULT false,
        labels    text[] NOT NULL DEFAULT '{}',
        version   text NOT NULL,          -- of pycrond
        offset_ms bigint,                 -- by how much its clock is ahead of the database's
        digest    text NOT NULL DEFAULT '',
        CHECK (length(name) <= 100 AND length(machine) <= 300 AND length(version) <= 50),
        CHECK (length(digest) <= 100 AND length(array_to_string(labels, ',')) <= 5000)
    );
    CREATE TABLE pycrond.claims (
        job      text,
        wall     int,                     -- the wall-clock minute of the fire
        fold     smallint,                -- 1: the second time that the clock shows it
        fire     timestamptz NOT NULL,
        run      uuid NOT NULL,
        node     text NOT NULL,
        ledger   uuid NOT NULL,
        number   bigint NOT NULL DEFAULT 0, -- the run's number on its node
        rerun    bool NOT NULL DEFAULT false,
        state    text NOT NULL,
        reason   text NOT NULL DEFAULT '',
        asked    int NOT NULL DEFAULT 0,  -- how often the claim was repeated
        claimed  timestamptz NOT NULL DEFAULT now(),
        started  timestamptz,
        ended    timestamptz,             -- null: `claimed`, `waiting` or `running`
        status   int,
        PRIMARY KEY (wall, fold, job),
        CHECK (length(job) <= 600 AND length(node) <= 100 AND length(state) <= 20 AND length(reason) <= 500),
        CHECK (isfinite(fire) AND isfinite(started) AND isfinite(ended))
    ) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
    CREATE INDEX claims_open ON pycrond.claims (ledger) WHERE ended IS NULL;
    CREATE INDEX claims_waiting ON pycrond.claims (job) WHERE state = 'waiting';
    CREATE INDEX claims_of_job ON pycrond.claims (job, wall);
    CREATE TABLE pycrond.locks (
        name   text PRIMARY KEY,
        run    uuid NOT NULL,
        ledger uuid NOT NULL,
        since  timestamptz NOT NULL DEFAULT now()
    );
    CREATE INDEX locks_of_run ON pycrond.locks (run);
    CREATE TABLE pycrond.outputs (        -- the last bytes of runs' output
        run   uuid,
        piece int,
        data  bytea NOT NULL,
        PRIMARY KEY (run, piece)
    );
    """,
)
VERSION = len(MIGRATIONS)
OLDEST = 1
"""The oldest version with which a node may still use the tables of VERSION."""

MIGRATE_COMMAND = "pycrond cluster migrate"
LOCK_TIMEOUT: LiteralString = "SET LOCAL lock_timeout = '5s'"
DURABLE: LiteralString = "SET LOCAL synchronous_commit = on"
READ_META: LiteralString = "SELECT version, oldest, cluster, zone FROM pycrond.meta FOR UPDATE"
WRITE_META: LiteralString = """
    UPDATE pycrond.meta SET version = greatest(version, %s), oldest = greatest(oldest, %s),
        cluster = coalesce(%s, cluster), zone = coalesce(%s, zone), keep = coalesce(%s, keep)
"""
CHECK: LiteralString = """
    SELECT jsonb_build_array(current_user, current_database(), n.oid IS NOT NULL,
        coalesce(has_schema_privilege(n.oid, 'USAGE'), false),
        ARRAY(SELECT needed.privilege || ' on pycrond.' || c.relname
            FROM pg_class c, (VALUES
                ('SELECT', NULL), ('INSERT', 'meta'), ('UPDATE', 'meta'), ('DELETE', 'meta')
            ) AS needed (privilege, not_on)
            WHERE c.relnamespace = n.oid AND c.relkind = 'r' AND needed.not_on IS DISTINCT FROM c.relname
                AND NOT has_table_privilege(c.oid, needed.privilege)
            ORDER BY c.relname, needed.privilege))
    FROM (VALUES ('pycrond')) AS wanted (name) LEFT JOIN pg_namespace n ON n.nspname = wanted.name
"""
"""Returns one JSON array, for `check_rights`; the query needs no rights."""
META: LiteralString = """
    SELECT jsonb_build_array(version, oldest, cluster, zone) FROM pycrond.meta
"""


class Migration(NamedTuple):
    """The versions of the tables before and after a migration, and the cluster's name and zone before it."""

    before: int
    after: int
    name: str
    zone: str


def migrate(
    connection: psycopg.Connection[Any],
    cluster: str | None = None,
    zone: str | None = None,
    keep: timedelta | None = None,
    new_zone: str | None = None,
) -> Migration:
    """Create the tables, or migrate them; set the values that are not None. `new_zone` is the zone of a
    cluster that is created.

    Two migrations at once are harmless. Raises PycrondError; then nothing is changed.
    """
    try:
        try:
            return _migrate(connection, cluster, zone, keep, new_zone)
        except (errors.UniqueViolation, errors.DuplicateSchema, errors.DuplicateTable):
            # Another program has just created the tables.
            return _migrate(connection, cluster, zone, keep, new_zone)
    except errors.LockNotAvailable as error:
        raise PycrondError("the cluster's tables are in use for longer than 5 s: try again") from error
    except errors.InsufficientPrivilege as error:
        text = (error.diag.message_primary or str(error)).strip()
        raise PycrondError(f"cannot migrate the cluster's tables: {text}") from error


def _migrate(
    connection: psycopg.Connection[Any],
    cluster: str | None,
    zone: str | None,
    keep: timedelta | None,
    new_zone: str | None,
) -> Migration:
    with connection.transaction():
        connection.execute(LOCK_TIMEOUT)
        connection.execute(DURABLE)
        if connection.execute("SELECT to_regnamespace('pycrond') IS NULL").fetchone() == (True,):
            connection.execute(CREATE)
        version, oldest, *names = connection.execute(READ_META).fetchall()[
            0
        ]  # FOR UPDATE: one migration at a time
        if oldest > VERSION:
            raise PycrondError(_too_new(version, oldest))
        for migration in MIGRATIONS[version:]:
            connection.execute(migration)
        zone = zone or (None if version else new_zone)
        connection.execute(WRITE_META, (VERSION, OLDEST, cluster, zone, keep))
    return Migration(version, max(version, VERSION), *names)


def check_rights(role: str, database: str, exists: bool, usage: bool, missing: list[str]) -> None:
    """Refuse a database without the tables, or a role without rights; the arguments are CHECK's values."""
    if not exists:
        raise PycrondError(f"database {database} has no tables of pycrond: run `{MIGRATE_COMMAND}`")
    if not usage:
        raise PycrondError(f"role {role} lacks USAGE on schema pycrond of database {database}: GRANT it")
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise PycrondError(
            f"role {role} lacks {', '.join(missing[:3])}{more} in database {database}: GRANT them"
        )


def check_version(version: int, oldest: int) -> None:
    """Refuse tables of an unusable version."""
    if oldest > VERSION:
        raise PycrondError(_too_new(version, oldest))
    if version < VERSION:
        raise PycrondError(
            f"the cluster's tables have version {version}, this pycrond needs {VERSION}: "
            f"run `{MIGRATE_COMMAND}`"
        )


def _too_new(version: int, oldest: int) -> str:
    return (
        f"the cluster's tables have version {version}, for a pycrond that knows version {oldest}; "
        f"this one knows {VERSION}: upgrade pycrond"
    )
