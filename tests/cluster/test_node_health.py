"""The health of a node, as commands show it: without psycopg, and without its database."""

import contextlib
import socket
from pathlib import Path

from tests.cluster.conftest import MakeNode, wait_for
from tests.support.postgres import execute

ABSENT = "raise ModuleNotFoundError(\"No module named 'psycopg'\")\n"


def test_a_node_without_psycopg_says_so_once_and_its_own_jobs_run(
    make_node: MakeNode, tmp_path: Path
) -> None:
    (tmp_path / "psycopg.py").write_text(ABSENT)
    node = make_node("a", "#: name=own\n* * * * * true\n", syslog=str(tmp_path / "log"))
    node.environment["PYTHONPATH"] = str(tmp_path)
    syslog = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    syslog.bind(str(tmp_path / "log"))
    syslog.setblocking(False)
    node.at("2031-03-01 11:59:56", wake=False)
    node.run("start")
    wait_for(lambda: [run.state for run in node.runs()] == ["succeeded"], node)
    text = (
        "the agent has ended: `cluster` is set, but psycopg 3 cannot be loaded (No module named 'psycopg'): "
        "pip install 'pycrond[cluster]', or as Debian's package python3-psycopg"
    )
    assert text in node.run("status").stdout
    with syslog, contextlib.suppress(BlockingIOError):
        lines = []
        while True:
            lines.append(syslog.recv(8192).decode())
    assert len([line for line in lines if text in line]) == 1
    assert node.run("status", "--check").stdout.startswith("healthy: ")
    node.at("2031-03-01 12:02:30")
    assert (
        "the cluster's database has not been reached for 2 m "
        in node.run("status", "--check", "--max-lateness=1h").stdout
    )
    assert node.run("status", "--nagios", "--max-lateness=1h", status=1).stdout.startswith(
        "PYCROND WARNING - "
    )
    assert "pycrond_cluster_connected 0.0\n" in node.run("metrics").stdout


def test_a_node_whose_name_another_has_is_not_healthy(make_node: MakeNode, database: str) -> None:
    node, twin = make_node("a", "* * * * * true\n"), make_node("b", "* * * * * true\n", node="a")
    for each in (node, twin):
        each.at("2031-03-01 11:59:05", wake=False)
    node.run("start")
    wait_for(lambda: execute(database, "SELECT name FROM pycrond.nodes") == [("a",)], node)
    twin.run("start")
    wait_for(lambda: (twin.status() or {})["cluster"]["state"] == "fenced", node, twin)
    twin.at("2031-03-01 12:01:30")
    wait_for(lambda: (twin.status() or {})["cluster"]["state"] == "fenced", node, twin)
    text = "another machine has the name of node a"
    assert text in twin.run("status", "--check", "--max-lateness=1h", status=6).stdout
    assert node.run("status", "--check").stdout.startswith("healthy: ")
