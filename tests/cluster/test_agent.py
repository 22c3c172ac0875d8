"""Agents with a real PostgreSQL: names, connections, memory, old rows and output."""

import os
import time
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from pycrond.cluster import agent_state, node_identity, node_statements, schema
from pycrond.cluster.packets import encode
from pycrond.cluster.protocol import Ask, Beat, Nodes, Ping, Tell
from pycrond.output import spool
from tests.conftest import wait_until
from tests.support.agent import Agents, claim, report
from tests.support.postgres import Postgres, execute, primary
from tests.support.swallowing_proxy import proxy

pytestmark = pytest.mark.process


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the agents' times."""
    monkeypatch.setattr(node_identity, "SILENCE", 0.3)
    monkeypatch.setattr(agent_state, "NAME_INTERVAL", 0.05)
    monkeypatch.setattr(agent_state, "REPLY_TIMEOUT", 0.2)
    monkeypatch.setattr(agent_state, "CONNECT_TIMEOUT", 0.3)
    monkeypatch.setattr(agent_state, "LONGEST_DELAY", 0.2)


def test_a_registration_describes_the_cluster(agents: Agents, postgres: Postgres) -> None:
    one = agents.start("one")
    registered = one.registered()
    assert registered[:3] == (1, "test", "Europe/Berlin")
    assert registered.timeline.endswith("/1")
    assert one.states() == ["connecting", "registering", "idle"]


def test_heartbeats(agents: Agents, database: str) -> None:
    one, two = agents.ready("one", labels=("web", "db")), agents.ready("two")
    execute(database, "UPDATE pycrond.nodes SET draining = true WHERE name = 'two'")
    first, second = one.beat("digest"), one.beat("digest")
    assert abs(first.offset_ms) < 1000
    assert [node.is_draining for node in first.nodes] == [False, True]
    assert [first.nodes[0].token != second.nodes[0].token, first.nodes[1] == second.nodes[1]] == [True, True]
    mine = second.nodes[0]
    assert mine == ("one", one.ledger, mine.token, False, ("web", "db"), "1.0", mine.offset_ms, "digest")
    assert two.beat().connection == 1


def test_a_start_with_the_same_ledger_takes_its_name_at_once(agents: Agents, quick: None) -> None:
    before = agents.ready("one")
    before.beat()
    after = agents.ready("one", before.ledger)
    after.beat()
    number = before.send(Beat, "")
    assert before.status("fenced").detail == "host has a copy of this node's history and is node one"
    assert agents.ready("renamed", after.ledger).beat().nodes[0].name == "renamed"
    after.send(Beat, "")
    after.status("fenced")
    assert not before.has_answer(number)


def test_a_fenced_twin_claims_nothing_until_the_name_is_silent(
    agents: Agents, quick: None, monkeypatch: pytest.MonkeyPatch, database: str
) -> None:
    monkeypatch.setattr(node_identity, "SILENCE", 60.0)
    before = agents.ready("one")
    after = agents.ready("one", before.ledger)
    beat = before.send(Beat, "")
    before.status("fenced")
    fire = claim()
    number = before.send(Ask, 0.0, [fire])
    tokens = {after.beat().nodes[0].token for _ in range(3)}
    assert len(tokens) == 3
    assert execute(database, "SELECT count(*) FROM pycrond.claims") == [(0,)]
    monkeypatch.setattr(node_identity, "SILENCE", 0.1)
    assert before.registered().connection == 2
    assert before.answer(number)[0].run == fire.run
    before.wait_for(lambda message: isinstance(message, Nodes) and message.number == beat)


def test_another_ledger_gets_the_name_when_it_is_silent(agents: Agents, quick: None, database: str) -> None:
    old = agents.ready("one")
    left = claim(rerun=True, locks=("lock:x",))
    old.ask(left)
    new = agents.start("one")
    assert new.status("fenced").detail == "another node one is alive, on host"
    start = time.monotonic()
    while time.monotonic() < start + 0.6:
        old.beat()
    assert "idle" not in new.states()
    assert new.registered().connection == 1
    columns = "SELECT state, ended IS NULL FROM pycrond.claims"
    assert execute(database, columns) == [("lost", False)], "no node would close it"
    assert execute(database, "SELECT count(*) FROM pycrond.locks") == [(0,)]
    old.send(Beat, "")
    old.status("fenced")


def test_a_lost_row_is_written_again(agents: Agents, database: str) -> None:
    """The database was restored from a backup that does not have the node."""
    one = agents.ready("one")
    execute(database, "DELETE FROM pycrond.nodes")
    assert one.beat().connection == 2


def test_a_lost_heartbeat_fences_nobody(agents: Agents, database: str) -> None:
    """After a crash, the server has an earlier token: heartbeats are not flushed."""
    one = agents.ready("one")
    token = one.beat().nodes[0].token
    one.beat()
    execute(database, "UPDATE pycrond.nodes SET token = %s", token)
    one.beat()
    assert "fenced" not in one.states()


def test_a_silent_server_keeps_its_connection(quick: None) -> None:
    with primary(fsync=False) as server:
        with psycopg.connect(server.conninfo(), autocommit=True) as connection:
            schema.migrate(connection)
        agents = Agents(server.conninfo())
        try:
            one = agents.ready("one")
            server.freeze()
            fire = claim()
            number = one.send(Ask, 0.0, [fire])
            assert one.status("stalled").detail == "no reply for 0 s"
            server.thaw()
            assert one.answer(number)[0].run == fire.run
            assert one.beat().connection == 1
            server.stop()
            one.status("down")
            number = one.send(Ask, 0.0, [fire])
            server.start()
            assert one.registered().connection == 2
            assert one.answer(number)[0].run == fire.run
        finally:
            agents.end()


def test_refusals_in_words(
    agents: Agents, quick: None, postgres: Postgres, empty_database: str, own_database: str
) -> None:
    one = agents.start("one", conninfo=empty_database)
    assert one.status("down").detail.endswith("has no tables of pycrond: run `pycrond cluster migrate`")
    with psycopg.connect(empty_database, autocommit=True) as connection:
        schema.migrate(connection)
    assert one.registered()
    name = execute(own_database, "SELECT current_database()")[0][0]
    execute(own_database, f"CREATE ROLE {name}_poor LOGIN")
    poor = agents.start("two", conninfo=postgres.conninfo(name, f"{name}_poor"))
    assert (
        poor.status("down").detail
        == f"role {name}_poor lacks USAGE on schema pycrond of database {name}: GRANT it"
    )
    execute(own_database, f"DROP ROLE {name}_poor")


def test_a_server_behind_a_pooler_changes(agents: Agents, quick: None) -> None:
    one = agents.ready("one")
    one.loop._timeline = one.loop._timeline._replace(number=0)
    assert one.beat().connection == 1
    assert one.registered().connection == 2, "there was a failover: tell again what was told"
    one.loop._timeline = one.loop._timeline._replace(number=7)
    number = one.send(Ask, 0.0, [claim()])
    assert "no longer the primary: its timeline is 1, after 7" in one.status("down").detail
    assert not one.has_answer(number)


def test_a_request_that_fails_delays_no_other(agents: Agents, database: str) -> None:
    one = agents.ready("one")
    broken = one.send(Ask, 0.0, [claim(run="no UUID")])
    assert len(one.ask(claim())) == 1
    assert "invalid input syntax for type uuid" in one.wait_for(lambda message: "uuid" in str(message)).detail  # type: ignore[union-attr]
    assert not one.has_answer(broken)


def test_old_rows_are_deleted(agents: Agents, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_state, "RETIRE_INTERVAL", 0.01)
    monkeypatch.setattr(agent_state, "RETIRE_AGAIN", 0.01)
    monkeypatch.setattr(node_statements, "DELETED_AT_ONCE", 2)
    one = agents.ready("one")
    now = time.time()
    old = [claim(f"root/{name}", fire=now - 92 * 86400) for name in "abcdefg"]
    new = claim(fire=now - 88 * 86400)
    one.tell(report(old[0], "running"))
    execute(database, "INSERT INTO pycrond.outputs VALUES (%s, 0, 'x'), (%s, 0, 'y')", old[1].run, new.run)
    one.tell(report(new, "succeeded"), *(report(fire, "succeeded") for fire in old[1:]))
    jobs = "SELECT job FROM pycrond.claims ORDER BY job"
    wait_until(lambda: execute(database, jobs) == [("root/a",), ("root/backup",)])
    assert execute(database, "SELECT data FROM pycrond.outputs") == [(b"y",)]


def test_output_is_copied_before_the_answer(agents: Agents, database: str, tmp_path: Path) -> None:
    one = agents.ready("one", spool=str(tmp_path))
    data = os.urandom(150_000)
    segment = Path(spool.path(str(tmp_path), 7, 0))
    segment.parent.mkdir()
    segment.write_bytes(b"earlier" + data)
    ended, silent = claim(), claim("root/silent")
    one.ask(ended, silent)
    reports = [
        report(ended, "failed", status=1, number=7, copied_output=len(data)),
        report(silent, "succeeded", status=0, number=8, copied_output=len(data)),
    ]
    assert [row.state for row in one.tell(*reports)] == ["failed", "succeeded"]
    rows = execute(database, "SELECT run::text, data FROM pycrond.outputs ORDER BY piece")
    assert [run for run, _ in rows] == [ended.run] * 3
    assert b"".join(piece for _, piece in rows) == data


def test_a_daemon_that_reads_nothing_loses_nothing(agents: Agents) -> None:
    one = agents.ready("one")
    fires = [claim(f"root/{'x' * 500}{number}") for number in range(100)]
    numbers = [one.send(Ask, 0.0, fires) for _ in range(10)]
    assert [len(one.answer(number)) for number in numbers] == [100] * 10


def test_the_program(agents: Agents, database: str) -> None:
    secret = f"{database} password=secret"
    one = agents.program("one", conninfo=secret, labels="a,b")
    one.registered()
    one._socket.send(encode(Ping()))
    one.status("idle")
    assert one.beat().nodes[0].labels == ("a", "b")
    process = Path(f"/proc/{one.process.pid}")
    assert b"secret" not in (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
    assert one.memory < 45_000
    wait_until(lambda: one.field("State") == "S")
    switches = one.field("voluntary_ctxt_switches")
    time.sleep(0.2)  # it sleeps: there is no fact to wait for
    assert one.field("voluntary_ctxt_switches") == switches
    one.freeze()
    fire = claim()
    number = one.send(Ask, 0.0, [fire])
    assert not one.has_answer(number)
    one.thaw()
    assert one.answer(number)[0].run == fire.run
    one.hang_up()
    assert one.process.wait(10) == 0


def test_a_host_that_does_not_accept_is_passed_over(
    agents: Agents, quick: None, postgres: Postgres, database: str
) -> None:
    with proxy(postgres.directory) as silent:
        silent.holds_requests = True
        parameters = dict(part.split("=") for part in database.split())
        hosts = f"/nonexistent,{silent.directory},{parameters['host']}"
        one = agents.start("one", conninfo=f"host={hosts} dbname={parameters['dbname']} user=postgres")
        assert one.registered().connection == 1
        assert silent.connections == 1
        execute(
            database,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pycrond one'",
        )
        assert one.registered().connection == 2
        assert silent.connections == 1, "the host that answered is the first"


def test_tell_twice_and_ask_by_another_agent(agents: Agents) -> None:
    """A daemon and its agent are restarted between a question and its answer."""
    before = agents.ready("one")
    fire = claim()
    before.ask(fire)
    before.end()
    after = agents.ready("one", before.ledger)
    assert [row.run for row in after.open()] == [fire.run]
    assert [row.run for row in after.ask(fire)] == [fire.run]
    numbers = [after.send(Tell, [report(fire, state)]) for state in ("running", "succeeded")]
    assert [after.answer(number)[0].state for number in numbers] == ["running", "succeeded"]
    assert after.ask(fire._replace(run=str(uuid4())))[0].state == "succeeded"


def test_a_setting_that_is_no_connection_string(agents: Agents) -> None:
    broken = agents.program("one", conninfo="secret of:the password")
    detail = 'the setting `cluster` is not a connection string of PostgreSQL: missing "=" after "*****"'
    assert broken.status("down").detail.startswith(detail)
    broken._socket.send(encode(Ping()))
    broken.status("down")
    broken.hang_up()
    assert broken.process.wait(10) == 0
