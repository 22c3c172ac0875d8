"""The tables: created once, also by two programs at once; refused with an explanation."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import psycopg
import pytest

from pycrond.cluster import schema
from pycrond.errors import PycrondError
from tests.conftest import Crond, wait_until
from tests.support.postgres import Postgres, execute

pytestmark = pytest.mark.process


def migrate(conninfo: str, zone: str | None = None, keep: timedelta | None = None) -> tuple[int, int]:
    with psycopg.connect(conninfo, autocommit=True) as connection:
        return schema.migrate(connection, None, zone, keep)[:2]


def check(conninfo: str) -> None:
    schema.check_rights(*execute(conninfo, schema.CHECK)[0][0])
    schema.check_version(*execute(conninfo, schema.META)[0][0][:2])


def test_the_tables_are_created_once_and_values_are_set_again(empty_database: str) -> None:
    assert migrate(empty_database, "Asia/Tokyo") == (0, schema.VERSION)
    assert migrate(empty_database, None, timedelta(days=3)) == (schema.VERSION, schema.VERSION)
    name = execute(empty_database, "SELECT current_database()")[0][0]
    meta = (schema.VERSION, schema.OLDEST, name, "Asia/Tokyo", timedelta(days=3))
    assert execute(empty_database, "SELECT version, oldest, cluster, zone, keep FROM pycrond.meta") == [meta]
    check(empty_database)


def test_two_migrations_at_once(empty_database: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        results = [*pool.map(migrate, [empty_database] * 4)]
    assert sorted(results) == [(0, schema.VERSION), *[(schema.VERSION, schema.VERSION)] * 3]


def test_a_database_without_tables_is_refused(empty_database: str) -> None:
    with pytest.raises(PycrondError, match=r"has no tables of pycrond: run `pycrond cluster migrate`"):
        check(empty_database)


def test_other_versions(own_database: str) -> None:
    execute(own_database, "UPDATE pycrond.meta SET version = %s", schema.VERSION + 1)
    check(own_database)  # a newer version that this one may use
    execute(own_database, "UPDATE pycrond.meta SET oldest = %s", schema.VERSION + 1)
    with pytest.raises(PycrondError, match="upgrade pycrond"):
        check(own_database)
    with pytest.raises(PycrondError, match="upgrade pycrond"):
        migrate(own_database)
    execute(own_database, "UPDATE pycrond.meta SET version = 0, oldest = 0")
    with pytest.raises(
        PycrondError, match="have version 0, this pycrond needs 1: run `pycrond cluster migrate`"
    ):
        check(own_database)


def test_a_role_without_rights(postgres: Postgres, own_database: str) -> None:
    name = execute(own_database, "SELECT current_database()")[0][0]
    role = f"role_of_{name}"
    execute(own_database, f"CREATE ROLE {role} LOGIN")
    poor = postgres.conninfo(name, role)
    with pytest.raises(PycrondError, match=f"role {role} lacks USAGE on schema pycrond of database {name}"):
        check(poor)
    execute(own_database, f"GRANT USAGE ON SCHEMA pycrond TO {role}")
    execute(own_database, f"GRANT SELECT ON ALL TABLES IN SCHEMA pycrond TO {role}")
    with pytest.raises(PycrondError, match=r"lacks DELETE on pycrond\.claims, .* and 9 more in database"):
        check(poor)
    execute(own_database, f"GRANT ALL ON ALL TABLES IN SCHEMA pycrond TO {role}")
    check(poor)
    execute(own_database, f"DROP OWNED BY {role}")
    execute(own_database, f"DROP ROLE {role}")


def test_a_migration_without_rights_says_so(postgres: Postgres, empty_database: str) -> None:
    name = execute(empty_database, "SELECT current_database()")[0][0]
    execute(empty_database, f"CREATE ROLE {name}_poor LOGIN")
    with pytest.raises(PycrondError, match=f"cannot migrate .*permission denied for database {name}"):
        migrate(postgres.conninfo(name, f"{name}_poor"))
    execute(empty_database, f"DROP ROLE {name}_poor")


def test_tables_in_use_are_not_waited_for_long(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "LOCK_TIMEOUT", "SET LOCAL lock_timeout = '50ms'")
    with psycopg.connect(database) as connection:
        connection.execute("LOCK TABLE pycrond.meta")
        with pytest.raises(PycrondError, match="in use"):
            migrate(database)


@pytest.mark.daemon
def test_migrate_takes_a_setting_that_the_daemon_does_not_have_yet(crond: Crond, empty_database: str) -> None:
    crond.run("start")
    file = crond.directory / "pycrond.toml"
    file.write_text(f'cluster = "{empty_database}"\n')
    file.chmod(0o600)
    done = crond.run("cluster", "migrate", f"--config={file}", "--name=prod", "--zone=UTC")
    assert done.stdout.startswith("cluster prod, zone UTC")
    done = crond.run("cluster", "status", f"--config={file}", status=1)
    assert "after 'pycrond restart'" in done.stderr
    crond.run("restart", f"--config={file}")
    wait_until(lambda: (status := crond.status()) and (status["cluster"] or {}).get("alive") == 1)
