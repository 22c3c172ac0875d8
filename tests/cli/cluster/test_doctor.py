"""The rules of doctor for a cluster: facts of a real database, and rows of facts with their findings."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pycrond.cli.doctor.cluster_probe import ClusterFacts
from pycrond.cli.doctor.cluster_rules import diagnose_cluster
from pycrond.cluster.probe import Probe
from pycrond.cluster.reader_rows import ClusterRow, NodeRow, ServerRow
from tests.cli.cluster.conftest import Machine
from tests.support.postgres import Postgres

SERVER = ServerRow("15.4", False, "on", "on", "s1", 1, 1, 0, "cron")
CLUSTER = ClusterRow("prod", "UTC", 1, 1, 86400.0)


def node(name: str, **values: Any) -> NodeRow:
    return NodeRow(name, "l", f"{name}.example", 0.0, 1.0, False, (), "1", 0, "aaaa")._replace(**values)


NODES = (node("web1"), node("web2"), node("web3"))
PROBE = Probe("TLS", "cron", "jobs", SERVER, (), 3, CLUSTER, NODES)
HEALTHY = ClusterFacts(node="web1", ledger="l", zone="UTC", probe=PROBE, known_version=1)


def test_a_healthy_cluster() -> None:
    findings = [*diagnose_cluster(HEALTHY)]
    assert [finding.about for finding in findings] == [
        *("cluster", "cluster-tables", "cluster-standby", "cluster-clock", "cluster-node")
    ]
    assert {finding.level for finding in findings} == {"ok"}


@pytest.mark.parametrize(
    ("values", "level", "about", "text"),
    [
        ({"transport": "plain"}, "warning", "cluster", "neither TLS nor a socket"),
        ({"server": SERVER._replace(in_recovery=True)}, "problem", "cluster", "is a standby"),
        ({"server": SERVER._replace(fsync="off")}, "problem", "cluster-fsync", "forgets claims"),
        ({"server": SERVER._replace(synchronous_commit="off")}, "ok", "cluster-fsync", "turns it on"),
        ({"server": SERVER._replace(synchronous=0)}, "problem", "cluster-standby", "none is attached"),
        (
            {"server": SERVER._replace(synchronous=0, standby_names="")},
            "warning",
            "cluster-standby",
            "is asynchronous",
        ),
        (
            {"server": SERVER._replace(synchronous=0, standby_names="", standbys=0)},
            "warning",
            "cluster-standby",
            "no standby",
        ),
        ({"server": SERVER._replace(unreadable=1)}, "warning", "cluster-standby", "may not see"),
        ({"cluster": None, "nodes": ()}, "problem", "cluster-tables", "database jobs has no tables"),
        ({"cluster": CLUSTER._replace(version=0)}, "problem", "cluster-tables", "it joins no cluster"),
        ({"cluster": CLUSTER._replace(oldest=2)}, "problem", "cluster-tables", "for version 2 or newer"),
        ({"cluster": CLUSTER._replace(zone="Asia/Tokyo")}, "warning", "cluster-zone", "use Asia/Tokyo"),
        ({"lacking": ("INSERT on pycrond.claims",)}, "problem", "cluster-rights", "lacks INSERT"),
        ({"offset_ms": -2000}, "warning", "cluster-clock", "2 s behind the median"),
        ({"offset_ms": 9000}, "problem", "cluster-clock", "9 s ahead of the median"),
        ({"nodes": NODES[1:]}, "warning", "cluster-node", "web1 has not joined"),
        ({"nodes": (node("web1", ledger="m"),)}, "problem", "cluster-node", "belongs to another ledger"),
        ({"nodes": (node("web1", age=90.0),)}, "problem", "cluster-node", "is 1 m 30 s old"),
        ({"nodes": (*NODES, node("web4", digest="b"))}, "warning", "cluster-jobs", "web1, web2, web3 / web4"),
    ],
)
def test_a_fact_and_its_finding(values: dict[str, Any], level: str, about: str, text: str) -> None:
    findings = [*diagnose_cluster(replace(HEALTHY, probe=PROBE._replace(**values)))]
    (finding,) = (finding for finding in findings if finding.about == about and text in finding.text)
    assert finding.level == level
    assert bool(finding.remedy) == (level != "ok")


def test_what_keeps_from_asking() -> None:
    (finding,) = diagnose_cluster(replace(HEALTHY, has_psycopg=False))
    assert finding.remedy == "pip install 'pycrond[cluster]'"
    (finding,) = diagnose_cluster(replace(HEALTHY, probe=None, error="cannot connect"))
    assert (finding.level, finding.text) == ("problem", "cannot connect")
    error = "transaction blocks not allowed in statement pooling mode"
    (finding,) = diagnose_cluster(replace(HEALTHY, probe=None, error=error))
    assert "pool_mode = transaction" in finding.remedy


def of_cluster(machine: Machine, **variables: str) -> Iterator[tuple[str, str, str]]:
    import json

    document = json.loads(machine.run("doctor", "--json", status=None, **variables).stdout)
    for finding in document["findings"]:
        if finding["about"].startswith("cluster"):
            yield finding["about"], finding["level"], finding["text"]


@pytest.mark.daemon
def test_a_real_database(machine: Machine, postgres: Postgres) -> None:
    machine.add_node("web1")
    machine.name_ledger("web1")
    version = postgres.execute("SHOW server_version")[0][0]
    assert [*of_cluster(machine)][:4] == [
        ("cluster", "ok", f"PostgreSQL {version} answers over a socket, role postgres"),
        ("cluster-tables", "ok", "the tables have version 1, of the cluster test"),
        (
            "cluster-fsync",
            "problem",
            "fsync is off: a crash of the server forgets claims, and their jobs may run twice",
        ),
        (
            "cluster-standby",
            "warning",
            "no standby is attached: if the server's disk is lost, so are its claims",
        ),
    ]
    assert ("cluster-node", "ok", "web1 is alive") in of_cluster(machine)
    postgres.execute("DROP ROLE IF EXISTS guest")
    postgres.execute("CREATE ROLE guest LOGIN")
    guest = machine.conninfo.replace("user=postgres", "user=guest")
    assert ("cluster-rights", "problem", "role guest lacks USAGE on schema pycrond") in of_cluster(
        machine, PYCROND_CLUSTER=guest
    )
    away = [*of_cluster(machine, PYCROND_CLUSTER="host=/nowhere")]
    assert [(about, level) for about, level, _ in away] == [("cluster", "problem")]
    assert not [*of_cluster(machine, PYCROND_CLUSTER="")]


@pytest.mark.daemon
def test_the_statements_of_the_documentation(machine: Machine, postgres: Postgres) -> None:
    text = (Path(__file__).parents[3] / "docs" / "cluster.md").read_text()
    postgres.execute("DROP ROLE IF EXISTS node")
    postgres.execute("CREATE ROLE node LOGIN")
    for line in re.findall(r"^GRANT .*?;", text, re.MULTILINE):
        machine.execute(line)
    machine.environment["PYCROND_CLUSTER"] = machine.conninfo.replace("user=postgres", "user=node")
    topics = [about for about, _, _ in of_cluster(machine)]
    assert "cluster-standby" in topics
    assert "cluster-rights" not in topics
    machine.add_node("web3")
    machine.add_claim("me/backup", machine.hour, "web3", "running")
    (removal,) = re.findall(r"^DELETE FROM pycrond\.nodes.*?;", text, re.MULTILINE | re.DOTALL)
    machine.execute(removal)
    assert machine.execute("SELECT name FROM pycrond.nodes") == [("web3",)], "its claims are open"
    machine.execute("UPDATE pycrond.claims SET state = 'lost', ended = now()")
    machine.execute(removal)
    assert machine.execute("SELECT name FROM pycrond.nodes") == []
    machine.execute("DROP OWNED BY node")
