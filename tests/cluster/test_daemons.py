"""Nodes of a cluster, as real daemons: the jobs that each of them runs."""

import os
import re
import signal
import time
from collections.abc import Iterable
from pathlib import Path

import psycopg

from tests.cluster.conftest import MakeNode, start, wait_for
from tests.conftest import ME, Crond, wait_until
from tests.support import proc
from tests.support.postgres import Postgres, execute

SHARED = "#: name=shared on=one\n* * * * * echo >>{tally}\n"


def outcomes(node: Crond, name: str) -> list[tuple[str, str]]:
    """Return the states of a job's runs on a node and their reasons, the oldest first."""
    return [
        (run.state, run.reason.partition(":")[0])
        for run in reversed(node.runs())
        if run.key.endswith(f"/{name}")
    ]


def rows(database: str, columns: str = "job, node, state, reason") -> list[tuple[object, ...]]:
    return execute(database, f"SELECT {columns} FROM pycrond.claims ORDER BY fire, job")


def are_decided(nodes: Iterable[Crond], name: str, count: int = 1) -> bool:
    """Return whether each node has `count` verdicts on fires of a job."""
    over = [
        [state for state, _ in outcomes(node, name) if state not in {"waiting", "claimed", "running"}]
        for node in nodes
    ]
    return all(len(states) >= count for states in over)


def test_each_job_runs_where_it_may(make_node: MakeNode, database: str, tmp_path: Path) -> None:
    locked = f"mkdir {tmp_path}/lock && sleep 0.3 && rmdir {tmp_path}/lock || echo both >>{tmp_path}/fault"
    crontab = SHARED.format(tally=tmp_path / "tally") + (
        "#: name=own\n* * * * * true\n"
        f"#: name=one-db on=one:db\n* * * * * echo >>{tmp_path}/one\n"
        f"#: name=each-db on=db\n* * * * * echo >>{tmp_path}/each\n"
        "#: name=nowhere on=one:gpu\n* * * * * false\n"
    )
    crontab += "".join(f"#: name=j{number} on=one\n* * * * * true\n" for number in range(20))
    crontab += "".join(
        f"#: name=lock{number} on=one overlap=queue lock=cluster:x\n* * * * * {locked}\n"
        for number in range(4)
    )
    names = [name for line in crontab.splitlines() for name in re.findall("^#: name=(\\S+)", line)]
    a = make_node("a", crontab, node_labels="db")
    b = make_node("b", crontab, node_labels="db,web")
    c = make_node("c", crontab)
    nodes = [a, b, c]
    start(*nodes, at="2031-03-01 11:59:45")
    c.run("cluster", "drain")
    wait_for(lambda: (c.status() or {})["cluster"]["draining"], *nodes)
    wait_for(lambda: all(are_decided(nodes, name) for name in names), *nodes)

    # A shared job runs once, and the other nodes know where.
    assert len((tmp_path / "tally").read_text().splitlines()) == 1
    wait_for(lambda: all(state not in {"claimed", "running"} for _, _, state, _ in rows(database)), *nodes)
    verdicts = {job: (node, state, reason) for job, node, state, reason in rows(database)}
    winner = verdicts[f"{ME}/shared"][0]
    for node in nodes:
        is_winner = node.environment["PYCROND_NODE"] == winner
        assert outcomes(node, "shared") == [("succeeded", "") if is_winner else ("skipped", "elsewhere")]
        assert outcomes(node, "own") == [("succeeded", "")]
        node.run("audit")

    # A label decides where a job may run.
    assert len((tmp_path / "one").read_text().splitlines()) == 1
    assert len((tmp_path / "each").read_text().splitlines()) == 2
    assert outcomes(c, "each-db") == [("skipped", "elsewhere")]
    assert verdicts[f"{ME}/nowhere"][1:] == ("skipped", "no-node")

    # A node that is draining claims nothing; the others share the fires.
    assert {verdicts[f"{ME}/j{number}"][0] for number in range(20)} == {"a", "b"}

    # One run at a time holds a lock of the cluster.
    assert not (tmp_path / "fault").exists()
    assert [verdicts[f"{ME}/lock{number}"][1] for number in range(4)] == ["succeeded"] * 4
    assert execute(database, "SELECT name FROM pycrond.locks") == []


def test_without_the_database_shared_jobs_are_skipped_and_others_run(
    make_node: MakeNode, database: str, tmp_path: Path
) -> None:
    crontab = SHARED.format(tally=tmp_path / "tally") + (
        "#: name=own\n* * * * * true\n"
        f"#: name=anyway on=one on-partition=run\n* * * * * echo x >>{tmp_path}/anyway\n"
    )
    nodes = [make_node(name, crontab) for name in ("a", "b")]
    start(*nodes, at="2031-03-01 11:59:40")
    name = psycopg.conninfo.conninfo_to_dict(database)["dbname"]
    server = database.replace(f"dbname={name}", "dbname=postgres")
    execute(server, f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    execute(server, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", name)
    wait_for(lambda: are_decided(nodes, "shared") and are_decided(nodes, "anyway"), *nodes)
    for node in nodes:
        assert outcomes(node, "shared")[0] == ("skipped", "no-database")
        assert outcomes(node, "own")[0] == ("succeeded", "")
    assert len((tmp_path / "anyway").read_text().splitlines()) == 1
    assert not (tmp_path / "tally").exists()
    execute(server, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    # The database gets the verdicts that were made without it.
    wait_for(
        lambda: {row[2:] for row in rows(database)} >= {("skipped", "no-database"), ("succeeded", "")}, *nodes
    )


def test_a_daemon_that_dies_between_claim_and_start_starts_the_run_once(
    make_node: MakeNode, database: str, tmp_path: Path
) -> None:
    node = make_node("a", SHARED.format(tally=tmp_path / "tally"))
    start(node, at="2031-03-01 11:59:50")
    wait_for(lambda: rows(database), node)  # asked for, a second before its time
    os.kill(node.pid, signal.SIGKILL)
    wait_for(lambda: are_decided([node], "shared"), node)
    assert outcomes(node, "shared") == [("succeeded", "")]
    wait_for(lambda: rows(database) == [(f"{ME}/shared", "a", "succeeded", "")], node)
    assert len((tmp_path / "tally").read_text().splitlines()) == 1
    node.run("audit")


def test_a_machine_that_is_soon_back_runs_its_job_again_once(
    make_node: MakeNode, database: str, tmp_path: Path
) -> None:
    line = f"0 12 * * * echo $PYCROND_ATTEMPT >>{tmp_path}/tally; exec sleep 1000"
    node = make_node("a", f"CRON_TZ=UTC\n#: name=backup on=one node-loss=rerun\n{line}\n")
    start(node, at="2031-03-01 11:59:56")

    def attempts() -> list[str]:
        return (tmp_path / "tally").read_text().split() if (tmp_path / "tally").exists() else []

    def crash() -> None:
        pid = node.runs()[0].pid
        node.end()  # keeper, daemon, agent and job
        wait_until(lambda: not Path(f"/proc/{pid}").exists())  # a zombie has its exit status
        node.run("start")

    wait_for(lambda: attempts() == ["1"] and [row[2] for row in rows(database)] == ["running"], node)
    crash()
    wait_for(lambda: attempts() == ["1", "2"] and [row[2] for row in rows(database)] == ["running"], node)
    crash()
    wait_for(lambda: [row[2] for row in rows(database)] == ["unknown"], node)
    assert [(run.attempt, run.state) for run in node.runs()] == [(2, "unknown"), (1, "unknown")]
    node.run("audit")
    node.run("audit", "--cluster")


def test_what_all_nodes_missed_is_caught_up_once(make_node: MakeNode, database: str, tmp_path: Path) -> None:
    crontab = (
        f"#: name=daily on=one missed=once on-missed='echo >>{tmp_path}/missed'\n"
        f"* * * * * echo >>{tmp_path}/tally\n"
    )
    nodes = [make_node(name, crontab) for name in ("a", "b")]
    start(*nodes, at="2031-03-01 11:59:50")
    wait_for(lambda: are_decided(nodes, "daily"), *nodes)
    wait_for(lambda: [row[2] for row in rows(database)] == ["succeeded"], *nodes)
    for node in nodes:
        node.run("stop")
    start(*nodes, at="2031-03-01 12:10:10")
    wait_for(lambda: [row[2] for row in rows(database)][10:] == ["succeeded"], *nodes)
    assert [row[2] for row in rows(database)] == ["succeeded", *["missed"] * 9, "succeeded"]
    assert len((tmp_path / "tally").read_text().splitlines()) == 2
    wait_for((tmp_path / "missed").exists, *nodes)
    for node in nodes:
        node.run("audit")
    assert (tmp_path / "missed").read_text() == "\n"


def test_a_silent_database_does_not_keep_a_daemon_busy(make_node: MakeNode, postgres: Postgres) -> None:
    node = make_node("a", "#: name=shared on=one\n0 0 1 1 * true\n")
    start(node, at="2031-03-01 11:50:10")
    postgres.freeze()
    try:
        wait_for(lambda: (node.status() or {})["cluster"]["state"] == "stalled", node)
        before = proc.cpu_seconds(node.pid)
        time.sleep(1.0)  # of a busy loop
        assert proc.cpu_seconds(node.pid) - before < 0.1
    finally:
        postgres.thaw()
