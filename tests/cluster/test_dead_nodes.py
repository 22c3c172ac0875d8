"""The requests of the living nodes after a node has died, without a database."""

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from pycrond.cluster.dead_nodes import MAX_TAKERS, DeadNodes
from pycrond.cluster.fire import EarlierRun
from pycrond.cluster.membership import ABANDONED_AFTER, LOST_AFTER, Membership
from pycrond.cluster.protocol import Abandoned, Bury, NodeRow, Nodes, Request
from pycrond.jobs.run import Fire
from pycrond.ledger.cluster import ClusterTable
from pycrond.ledger.writer import Ledger
from tests.conftest import jobs_of

NOW = datetime(2025, 6, 10, 12, tzinfo=UTC)
INTERVAL = 5  # seconds between heartbeats


def requests_of(node: str, names: list[str], *, until: int) -> dict[int, list[Request]]:
    """Return the requests of a node, by the seconds for which the first node has been silent."""
    membership = Membership(node, f"ledger-{node}")
    sent: list[Request] = []
    link = SimpleNamespace(number=lambda: 1, send=sent.append)
    dead_nodes = DeadNodes(membership, link, None, SimpleNamespace(write=lambda *_, **__: None))  # type: ignore[arg-type]
    asked: dict[int, list[Request]] = {}
    for second in range(0, until, INTERVAL):
        tokens = {name: "dead" if name == names[0] else f"{name}-{second}" for name in names}
        rows = tuple(NodeRow(name, f"ledger-{name}", tokens[name], False, (), "1", 0, "") for name in names)
        membership.observe(Nodes(1, 1, 0, rows), float(second))
        dead_nodes.step(NOW)
        asked[second] = [*sent]
        sent.clear()
    return asked


@pytest.mark.parametrize("count", [2, 60])
def test_each_node_asks_for_what_a_dead_one_has_left_before_it_is_closed(count: int) -> None:
    names = [f"web{number:02}" for number in range(count)]
    asked = {name: requests_of(name, names, until=200) for name in names[1:]}
    for requests in asked.values():
        assert Abandoned(1, "ledger-web00", with_locks=False) in requests[int(ABANDONED_AFTER)]
        assert Abandoned(1, "ledger-web00", with_locks=True) in requests[int(LOST_AFTER)]
    burials = sorted(
        (second, request.all_of_them)
        for requests in asked.values()
        for second, sent in requests.items()
        for request in sent
        if isinstance(request, Bury)
    )
    assert burials[0] == (int(LOST_AFTER), False)
    assert min(second for second, is_of_all in burials if is_of_all) >= 2 * LOST_AFTER
    assert len([second for second, _ in burials if second == LOST_AFTER]) <= MAX_TAKERS, "they take turns"


def test_a_fire_of_this_node_runs_again_unless_a_retry_waits_or_it_has_done_so(tmp_path: Path) -> None:
    ledger = Ledger(str(tmp_path / "ledger"))
    table = ClusterTable(ledger.file)
    (job,) = jobs_of("#: name=job on=one node-loss=rerun retries=1\n* * * * * true\n")
    membership = Membership("web1", table.node_id())
    dead_nodes = DeadNodes(membership, None, table, None)  # type: ignore[arg-type]
    fire = Fire(job, NOW, int(NOW.timestamp()) // 60)
    name = (job.key, fire.wall, 0)
    (run,) = table.begin([(fire, job.key)])
    ledger.claim([fire])
    ((again, taken),) = dead_nodes.own_fires([fire], {job.key: job}, NOW)
    assert (again.attempt, again.trigger, taken) == (2, "take-over", EarlierRun(run, membership.ledger))
    assert dead_nodes.own_fires([fire._replace(wall=None)], {job.key: job}, NOW) == []
    assert dead_nodes.own_fires([fire], {}, NOW) == []

    ledger.claim([fire._replace(attempt=2, trigger="retry")])
    assert dead_nodes.own_fires([fire], {job.key: job}, NOW) == []
    last = fire._replace(attempt=2)
    ((again, _),) = dead_nodes.own_fires([last], {job.key: job}, NOW)
    table.begin([(again, job.key)], earlier_runs={name: run})
    ledger.claim([again])
    assert dead_nodes.own_fires([again], {job.key: job}, NOW) == []
    ledger.close()
