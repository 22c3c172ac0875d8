"""A confirmed claim survives the primary; an unconfirmed claim is not an answer."""

from collections.abc import Iterator
from contextlib import ExitStack
from uuid import uuid4

import psycopg
import pytest

from pycrond.cluster import agent_state, schema
from pycrond.cluster.protocol import Ask
from pycrond.cluster.registration import read_timeline
from tests.conftest import wait_until
from tests.support.agent import Agent, Agents, claim
from tests.support.postgres import Postgres, primary, standby

pytestmark = pytest.mark.process


class Pair:
    """A primary and its standby, in two directories."""

    def __init__(self, first: Postgres, second: Postgres) -> None:
        self.first = first
        self.second = second

    @property
    def conninfo(self) -> str:
        return f"host={self.first.directory},{self.second.directory} user=postgres dbname=postgres"

    def waiting(self) -> list[int]:
        """Return the processes that wait for the standby."""
        rows = self.first.execute("SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
        return [pid for (pid,) in rows]


@pytest.fixture
def pair(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pair]:
    monkeypatch.setattr(agent_state, "LONGEST_DELAY", 0.1)
    monkeypatch.setattr(agent_state, "REPLY_TIMEOUT", 0.3)
    monkeypatch.setattr(agent_state, "CONNECT_TIMEOUT", 0.5)
    with ExitStack() as stack:
        first = stack.enter_context(primary(fsync=False))
        with psycopg.connect(first.conninfo(), autocommit=True) as connection:
            schema.migrate(connection)
        yield Pair(first, stack.enter_context(standby(first, fsync=False)))


@pytest.fixture
def agents(pair: Pair) -> Iterator[Agents]:
    started = Agents(pair.conninfo)
    yield started
    started.end()


def reasons(agent: Agent) -> str:
    return " ".join(str(message) for message in agent.received)


def test_the_standby_away(pair: Pair, agents: Agents) -> None:
    one = agents.ready("one")
    pair.first.execute("ALTER ROLE postgres SET client_min_messages = error")
    pair.first.execute("ALTER ROLE postgres SET synchronous_commit = off")
    other = agents.ready("other")  # its role would hide the warning, and would not wait
    pair.second.freeze()
    assert one.beat().nodes, "heartbeats do not wait"
    fires = [claim("root/a"), claim("root/b")]
    numbers = [one.send(Ask, 0.0, fires[:1]), other.send(Ask, 0.0, fires[1:])]
    wait_until(lambda: len(pair.waiting()) == 2)
    one.status("stalled")
    other.status("stalled")
    for function in ("pg_cancel_backend", "pg_cancel_backend", "pg_terminate_backend"):
        waiting = pair.waiting()
        assert len(waiting) == 2
        for pid in waiting:
            pair.first.execute(f"SELECT {function}({pid})")
        # The rows can be read now, and both agents ask again by a write, which waits.
        wait_until(lambda: pair.first.execute("SELECT count(*) FROM pycrond.claims") == [(2,)])
        wait_until(lambda: len(pair.waiting()) == 2)
    assert not any([one.has_answer(numbers[0]), other.has_answer(numbers[1])])
    assert "synchronous replication" in reasons(one)
    pair.second.thaw()
    assert [one.answer(numbers[0])[0].run, other.answer(numbers[1])[0].run] == [fire.run for fire in fires]


def test_a_failover_keeps_what_was_confirmed(pair: Pair, agents: Agents) -> None:
    one, two = agents.ready("one"), agents.ready("two")
    kept, gone = claim("root/kept"), claim("root/gone")
    assert one.ask(kept)[0].node == "one"
    pair.second.stop()
    number = one.send(Ask, 0.0, [gone])
    wait_until(pair.waiting)
    (pid,) = pair.waiting()
    pair.first.execute(f"SELECT pg_cancel_backend({pid})")
    wait_until(lambda: pair.first.execute("SELECT count(*) FROM pycrond.claims") == [(2,)])
    assert two.ask(gone._replace(run=str(uuid4())))[0].run == gone.run, "a row that can be read"
    pair.first.stop()
    pair.second.start()
    rows = pair.second.execute("SELECT job FROM pycrond.claims")
    assert rows == [("root/kept",)], "the row is not replicated"
    pair.second.promote()
    pair.second.set_synchronous("")
    assert two.ask(kept._replace(run=str(uuid4())))[0].run == kept.run
    assert one.answer(number)[0].run == gone.run
    registered = one.registered()
    assert registered.connection == 2
    assert registered.timeline.endswith("/2")
    assert two.ask(gone._replace(run=str(uuid4())))[0].run == gone.run
    one.beat()
    assert "fenced" not in one.states()
    pair.first.start(synchronous_standby_names="")  # an old primary that has come back
    pair.second.stop()
    wait_until(lambda: "is no longer the primary" in (one.states() and reasons(one)))
    number = one.send(Ask, 0.0, [claim("root/late")])
    assert not one.has_answer(number)
    three = agents.start("three", timeline=read_timeline(registered.timeline))
    wait_until(lambda: "is no longer the primary" in (three.states() and reasons(three)))
    pair.second.start()
    assert one.answer(number)
    assert three.registered().timeline == registered.timeline
