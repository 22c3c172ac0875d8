"""Agents behind PgBouncer, which gives each transaction another server connection."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from pycrond.cluster.protocol import Ask
from tests.conftest import wait_until
from tests.support import packages
from tests.support.agent import Agents, claim, report
from tests.support.postgres import Postgres, as_user, directory

pytestmark = pytest.mark.process

CONFIGURATION = """
[databases]
* = host={server}
[pgbouncer]
unix_socket_dir = {directory}
listen_port = 5432
pool_mode = transaction
default_pool_size = 1
auth_type = trust
auth_file = {directory}/users
"""


@pytest.fixture
def pooler(postgres: Postgres) -> Iterator[Path]:
    """Return the socket directory of a pooler with a single connection to the server."""
    packages.install("pgbouncer", lambda: shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin"))
    program = str(shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin"))
    with directory() as path:
        (path / "users").write_text('"postgres" ""\n')
        configuration = path / "pgbouncer.ini"
        configuration.write_text(CONFIGURATION.format(server=postgres.directory, directory=path))
        with (path / "log").open("wb") as log:
            process = subprocess.Popen(
                as_user(program, "-q", str(configuration)), stdout=log, stderr=log, cwd="/"
            )
        try:
            wait_until(lambda: (path / ".s.PGSQL.5432").exists() or process.poll() is not None)
            assert process.poll() is None, (path / "log").read_text()
            yield path
        finally:
            process.kill()
            process.wait()


def test_transactions_of_two_agents_share_a_connection(
    agents: Agents, database: str, postgres: Postgres, pooler: Path
) -> None:
    pooled = database.replace(str(postgres.directory), str(pooler))
    one, two = (agents.ready(name, conninfo=pooled) for name in ("one", "two"))
    mine = [claim(f"root/{number}", locks=(f"lock:{number}",)) for number in range(40)]
    theirs = [fire._replace(run=str(uuid4())) for fire in mine]
    numbers = []
    for first in range(0, 40, 10):
        numbers += [(one, one.send(Ask, 0.0, mine[first : first + 10]))]
        numbers += [(two, two.send(Ask, 0.0, theirs[30 - first : 40 - first]))]
        one.beat()
    broken = one.send(Ask, 0.0, [claim(run="no UUID")])
    rows = {
        agent: [row for that, number in numbers if that is agent for row in that.answer(number)]
        for agent in (one, two)
    }
    assert sorted(rows[one]) == sorted(rows[two])
    fires = [fire for fire in mine if fire.run in {row.run for row in rows[one]}]
    told = one.tell(*(report(fire, "succeeded") for fire in fires))
    assert [row.state for row in told] == ["succeeded"] * len(fires)
    assert two.ask(claim())[0].node == "two"
    assert not one.has_answer(broken)
    count = "SELECT count(*) FROM pg_stat_activity WHERE application_name IN ('pycrond one', 'pycrond two')"
    wait_until(lambda: postgres.execute(count) == [(1,)])
