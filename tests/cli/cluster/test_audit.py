"""audit --cluster: each fire of a shared job has one row; ledgers show fires that started twice."""

import uuid
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest

from pycrond.cli.cluster import cluster_audit
from pycrond.ledger.reader import Reader
from pycrond.settings import Settings
from tests.cli.cluster.conftest import Machine, add_run

pytestmark = pytest.mark.daemon
Findings = list[tuple[str, str]]


def since(machine: Machine) -> tuple[str, str]:
    return "--since", (machine.hour - timedelta(minutes=1)).isoformat()


def audit(machine: Machine, *words: str, status: int = 0) -> dict[str, Any]:
    return dict(machine.json("audit", "--cluster", *since(machine), *words, status=status))


def findings(document: dict[str, Any]) -> Findings:
    return [(finding["key"], finding["what"]) for finding in document["findings"]]


def test_each_fire_has_its_row(machine: Machine) -> None:
    machine.add_node("web1")
    machine.name_ledger("web1")
    machine.fill_hour()
    add_run(machine, "me/backup", machine.hour)
    document = audit(machine)
    assert (document["jobs"], document["fires"], document["findings"], document["unproven"]) == (2, 3, [], [])
    done = machine.run("audit", "--cluster", *since(machine))
    assert done.stdout.startswith("3 fire times of 2 shared jobs from ")
    assert done.stdout.endswith(": all accounted for\n")


def test_a_fire_without_a_row_and_a_row_without_a_fire(machine: Machine) -> None:
    machine.fill_hour()
    machine.execute("DELETE FROM pycrond.claims WHERE node = 'web2' AND job = 'me/backup'")
    machine.add_claim("me/backup", machine.hour + timedelta(minutes=13), "web2", "succeeded")
    machine.add_claim("me/theirs", machine.hour + timedelta(minutes=13), "web2", "succeeded")
    assert findings(audit(machine, status=1)) == [
        ("me/backup", "a row without a fire: succeeded on web2"),
        ("me/backup", "no row in the database"),
    ]
    line = machine.run("audit", "--cluster", *since(machine), status=1).stdout.splitlines()[1]
    fire = machine.hour + timedelta(minutes=30)
    assert line == f"{fire:%Y-%m-%dT%H:%M}:00Z  me/backup  no row in the database"


def test_rows_that_are_open_for_too_long(machine: Machine) -> None:
    for name in ("web1", "web3"):
        machine.add_node(name)
    machine.add_node("web2", age=600)
    machine.add_claim("me/backup", machine.hour, "web1", "running", number=1)
    machine.add_claim("me/backup", machine.hour + timedelta(minutes=30), "web2", "running", number=1)
    machine.add_claim("me/report", machine.hour, "web3", "running", number=1)
    document = audit(machine, status=1)
    ((job, finding),) = findings(document)
    assert job == "me/backup"
    assert finding.startswith("running on web2: the node has been silent for 10 m")
    assert [row["node"] for row in document["unproven"]] == ["web2"]
    assert (
        "web2 has not reported: unproven since 2"
        in machine.run("audit", "--cluster", *since(machine), status=1).stdout
    )
    machine.execute("UPDATE pycrond.claims SET started = started - interval '8 hours' WHERE node = 'web1'")
    machine.execute("UPDATE pycrond.nodes SET ledger = gen_random_uuid() WHERE name = 'web3'")
    machine.execute("DELETE FROM pycrond.nodes WHERE name = 'web2'")
    texts = sorted(text for _, text in findings(audit(machine, status=1)))
    assert texts[0].startswith("running on web1: it has run for ")
    assert texts[0].endswith(", with timeout=6 h")
    assert texts[1:] == [
        "running on web2: there is no such node",
        "running on web3: the node has another ledger now",
    ]


def test_jobs_are_audited_some_at_a_time(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    for job in ("me/backup", "me/report"):
        machine.add_claim(job, machine.hour + timedelta(minutes=13), "web2", "skipped", took=None)
        add_run(machine, job, machine.hour + timedelta(minutes=30))
    machine.add_node("web2", age=600)
    machine.add_claim("me/report", machine.hour, "web2")
    start, end = machine.hour - timedelta(minutes=1), machine.hour + timedelta(minutes=59)
    settings = Settings(
        state_dir=str(machine.directory), runtime_dir="", pidfile="", cluster=machine.conninfo, node="web1"
    )
    results = []
    for at_once in (1, 100_000):
        monkeypatch.setattr(cluster_audit, "MAX_JOB_MINUTES", at_once)
        with closing(Reader(settings.state_dir)) as reader:
            results.append(cluster_audit.read_and_compare(settings, reader, start, end, ()))
    assert results[0] == results[1]
    result, since = results[0]
    assert (result.fires, result.jobs, len(result.unproven)) == (3, 2, 1)
    assert [(row.key, (row.at - since.timestamp()) // 60) for row in result.findings] == [
        ("me/backup", 1),
        ("me/backup", 14),
        ("me/report", 14),
        ("me/backup", 31),
    ]


def test_fires_that_two_machines_started(machine: Machine, new_machine: Callable[[str], Machine]) -> None:
    machine.add_node("web1")
    machine.name_ledger("web1")
    first, second, third = machine.fill_hour()
    web2 = new_machine(machine.conninfo)
    web2.name_ledger("web2")
    copy = str(web2.directory / "ledger")
    half = machine.hour + timedelta(minutes=30)
    add_run(machine, "me/backup", machine.hour, run=first)
    add_run(web2, "me/backup", half)  # settled long ago: its UUID is deleted
    add_run(web2, "me/report", machine.hour, run=third)
    assert findings(audit(machine, "--ledger", copy)) == []
    add_run(machine, "me/report", machine.hour)  # node-loss=rerun
    assert findings(audit(machine, "--ledger", copy)) == []
    add_run(machine, "me/backup", half, "failed", run=str(uuid.uuid4()))
    doubled = [("me/backup", f"started more than once: run 3 of web1 and run 1 of {copy}")]
    assert findings(audit(machine, "--ledger", copy, status=1)) == doubled
    doubled = [("me/backup", "started more than once: run 3 of web1 and run 3@web2 by the database")]
    assert findings(audit(machine, status=1)) == doubled
    machine.execute("UPDATE pycrond.claims SET state = 'skipped', started = NULL WHERE run = %s", second)
    text = "run 3 of web1 started, but its row is skipped on web2"
    assert findings(audit(machine, status=1)) == [("me/backup", text)]


def test_what_cannot_be_audited(machine: Machine) -> None:
    assert "--ledger belongs to --cluster" in machine.run("audit", "--ledger", "x", status=1).stderr
    error = machine.run("audit", "--cluster", "--ledger", "/nowhere/ledger", status=1).stderr
    assert error == "pycrond: there is no ledger at /nowhere/ledger\n"
    path = machine.directory / "text"
    path.write_text("no ledger")
    error = machine.run("audit", "--cluster", "--ledger", str(path), status=1).stderr
    assert error.startswith(f"pycrond: cannot read ledger {path}: ")
