"""Agents with a real PostgreSQL."""

import pytest

from tests.support.agent import Agents, claim, report

pytestmark = pytest.mark.process


def test_a_claim_has_one_owner_and_both_learn_it(agents: Agents) -> None:
    first, second = agents.ready("one"), agents.ready("two")
    fire = claim()
    assert [row[3:8] for row in first.ask(fire)] == [(fire.run, "one", "claimed", "", False)]
    late = claim(wall=fire.wall)
    assert [row.run for row in second.ask(late)] == [fire.run]
    assert [row.run for row in first.ask(fire)] == [fire.run]
    assert [row.state for row in first.confirm(report(fire, "running", started=fire.fire))] == ["running"]
    ended = report(fire, "succeeded", started=fire.fire, ended=fire.fire + 1, status=0, number=7)
    assert [row.state for row in first.tell(ended)] == ["succeeded"]
    nodes = second.beat("abc").nodes
    assert [node.name for node in nodes] == ["one", "two"]
    print(first.memory)
