"""The command cluster, with a real database."""

import pytest

from tests.cli.cluster.conftest import Machine
from tests.support.postgres import Postgres, execute

pytestmark = pytest.mark.daemon


def test_a_cluster_is_created_and_named(machine: Machine, empty_database: str) -> None:
    machine.environment["PYCROND_CLUSTER"] = empty_database
    assert "run 'pycrond cluster migrate'" in machine.run("cluster", "status", status=1).stderr
    options = ("--name", "prod", "--zone", "Europe/Berlin", "--keep", "30")
    done = machine.run("cluster", "migrate", *options)
    assert done.stdout == "cluster prod, zone Europe/Berlin, rows kept for 30 d: tables created, version 1\n"
    done = machine.run("cluster", "migrate")
    assert done.stdout == "cluster prod, zone Europe/Berlin, rows kept for 30 d: tables have version 1\n"
    done = machine.run("cluster", "migrate", "--name", "x2", "--zone", "UTC")
    changed = "changed: the name was prod, the zone was Europe/Berlin; times of shared jobs depend on it"
    assert done.stdout.splitlines()[1:] == [changed]
    assert machine.run("cluster", "migrate", *options).stdout.count("the name was x2, the zone was UTC") == 1
    assert (
        "unknown time zone" in machine.run("cluster", "migrate", "--zone", "Nowhere", status=1).stderr.lower()
    )
    done = machine.run("cluster", "status", status=1)
    assert "cluster prod, zone Europe/Berlin, tables of version 1" in done.stdout
    assert "no node has joined yet" in done.stdout


def test_the_status_in_one_look(machine: Machine) -> None:
    machine.add_node("web1", labels=("db", "eu"), offset_ms=10)
    machine.add_node("web2", age=40, offset_ms=12)
    machine.add_node("web3", draining=True, offset_ms=4010, digest="bbbb")
    machine.add_node("web4", age=3600)
    machine.add_node("web5", offset_ms=-20)
    machine.fill_hour()
    machine.add_claim("me/a", machine.hour, "web1", "running", number=9)
    machine.add_claim("me/b", machine.hour, "web1", "lost", took=None)
    machine.add_claim("me/c", machine.hour, "web1", "skipped", reason="no-node", took=None)
    machine.add_claim("me/d", machine.hour, "web1", "skipped", reason="no-database: 10 s", took=None)
    machine.add_claim(
        "me/d", machine.hour.replace(minute=1), "web1", "skipped", reason="no-database", took=None
    )
    done = machine.run("cluster", "status")
    rows = {line.split()[0]: line.split() for line in done.stdout.splitlines() if line.startswith("web")}
    assert rows["web1"][1:] == [
        "alive",
        *rows["web1"][2:5],
        "+10",
        "ms",
        "0",
        "s",
        "0",
        "1",
        f"{machine.hour:%H:%M}",
        "same",
        "0.1.0",
        "db,eu",
    ]
    assert [rows[name][1] for name in sorted(rows)] == ["alive", "silent", "draining", "dead", "alive"]
    assert "no standby is attached" in done.stdout
    assert "1 fire of 1 job lost with their nodes" in done.stdout
    assert "2 fires of 1 job skipped without an answer of the database" in done.stdout
    assert "1 fire of 1 job skipped without a node for them" in done.stdout
    assert "shared jobs differ: those of web1, web2, web5 / web3;" in done.stdout
    assert "the clock of web3 is 4 s ahead of the median: it claims nothing" in done.stdout
    document = machine.json("cluster", "status")
    assert [node["open_claims"] for node in document["nodes"]] == [1, 0, 0, 0, 0]
    assert [node["differs"] for node in document["nodes"]] == [False, False, True, False, False]
    assert [node["skew_ms"] for node in document["nodes"]] == [0, 2, 4000, -10, -30]
    assert [(row["kind"], row["fires"]) for row in document["fires"]] == [
        ("lost", 1),
        ("no-database", 2),
        ("no-node", 1),
    ]
    assert document["problems"] == []


def test_labels_are_shown_at_80_columns_beside_the_oldest_claim(machine: Machine) -> None:
    machine.add_node("web1", labels=("db",))
    machine.add_claim("me/a", machine.hour, "web1", "running", number=9)
    headings = machine.run("cluster", "status", COLUMNS="80").stdout.splitlines()[3].split()
    assert {"OLDEST", "LABELS"} <= {*headings}


def test_what_needs_a_person_ends_with_1(machine: Machine) -> None:
    machine.add_node("web1", age=80)
    assert machine.json("cluster", "status", status=1)["problems"] == [
        "no node is alive: no shared job runs; look at 'pycrond status' on the nodes"
    ]
    machine.add_node("web2")
    assert machine.json("cluster", "status")["problems"] == []
    machine.add_claim("me/backup", machine.hour, "web1", "running")
    assert machine.json("cluster", "status")["problems"] == [], "web2 has had no time to close it"
    machine.execute("UPDATE pycrond.nodes SET seen = seen - interval '1 minute' WHERE name = 'web1'")
    machine.add_claim("me/report", machine.hour, "web9", "running")
    remedy = "start pycrond there, or remove the node (docs/cluster.md)"
    assert machine.json("cluster", "status", status=1)["problems"] == [
        f"web1 is dead with 1 open claim: {remedy}",
        f"web9 is no node, and has 1 open claim: {remedy}",
    ]
    machine.execute("UPDATE pycrond.meta SET version = 0")
    assert "run 'pycrond cluster migrate'" in machine.json("cluster", "status", status=1)["problems"][0]


def test_a_node_drains_until_it_is_undrained(machine: Machine) -> None:
    machine.add_node("web1")
    machine.add_node("web2")
    assert machine.run("cluster", "drain").stdout == "web1 claims no more fires; claimed ones still run\n"
    machine.run("cluster", "drain", "web2")
    draining = "SELECT name FROM pycrond.nodes WHERE draining ORDER BY name"
    assert machine.execute(draining) == [("web1",), ("web2",)]
    assert machine.run("cluster", "undrain", "web1").stdout == "web1 claims again\n"
    assert machine.execute(draining) == [("web2",)]
    error = machine.run("cluster", "drain", "web3", status=1).stderr
    assert error == "pycrond: there is no node 'web3' in the cluster (known: web1, web2)\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("status", "web1"), "takes no node"),
        (("drain", "--zone", "UTC"), "belong to 'pycrond cluster migrate'"),
        (("drain", "--json"), "--json belongs to"),
    ],
)
def test_arguments_of_another_action(machine: Machine, words: tuple[str, ...], message: str) -> None:
    assert message in machine.run("cluster", *words, status=1).stderr


def test_errors_are_sentences(machine: Machine, postgres: Postgres) -> None:
    error = machine.run("cluster", "status", status=1, PYCROND_CLUSTER="").stderr
    assert error.startswith("pycrond: there is no cluster: set 'cluster'")
    away = "host=/nowhere dbname=x user=me password=secret-word"
    error = machine.run("cluster", "status", status=1, PYCROND_CLUSTER=away).stderr
    assert error.startswith("pycrond: cannot connect to the cluster's database: ")
    assert "secret-word" not in error
    wrong = "postgresql://me:secret-word@db/x?sslmod=x"
    error = machine.run("cluster", "status", status=1, PYCROND_CLUSTER=wrong).stderr
    assert error.endswith('not a connection string of PostgreSQL: invalid URI query parameter: "sslmod"\n')
    postgres.execute("DROP ROLE IF EXISTS visitor")
    postgres.execute("CREATE ROLE visitor LOGIN")
    visitor = machine.conninfo.replace("user=postgres", "user=visitor")
    error = machine.run("cluster", "status", status=1, PYCROND_CLUSTER=visitor).stderr
    assert "the database refuses it: permission denied for schema pycrond" in error


def test_a_locked_table_does_not_hold_it_up(machine: Machine) -> None:
    import psycopg

    with psycopg.connect(machine.conninfo) as connection:
        connection.execute("LOCK TABLE pycrond.nodes")
        error = machine.run("cluster", "status", status=1).stderr
    assert error == "pycrond: the database has not answered within 5 s\n"


def test_psycopg_is_named_where_it_is_missing(machine: Machine) -> None:
    module = machine.directory / "hidden" / "psycopg.py"
    module.parent.mkdir()
    module.write_text("raise ImportError\n")
    error = machine.run("cluster", "status", status=1, PYTHONPATH=str(module.parent)).stderr
    assert error == "pycrond: a cluster needs psycopg: pip install 'pycrond[cluster]'\n"


def test_the_fixture_has_a_database_of_its_own(machine: Machine) -> None:
    assert execute(machine.conninfo, "SELECT count(*) FROM pycrond.nodes") == [(0,)]
