"""A real PostgreSQL for tests, on a unix socket in a temporary directory, with a synchronous standby if needed."""

import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from pycrond.cluster import schema
from tests.conftest import alive, children, wait_until
from tests.support import packages

SETTINGS = {
    "listen_addresses": "",
    "shared_buffers": "16MB",
    "max_connections": "60",
    "wal_level": "replica",
    "hot_standby": "on",
    "wal_receiver_status_interval": "1s",
    "wal_retrieve_retry_interval": "100ms",
    "logging_collector": "off",
}
EMPTY = """
    DO $$ BEGIN
        TRUNCATE pycrond.nodes, pycrond.claims, pycrond.locks, pycrond.outputs;
        UPDATE pycrond.meta SET zone = 'Europe/Berlin', keep = interval '90 days';
    END $$
"""
SUPERUSER = "postgres"
_numbers = itertools.count()


def program(name: str) -> str:
    """Return the path of one of PostgreSQL's programs; install the package if need be."""
    packages.install("postgresql", _directory)
    return str(_directory() / name)


def _directory() -> Path:
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/postgres")]
    return max(found, default=Path())


def as_user(*command: str) -> list[str]:
    """Return a command that an unprivileged user executes, and that ends with its parent."""
    user = ["--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
    return ["setpriv", *user, "--pdeathsig=KILL", *command]


class _Process(subprocess.Popen[bytes]):
    """A process that survives a failed test, because other tests use it."""


class Postgres:
    """A server: the primary, or a standby of it."""

    def __init__(self, directory: Path, *, fsync: bool = True) -> None:
        """`directory` is owned by the user `postgres`, and its path is short."""
        self.directory = directory
        self.data = directory / "data"
        self._settings = {
            **SETTINGS,
            "fsync": "on" if fsync else "off",
            "unix_socket_directories": str(directory),
        }
        self._process: _Process | None = None

    def conninfo(self, database: str = "postgres", user: str = SUPERUSER) -> str:
        return f"host={self.directory} dbname={database} user={user}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def init(self) -> None:
        """Create the primary's files."""
        initdb = (program("initdb"), "--no-sync", "--auth=trust", "--no-locale", "--encoding=UTF8")
        self._run(*initdb, f"--username={SUPERUSER}", f"--pgdata={self.data}")

    def copy_from(self, primary: "Postgres", name: str = "standby") -> None:
        """Create the files of a standby."""
        source = f"host={primary.directory} user={SUPERUSER} application_name={name}"
        options = ("--checkpoint=fast", "--write-recovery-conf", "--no-sync", f"--pgdata={self.data}")
        self._run(program("pg_basebackup"), f"--dbname={source}", *options)

    def start(self, **settings: str) -> None:
        """Start the server, and wait until it answers."""
        options = [f"--{name}={value}" for name, value in {**self._settings, **settings}.items()]
        with (self.directory / "log").open("ab") as log:
            self._process = _Process(
                as_user(program("postgres"), "-D", str(self.data), *options),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
            )
        wait_until(self._answers)

    def stop(self, number: signal.Signals = signal.SIGQUIT) -> None:
        """End the server. SIGQUIT: like a crash; SIGINT: orderly; SIGKILL: the server without its children."""
        if self._process is None or self._process.poll() is not None:
            return
        backends = children(self._process.pid)
        self._process.send_signal(number)
        self.thaw()
        self._process.wait(60)
        wait_until(lambda: not any(map(alive, backends)))

    def freeze(self) -> None:
        """Stop the server and its children: it is silent, and its connections stay open."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal_all(signal.SIGCONT)

    def promote(self) -> None:
        """Make a standby the primary, and wait until it is."""
        self.execute("SELECT pg_promote()")
        wait_until(lambda: self.execute("SELECT pg_is_in_recovery()") == [(False,)])

    def set_synchronous(self, names: str) -> None:
        """Have commits wait for standbys with these names; '' for none."""
        self.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{names}'")
        self.execute("SELECT pg_reload_conf()")
        wait_until(lambda: self.execute("SHOW synchronous_standby_names") == [(names,)])
        state = "SELECT count(*) FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum')"
        wait_until(lambda: not names or self.execute(state) == [(1,)])

    def execute(
        self, statement: str, *parameters: object, database: str = "postgres"
    ) -> list[tuple[Any, ...]]:
        """Execute a statement in a connection of its own; return the rows, if it has any."""
        return execute(self.conninfo(database), statement, *parameters)

    def create_database(self, template: str = "template1") -> str:
        """Create a database; return its name."""
        name = f"test{next(_numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def _signal_all(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            for pid in (self._process.pid, *children(self._process.pid)):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.directory / "log").read_text()
        with contextlib.suppress(psycopg.OperationalError):
            psycopg.connect(self.conninfo(), connect_timeout=10).close()
            return True
        return False

    @staticmethod
    def _run(*command: str) -> None:
        done = subprocess.run(as_user(*command), capture_output=True, text=True, check=False, cwd="/")
        assert done.returncode == 0, done.stderr


def execute(conninfo: str, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
    """Execute a statement in a connection of its own; return the rows, if it has any."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        cursor = connection.execute(statement.encode(), parameters or None)
        return cursor.fetchall() if cursor.description else []


@contextlib.contextmanager
def directory() -> Iterator[Path]:
    """Yield a temporary directory of the user that runs servers."""
    program("postgres")
    path = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    try:
        if os.geteuid() == 0:
            shutil.chown(path, "postgres", "postgres")
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def primary(*, fsync: bool = True, **settings: str) -> Iterator[Postgres]:
    """Yield a running server."""
    with directory() as path:
        server = Postgres(path, fsync=fsync)
        server.init()
        try:
            server.start(**settings)
            yield server
        finally:
            server.stop()


@contextlib.contextmanager
def standby(
    server: Postgres, name: str = "standby", *, fsync: bool = True, **settings: str
) -> Iterator[Postgres]:
    """Yield a running standby, for which the primary's commits wait."""
    with directory() as path:
        copy = Postgres(path, fsync=fsync)
        copy.copy_from(server, name)
        try:
            copy.start(**settings)
            server.set_synchronous(name)
            yield copy
        finally:
            copy.stop()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A server for all tests of a session, without fsync. Its database `migrated` is a template."""
    with primary(fsync=False) as server:
        server.execute("CREATE DATABASE migrated")
        with psycopg.connect(server.conninfo("migrated"), autocommit=True) as connection:
            schema.migrate(connection, "test", "Europe/Berlin")
        yield server


@pytest.fixture
def empty_database(postgres: Postgres) -> str:
    """The conninfo of a new database."""
    return postgres.conninfo(postgres.create_database())


@pytest.fixture
def own_database(postgres: Postgres) -> str:
    """The conninfo of a new database with the cluster's tables."""
    return postgres.conninfo(postgres.create_database("migrated"))


@pytest.fixture(scope="session")
def shared_database(postgres: Postgres) -> str:
    return postgres.conninfo(postgres.create_database("migrated"))


@pytest.fixture
def database(shared_database: str) -> str:
    """The conninfo of a database with the cluster's tables, which are empty. It is quicker than a new one."""
    execute(shared_database, EMPTY)
    return shared_database
