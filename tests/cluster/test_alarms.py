"""Alarms of shared jobs, with real daemons: a success on any node counts, and one node reports that there was
none.
"""

from pathlib import Path

from pycrond.cli.data.job_status import NO_STANDING
from pycrond.ledger.reader import Reader
from pycrond.ledger.rows import StandingRow
from tests.cluster.conftest import MakeNode, start, wait_for
from tests.cluster.test_daemons import are_decided, outcomes
from tests.conftest import ME, Crond

HOOK = "echo $PYCROND_EVENT >>$PYCROND_STATE_DIR/hooks"
CRONTAB = """\
#: name=good on=one expect=1m
* * * * * true
#: name=bad on=one expect=1m on-failure='{hook}' on-recovery='{hook}'
* * * * * test -e {directory}/good
#: name=silent on=one
* * * * * test -e {directory}/good
"""


def hooks(node: Crond) -> list[str]:
    """Return the events for which a node has run a job's hooks."""
    file = node.state / "hooks"
    return file.read_text().split() if file.exists() else []


def last_success(node: Crond, name: str) -> float:
    """Return the end of the latest success of a job that a node knows of."""
    reader = Reader(str(node.state))
    try:
        return next(row.succeeded_at or 0.0 for row in reader.expected() if row.name == name)
    finally:
        reader.close()


def standing(node: Crond, name: str) -> StandingRow:
    reader = Reader(str(node.state))
    try:
        return reader.standings().get(f"{ME}/{name}", NO_STANDING)
    finally:
        reader.close()


def drain(drained: Crond, other: Crond) -> None:
    """Drain a node, so that all shared jobs run on the other."""
    for node, action in ((drained, "drain"), (other, "undrain")):
        node.run("cluster", action)

    def are_told() -> bool:
        states = [(node.status() or {})["cluster"]["draining"] for node in (drained, other)]
        return states == [True, False]

    wait_for(are_told, drained, other)


def test_a_success_on_another_node_counts_and_one_node_reports_that_there_is_none(
    make_node: MakeNode, tmp_path: Path
) -> None:
    crontab = CRONTAB.format(hook=HOOK, directory=tmp_path)
    nodes = a, b = make_node("a", crontab), make_node("b", crontab)
    start(*nodes, at="2031-03-01 11:59:50")
    drain(b, a)
    wait_for(lambda: all(are_decided([a], name) for name in ("good", "bad", "silent")) and hooks(a), *nodes)
    before = last_success(a, "good")
    drain(a, b)
    (tmp_path / "good").touch()
    for node in nodes:
        node.at("2031-03-01 12:00:48")
    wait_for(lambda: ("succeeded", "") in outcomes(b, "bad"), *nodes)
    for node in nodes:
        node.at("2031-03-01 12:02:20")
    wait_for(lambda: hooks(a) == ["failure", "recovery"] and last_success(a, "good") > before, *nodes)
    wait_for(lambda: standing(a, "silent").elsewhere_at is not None, *nodes)
    listed = {job["name"]: job for job in a.json("list")["jobs"]}
    assert listed["silent"]["last"]["state"] == "failed"
    assert listed["silent"]["failing"] is None
    assert "succeeded on another node" in a.run("list").stdout
    assert "silent" not in a.run("list", "--failed", status=None).stdout
    assert hooks(b) == []
    (tmp_path / "good").unlink()
    for node in nodes:
        node.at("2031-03-01 12:05:20")
    wait_for(lambda: "overdue" in hooks(a) + hooks(b), *nodes)
    assert (hooks(a) + hooks(b)).count("overdue") == 1
