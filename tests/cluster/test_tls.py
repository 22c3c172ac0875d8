"""Connections over TCP with TLS, to a server whose name and certificate are verified."""

import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from pycrond.cluster import schema
from tests.conftest import Crond, wait_until
from tests.support import packages
from tests.support.agent import Agents, claim
from tests.support.postgres import SUPERUSER, Postgres, as_user, directory

pytestmark = pytest.mark.process

PASSWORD = "not-to-be-seen"


class TlsServer(Postgres):
    """A server that accepts only connections over TCP with TLS and a password."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, fsync=False)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.other = directory / "other"
        """A certificate for the same name that is not the server's."""

    def conninfo(self, database: str = "postgres", user: str = SUPERUSER) -> str:
        return f"{super().conninfo(database, user)} port={self.port}"

    def over_tcp(
        self, root: Path | None = None, *, host: str = "localhost", mode: str = "verify-full"
    ) -> str:
        """Return a URL as conninfo; `root` is the trusted certificate."""
        root = root or self.directory / "certificate"
        return (
            f"postgresql://postgres:{PASSWORD}@{host}:{self.port}/postgres?sslmode={mode}&sslrootcert={root}"
        )


def make_certificate(directory: Path, name: str) -> Path:
    """Make a certificate for localhost as the servers' user; return its path."""
    packages.install("openssl", lambda: shutil.which("openssl"))
    files = ["-keyout", str(directory / f"{name}.key"), "-out", str(directory / name)]
    options = ["-subj", "/CN=server", "-addext", "subjectAltName=DNS:localhost", "-days", "2"]
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    subprocess.run(as_user(*command, *options, *files), check=True, capture_output=True, cwd="/")
    return directory / name


@pytest.fixture(scope="module")
def server() -> Iterator[TlsServer]:
    with directory() as path:
        server = TlsServer(path)
        server.init()
        certificate, _ = (make_certificate(path, name) for name in ("certificate", "other"))
        hba = "local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n"
        (server.data / "pg_hba.conf").write_text(hba)
        try:
            server.start(
                listen_addresses="127.0.0.1",
                port=str(server.port),
                ssl="on",
                ssl_cert_file=str(certificate),
                ssl_key_file=f"{certificate}.key",
            )
            server.execute(f"ALTER ROLE postgres PASSWORD '{PASSWORD}'")
            yield server
        finally:
            server.stop()


@pytest.fixture
def migrated(server: TlsServer) -> TlsServer:
    with psycopg.connect(server.over_tcp(), autocommit=True) as connection:
        schema.migrate(connection, "safe", "UTC")
    return server


def test_an_agent_uses_tls(agents: Agents, migrated: TlsServer) -> None:
    one = agents.ready("one", conninfo=migrated.over_tcp())
    assert one.ask(claim())[0].node == "one"
    used = "SELECT s.ssl FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid) WHERE a.application_name = %s"
    assert migrated.execute(used, "pycrond one") == [(True,)]


@pytest.mark.parametrize("reason", ["certificate", "name", "plain"])
def test_an_agent_says_why_a_connection_is_not_safe(agents: Agents, server: TlsServer, reason: str) -> None:
    conninfo, said = {
        "certificate": (server.over_tcp(server.other), "certificate verify failed"),
        "name": (server.over_tcp(host="127.0.0.1"), "does not match host name"),
        "plain": (server.over_tcp(mode="disable"), "no encryption"),
    }[reason]
    detail = agents.start("one", conninfo=conninfo).status("down").detail
    assert said in detail
    assert PASSWORD not in detail


def test_commands_and_daemon_use_tls(crond: Crond, server: TlsServer) -> None:
    crond.environment |= {"PYCROND_CLUSTER": server.over_tcp(server.other), "PYCROND_NODE": "web1"}
    done = crond.run("cluster", "status", status=1)
    assert "certificate verify failed" in done.stderr
    assert PASSWORD not in done.stderr
    crond.environment["PYCROND_CLUSTER"] = server.over_tcp()
    crond.run("cluster", "migrate", "--name=safe", "--zone=UTC")
    crond.write("jobs", "#: name=daily on=one\n0 0 * * * true\n")
    crond.run("start")
    wait_until(lambda: (status := crond.status()) and status["cluster"]["alive"])
    for command in ("status", "list", "doctor"):
        done = crond.run(*command.split(), status=None)
        assert PASSWORD not in done.stdout + done.stderr
    assert "safe" in crond.run("cluster", "status", status=None).stdout
