"""Jobs that one node of a cluster runs: combinations that are errors, the draws and the time zone."""

import pytest

from pycrond.crontab.parser import Crontab, parse
from pycrond.jobs.shared_identity import SharedIdentity

CLUSTER = SharedIdentity("prod", "Asia/Tokyo")


def read(text: str, cluster: SharedIdentity | None = CLUSTER, seed: str = "machine") -> Crontab:
    return parse(text.encode(), "f", user="me", seed=seed, cluster=cluster)


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("#: on=one\n1 1 * * * x", (1, 4), "on=one needs name="),
        ("#: timeout=1m on=one:db\n1 1 * * * x", (1, 15), "on=one:db needs name="),
        ("PYCROND_ON=one\n\n  1 1 * * * x", (3, 3), "on=one needs name="),
        ("#: name=a\n1 1 * * * x\n#: name=a on=one\n1 1 * * * y", (3, 11), "that no other entry has"),
        ("#: name=a on=one\n@reboot x", (1, 11), "on=one is not possible with @reboot"),
        ("#: name=a lock=cluster:b\n@reboot x", (1, 11), "lock=cluster:b is not possible with @reboot"),
        (
            "#: name=a on=one\n#: overlap=replace\n1 1 * * * x",
            (2, 4),
            "overlap=replace is not possible with on=one",
        ),
        (
            "#: name=a on=one lock=cluster:b on-partition=run\n1 1 * * * x",
            (1, 33),
            "on-partition=run is not possible",
        ),
    ],
)
def test_combinations_that_are_not_possible(text: str, place: tuple[int, int], message: str) -> None:
    """In a cluster they are errors, and the entry is not run; without a cluster they are warnings."""
    in_cluster, alone = read(text + "\n"), read(text + "\n", None)
    for table, severity in ((in_cluster, "error"), (alone, "warning")):
        (problem,) = (problem for problem in table.problems if problem.code == "cluster-option")
        assert (problem.line, problem.column, problem.severity) == (*place, severity)
        assert message in problem.message
    assert len(alone.entries) == len(in_cluster.entries) + 1


@pytest.mark.parametrize(
    ("text", "column", "lost"),
    [
        ("#: name=a on=ONE", 14, "bad on 'ONE'"),
        ("#: name=a on=one,two", 14, "bad on 'one,two'"),
        ("#: name=a on", 11, "on has no value"),
        ("#: name=a on=one node-loss=retry", 28, "bad node-loss 'retry'"),
        ("#: name=a on=one on-partition=start", 31, "bad on-partition 'start'"),
        ("#: name=a lock=cluster:", 16, "bad lock 'cluster:'"),
        ("#: name=a lock=cluster:global:x", 11, "is for crontabs that belong to root"),
        ("#: name=a on=one on-failure='x", 3, "these options are ignored"),
        ("PYCROND_ON=ONE", 12, "bad on 'ONE'"),
    ],
)
def test_an_entry_that_would_run_on_too_many_machines_is_not_run(text: str, column: int, lost: str) -> None:
    """In a cluster, a typing error in an option that concerns the cluster is an error of the entry."""
    text = f"{text}\n1 1 * * * x\n"
    table = parse(text.encode(), "f", user="me", cluster=CLUSTER, is_roots=False)
    warning, error = table.problems
    assert (warning.line, warning.column, warning.severity) == (1, column, "warning")
    assert lost in warning.message
    assert (error.line, error.column, error.severity) == (2, 1, "error")
    assert "not run, because of the option in line 1" in error.message
    assert table.entries == ()
    alone = parse(text.encode(), "f", user="me", is_roots=False)
    assert alone.problems == (warning,)
    assert len(alone.entries) == 1


@pytest.mark.parametrize(
    ("text", "commands"),
    [
        ("#: on=ONE\n1 1 * * * x\n1 1 * * * y\n", ["y"]),
        ("#: on=ONE\n#: name=a on=one\n1 1 * * * x\n", ["x"]),
        ("PYCROND_ON=ONE\n1 1 * * * x\n#: on=every\n1 1 * * * y\n", ["y"]),
        ("PYCROND_ON=ONE\nPYCROND_ON=\n1 1 * * * x\n", ["x"]),
        ("PYCROND_LOCK=cluster:\nPYCROND_LOCK=a\n1 1 * * * x\n", ["x"]),
        ("#: timeout=soon lock='a b'\n1 1 * * * x\n", ["x"]),
    ],
)
def test_other_entries_run(text: str, commands: list[str]) -> None:
    assert [entry.command for entry in read(text).entries] == commands


@pytest.mark.parametrize(
    "text",
    [
        *("#: name=a on=one", "#: name=a on=one:db overlap=queue", "#: on=db overlap=replace"),
        *("#: lock=cluster:b overlap=replace", "#: name=a on=one on-partition=run node-loss=rerun"),
        "PYCROND_ON=one\n#: name=a",
        "#: on=one\n#: on=every",
        "#: on=one on=",
    ],
)
@pytest.mark.parametrize("cluster", [None, SharedIdentity(), CLUSTER])
def test_combinations_that_are_possible(text: str, cluster: SharedIdentity | None) -> None:
    table = read(f"{text}\n1 1 * * * x\n", cluster)
    assert (len(table.entries), table.problems) == (1, ())


def test_the_options_of_an_entry_do_not_make_the_next_one_an_error() -> None:
    table = read("#: name=a on=one\n1 1 * * * x\n1 1 * * * y\n")
    assert [entry.options.is_shared for entry in table.entries] == [True, False]


ENTRIES = [f"#: name=j{number} on=one\n~ H * * * command{number}" for number in range(20)]


def schedules(
    lines: list[str], cluster: SharedIdentity | None = CLUSTER, seed: str = "machine"
) -> list[object]:
    return [entry.schedule for entry in read("\n".join(lines) + "\n", cluster, seed).entries]


def test_shared_jobs_draw_the_same_on_all_machines_whatever_their_command() -> None:
    drawn = schedules(ENTRIES)
    assert drawn == schedules(ENTRIES, seed="another machine")
    assert drawn == schedules([entry.replace("command", "changed") for entry in ENTRIES])
    assert len(set(drawn)) > 15
    assert drawn != schedules(ENTRIES, CLUSTER._replace(name="staging"))


@pytest.mark.parametrize("cluster", [None, SharedIdentity()])
def test_without_a_known_cluster_they_draw_as_any_other_job(cluster: SharedIdentity | None) -> None:
    plain = [entry.replace(" on=one", "") for entry in ENTRIES]
    assert schedules(ENTRIES, cluster) == schedules(plain)


def test_other_jobs_draw_by_their_machine() -> None:
    plain = [entry.replace("on=one", "on=db lock=cluster:b") for entry in ENTRIES]
    assert schedules(plain) == schedules(plain, None) != schedules(plain, seed="another machine")


@pytest.mark.parametrize(
    ("text", "cluster", "zone"),
    [
        ("#: name=a on=one\n1 1 * * * x", CLUSTER, "Asia/Tokyo"),
        ("#: name=a on=one:db\n@daily x", CLUSTER, "Asia/Tokyo"),
        ("CRON_TZ=Europe/Berlin\n#: name=a on=one\n1 1 * * * x", CLUSTER, "Europe/Berlin"),
        ("CRON_TZ=\n#: name=a on=one\n1 1 * * * x", CLUSTER, "Asia/Tokyo"),
        ("#: name=a on=one\n@every 90m x", CLUSTER, "UTC"),
        ("#: name=a on=db\n1 1 * * * x", CLUSTER, None),
        ("#: name=a on=one\n1 1 * * * x", SharedIdentity(), None),
        ("#: name=a on=one\n1 1 * * * x", None, None),
    ],
)
def test_shared_jobs_follow_the_time_zone_of_the_cluster(
    text: str, cluster: SharedIdentity | None, zone: str | None
) -> None:
    (entry,) = read(text + "\n", cluster).entries
    assert entry.zone == zone


def test_a_time_zone_of_the_cluster_that_this_machine_does_not_know() -> None:
    table = read("#: name=a on=one\n1 1 * * * x\n1 1 * * * y\n", SharedIdentity("prod", "Mars/Phobos"))
    assert [entry.command for entry in table.entries] == ["y"]
    assert [(problem.line, problem.code) for problem in table.problems] == [(2, "bad-zone")]
    assert "Mars/Phobos" in table.problems[0].message
