"""Agents with connections that are cut and answers that are lost, at random: no two nodes have the same fire."""

import random
import time
from contextlib import ExitStack

import pytest

from pycrond.cluster import agent_state
from pycrond.cluster.protocol import Ask, Confirm, Tell
from tests.conftest import ME
from tests.support.agent import Agent, Agents, claim, report
from tests.support.postgres import Postgres, execute
from tests.support.swallowing_proxy import Proxy, proxy

pytestmark = pytest.mark.process

FIRES, BATCH = 240, 20


def disturb(proxies: list[Proxy], dice: random.Random) -> None:
    """Lose answers or questions, and cut connections."""
    for between in proxies:
        between.swallows_replies = between.holds_requests = False
        match dice.randrange(5):
            case 0:
                between.swallows_replies = True
            case 1:
                between.holds_requests = True
        if dice.random() < 0.7:
            between.cut()


@pytest.mark.parametrize("seed", [1, 2])
def test_each_fire_has_one_owner_who_knows_it(
    agents: Agents, postgres: Postgres, database: str, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(agent_state, "SHORTEST_DELAY", 0.01)
    monkeypatch.setattr(agent_state, "LONGEST_DELAY", 0.02)
    monkeypatch.setattr(agent_state, "CONNECT_TIMEOUT", 0.1)
    dice = random.Random(seed)
    with ExitStack() as stack:
        proxies = [stack.enter_context(proxy(postgres.directory)) for _ in range(3)]
        nodes = [
            agents.ready(f"n{number}", conninfo=each.conninfo(database))
            for number, each in enumerate(proxies)
        ]
        stack.callback(agents.end)
        started: dict[int, str] = {}
        for first in range(0, FIRES, BATCH):
            claims = {
                node: [claim(f"{ME}/job", wall) for wall in range(first, first + BATCH)] for node in nodes
            }
            numbers = {node: node.send(Ask, 0.0, claims[node]) for node in nodes}
            for _ in range(3):
                disturb(proxies, dice)
                time.sleep(0.01 * dice.random())  # part of the disturbance: any moment will do
            for between in proxies:
                between.swallows_replies = between.holds_requests = False
                between.cut()
            for node in nodes:
                _start_owned(node, numbers[node], started)
        wanted = [(wall, started[wall], "succeeded") for wall in range(FIRES)]
        assert execute(database, "SELECT wall, node, state FROM pycrond.claims ORDER BY wall") == wanted


def _start_owned(node: Agent, number: int, started: dict[int, str]) -> None:
    """Start the fires that an answer gives to a node, as a daemon does; each must be the first start."""
    owned = [row for row in node.answer(number) if row.node == node.name]
    for row in owned:
        assert started.setdefault(row.wall, node.name) == node.name
    fires = [claim(f"{ME}/job", row.wall, run=row.run) for row in owned]
    for kind, state in ((Confirm, "running"), (Tell, "succeeded")):
        rows = node.request(kind, [report(fire, state) for fire in fires])
        assert [row.state for row in rows] == [state] * len(owned)
