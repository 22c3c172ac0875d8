"""Commands about shared jobs, and reloads and restarts just before the minute, with real daemons."""

import os
import signal
from collections.abc import Sequence
from pathlib import Path

from tests.cluster.conftest import MakeNode, start, wait_for
from tests.cluster.test_daemons import are_decided, outcomes, rows
from tests.conftest import ME, Crond, alive, wait_until
from tests.support.postgres import execute

CRONTAB = """\
#: name=again on=one retries=1 retry-delay=2s
* * * * * test -e {0}/again || {{ touch {0}/again; exit 1; }}
#: name=killed on=one jitter=60s
* * * * * touch {0}/killed
#: name=paused on=one jitter=30s
* * * * * touch {0}/paused
#: name=within on=one within=5s
* * * * * echo >>{0}/within
#: name=long on=one
* * * * * until test -e {0}/end; do sleep 0.1; done
#: name=manual on=one
0 0 1 1 * true
"""
REMOVED = "#: name=gone on=one jitter=60s\n* * * * * touch {0}/gone\n"


def verdicts(nodes: Sequence[Crond], name: str) -> list[tuple[str, str]]:
    """Return a job's outcomes on all nodes, except for runs that another node has."""
    every = [outcome for node in nodes for outcome in outcomes(node, name)]
    return [outcome for outcome in every if outcome != ("skipped", "elsewhere")]


def test_orders_and_a_reload_between_the_claim_and_the_minute(
    make_node: MakeNode, database: str, tmp_path: Path
) -> None:
    crontab = CRONTAB.format(tmp_path)
    both = crontab + REMOVED.format(tmp_path)
    nodes = a, _ = [make_node(name, both, stop_jobs="wait") for name in ("a", "b")]
    start(*nodes, at="2031-03-01 11:59:52")
    a.run("run", "manual")
    wait_for(
        lambda: all(outcomes(node, "paused") for node in nodes), *nodes
    )  # claimed, a second before its time
    for node in nodes:
        node.write("jobs", crontab)
    for node in nodes:
        node.run("pause", "paused")
        node.run("reload")
    a.run("kill", "killed")
    wait_for(lambda: all(are_decided(nodes, name) for name in ("paused", "within", "killed")), *nodes)
    wait_for(lambda: "succeeded" in [state for state, _ in verdicts(nodes, "again")], *nodes)
    assert verdicts(nodes, "again") == [("failed", ""), ("succeeded", "")]  # on one node
    assert verdicts(nodes, "paused") == [("skipped", "paused")]
    assert verdicts(nodes, "within") == [("succeeded", "")]
    assert verdicts(nodes, "killed") == [("killed", "kill")]
    assert outcomes(a, "manual") == [("succeeded", "")]
    assert (tmp_path / "within").read_text() == "\n"
    assert [name for name in ("gone", "paused", "killed") if (tmp_path / name).exists()] == []

    def told() -> dict[object, object]:
        return {job: (state, reason) for job, state, reason in rows(database, "job, state, reason")}

    wait_for(lambda: told()[f"{ME}/again"] == ("succeeded", ""), *nodes)
    assert told()[f"{ME}/killed"] == ("killed", "kill")
    assert told()[f"{ME}/paused"] == ("skipped", "paused")
    assert f"{ME}/manual" not in told()
    assert execute(database, "SELECT name FROM pycrond.locks WHERE name LIKE '%%again'") == []
    other = next(node for node in nodes if outcomes(node, "within") == [("skipped", "elsewhere")])
    winner = next(node for node in nodes if node is not other)
    why = other.run("why", "within", "2031-03-01T13:00").stdout
    assert f"Node {winner.environment['PYCROND_NODE']} has claimed it" in why
    for node in nodes:
        node.run("audit")
    stop_while_a_job_runs(nodes, database, tmp_path)


def test_a_run_by_hand_that_waits_outlives_the_daemon(
    make_node: MakeNode, database: str, tmp_path: Path
) -> None:
    command = f"while [ ! -e {tmp_path}/go ]; do sleep 0.05; done; echo >>{tmp_path}/tally"
    node = make_node("a", f"#: name=hand on=one overlap=queue\n0 0 1 1 * {command}\n")
    start(node, at="2031-03-01 11:59:30")
    for _ in range(2):
        node.run("run", "hand")
    wait_for(lambda: outcomes(node, "hand") == [("running", ""), ("waiting", "overlap")], node)
    os.kill(node.pid, signal.SIGKILL)
    wait_for(node.status, node)
    (tmp_path / "go").touch()
    wait_for(lambda: outcomes(node, "hand") == [("succeeded", "")] * 2, node)
    assert (tmp_path / "tally").read_text() == "\n\n"
    assert rows(database) == [], "runs by hand do not concern the cluster"


def stop_while_a_job_runs(nodes: Sequence[Crond], database: str, tmp_path: Path) -> None:
    """A node that waits for a job sends heartbeats, and reports the job's end."""
    runner = next(node for node in nodes if outcomes(node, "long") == [("running", "")])
    name, pid = runner.environment["PYCROND_NODE"], runner.pid
    beats = "SELECT beat FROM pycrond.nodes WHERE name = %s"
    os.kill(pid, signal.SIGTERM)
    before = execute(database, beats, name)
    wait_for(lambda: execute(database, beats, name) > before, *nodes)
    (tmp_path / "end").touch()
    wait_until(lambda: not alive(pid))
    assert (f"{ME}/long", name, "succeeded", "") in rows(database)
    assert execute(database, "SELECT name FROM pycrond.locks") == []
