"""list, history, logs and timeline with --cluster."""

from datetime import timedelta

import pytest

from tests.cli.cluster.conftest import Machine

pytestmark = pytest.mark.daemon


def test_shared_jobs_with_their_nodes(machine: Machine) -> None:
    machine.fill_hour()
    machine.add_claim("me/report", machine.hour + timedelta(hours=1), "web3", "running", number=5)
    machine.add_claim("me/theirs", machine.hour)
    lines = machine.run("list", "--cluster").stdout.splitlines()
    assert lines[0].split()[:2] == ["NAME", "SCHEDULE"]
    assert [line.split()[0] for line in lines[1:3]] == ["backup", ">"]
    assert " web2 " in lines[1]
    assert " ok " in lines[1]
    assert " web3 " in lines[2]
    assert " running " in lines[2]
    assert lines[3:] == ["1 job of the cluster not loaded on this machine: me/theirs"]
    backup, report = machine.json("list", "--cluster")["jobs"]
    assert (backup["last"]["id"], backup["last"]["node"], backup["nodes"]) == (3, "web2", [])
    assert (report["last"]["id"], report["running"], report["nodes"]) == (2, [5], ["web3"])
    assert [job["key"] for job in machine.json("list", "--cluster", "rep*")["jobs"]] == ["me/report"]


def test_a_machine_without_shared_jobs(machine: Machine) -> None:
    assert machine.run("list", "--cluster", "--failed").stdout == "no shared job matches\n"


def test_the_history_of_all_nodes(machine: Machine) -> None:
    assert machine.run("history", "--cluster").stdout == "no runs\n"
    machine.fill_hour()
    machine.add_claim("me/theirs", machine.hour - timedelta(hours=2), "web9", "failed", number=4, status=3)
    machine.add_claim(
        "me/report", machine.hour - timedelta(hours=1), "web1", "skipped", reason="no-node", took=None
    )
    lines = machine.run("history", "--cluster").stdout.splitlines()
    rows = [line.split() for line in lines]
    assert rows[0][:5] == ["RUN", "NODE", "FIRE", "NAME", "ENDED"]
    assert rows[1][:2] == ["3", "web2"]
    assert "backup  ok" in lines[1]
    assert rows[-2][-2:] == ["skipped", "no-node"]
    assert "exit 3" in lines[-1]
    runs = machine.json("history", "--cluster", "backup")["runs"]
    assert [(run["node"], run["id"], run["exit_status"], run["duration_s"]) for run in runs] == [
        ("web2", 3, 0, 20.0),
        ("web1", 7, 0, 20.0),
    ]
    assert [run["node"] for run in machine.json("history", "--cluster", "theirs")["runs"]] == ["web9"]
    assert [run["node"] for run in machine.json("history", "--cluster", "--state", "failed")["runs"]] == [
        "web9"
    ]
    since = (machine.hour + timedelta(minutes=10)).isoformat()
    assert [run["id"] for run in machine.json("history", "--cluster", "--since", since)["runs"]] == [3]
    assert len(machine.json("history", "--cluster", "--limit", "2")["runs"]) == 2
    error = machine.run("history", "--cluster", "nothing", status=1).stderr
    assert error == "pycrond: no job is called 'nothing', here or in the cluster\n"


def test_the_output_of_a_run_on_another_node(machine: Machine) -> None:
    run = machine.add_claim("me/backup", machine.hour, "web2", number=3)
    for piece, data in enumerate((b"first\nsec", b"ond \x1b[31m\n")):
        machine.execute("INSERT INTO pycrond.outputs VALUES (%s, %s, %s)", run, piece, data)
    expected = [f"{machine.hour:%H:%M}:00 backup@web2 | {text}" for text in ("first", "second ^[[31m")]
    for word in ("backup", "3@web2", "3", run, run[:8]):
        lines = machine.run("logs", "--cluster", word).stdout.splitlines()
        assert [line[-len(text) :] for line, text in zip(lines, expected, strict=True)] == expected
    assert machine.run("logs", "--cluster", "backup", "--lines", "1").stdout.endswith("second ^[[31m\n")
    machine.add_claim("me/backup", machine.hour + timedelta(minutes=30), "web3", number=3)
    error = machine.run("logs", "--cluster", "backup", status=1).stderr
    assert error == (
        "pycrond: the database has no output of 3@web3: it printed nothing, or its node did not copy it"
        " (the setting cluster-output); on web3, 'pycrond logs 3' shows what there is\n"
    )
    machine.add_claim("me/report", machine.hour, "web3", "running", number=4)
    assert (
        "no output of 4@web3: it has not ended; on"
        in machine.run("logs", "--cluster", "4@web3", status=1).stderr
    )
    assert (
        "several runs are called 3: 3@web3, 3@web2" in machine.run("logs", "--cluster", "3", status=1).stderr
    )
    since = (machine.hour - timedelta(minutes=1)).isoformat()
    done = machine.run("logs", "--cluster", "backup", "--since", since)
    assert len(done.stdout.splitlines()) == 2
    assert "on web3, 'pycrond logs" in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "needs a job or a run"),
        (("backup",), "no run of 'backup' has started"),
        (("5@web1",), "the cluster has no run 5@web1"),
        (("backup", "-f"), "excludes --follow"),
    ],
)
def test_output_that_is_not_there(machine: Machine, words: tuple[str, ...], message: str) -> None:
    assert message in machine.run("logs", "--cluster", *words, status=1).stderr


def test_a_lane_for_each_job_and_node(machine: Machine) -> None:
    machine.fill_hour()
    machine.add_claim(
        "me/report", machine.hour + timedelta(minutes=1), "web1", "skipped", reason="no-node", took=None
    )
    machine.add_claim("me/theirs", machine.hour, "web9", "failed", number=4, status=3)
    day = ("timeline", "--cluster", "--day", machine.hour.date().isoformat())
    lanes = machine.json(*day)["lanes"]
    past = {
        (lane["key"], lane.get("node"), bar["state"])
        for lane in lanes
        for bar in lane["bars"]
        if bar["state"] != "coming"
    }
    assert past == {
        ("me/backup@web1", "web1", "succeeded"),
        ("me/backup@web2", "web2", "succeeded"),
        ("me/report@web2", "web2", "succeeded"),
        ("me/report", None, "skipped"),
        ("me/theirs@web9", "web9", "failed"),
    }
    assert "backup@web2" in machine.run(*day).stdout
    lanes = machine.json("timeline", "--cluster", "--next", "--job", "backup")["lanes"]
    assert [(lane["key"], len(lane["bars"])) for lane in lanes] == [("me/backup", 48)]


def test_fires_that_were_passed_over_since_the_last_run(machine: Machine) -> None:
    machine.fill_hour()
    for minutes, reason in ((35, "no-database"), (40, "no-node")):
        fire = machine.hour + timedelta(minutes=minutes)
        machine.add_claim("me/backup", fire, "web1", "skipped", reason=reason, took=None)
    lines = machine.run("list", "--cluster").stdout.splitlines()
    assert "ok" in lines[1]
    assert lines[2] == "    skipped 2 times since: no-node"
    backup, report = machine.json("list", "--cluster")["jobs"]
    assert (backup["skipped_since"], report["skipped_since"]) == (2, 0)


def test_the_last_line_of_a_failed_run_that_was_copied(machine: Machine) -> None:
    """If the output of a run was not copied, it is not known whether the run printed anything."""
    for job in ("me/backup", "me/report"):
        run = machine.add_claim(job, machine.hour, "web2", "failed", number=3, status=3)
        if job == "me/backup":
            for piece, data in enumerate((b"x" * 2000 + b"\ndisk ", b"full\n\n")):
                machine.execute("INSERT INTO pycrond.outputs VALUES (%s, %s, %s)", run, piece, data)
    lines = machine.run("list", "--cluster").stdout.splitlines()
    assert [line.strip() for line in lines[2:3]] == ["disk full"]
    assert len(lines) == 4
    assert [job["last_line"] for job in machine.json("list", "--cluster")["jobs"]] == ["disk full", None]


def test_a_fire_that_waits_has_no_number_yet(machine: Machine) -> None:
    machine.add_claim("me/backup", machine.hour, "web2", "waiting", reason="lock: me/report", took=None)
    assert machine.run("list", "--cluster").stdout.splitlines()[2].strip() == "a run waits: lock: me/report"
