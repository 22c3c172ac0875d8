"""The options of a job, as the cluster sees them."""

from datetime import UTC, datetime, timedelta

import pytest

from pycrond.cluster.fire import Policy
from pycrond.cluster.shared_jobs import claim_of, cluster_name, digest_of, label_of, policy_of
from pycrond.crontab.parser import parse
from pycrond.jobs.job import Job, make_jobs
from pycrond.jobs.run import Fire

AT = datetime(2025, 6, 10, 12, tzinfo=UTC)
MINUTE = int(AT.timestamp()) // 60


def job(options: str, command: str = "true") -> Job:
    text = f"#: name=job {options}\n* * * * * {command}\n"
    (made,) = make_jobs(parse(text.encode(), "f").entries, "me")
    return made


@pytest.mark.parametrize(
    ("options", "name", "label", "policy", "locks", "flags"),
    [
        ("on=one", "me/job", None, Policy(), (), (False, False)),
        ("on=one:db", "me/job", "db", Policy(), (), (False, False)),
        ("on=one node-loss=rerun", "me/job", None, Policy(confirms=True), (), (True, False)),
        ("on=one on-partition=run", "me/job", None, Policy(runs_in_partition=True), (), (False, False)),
        ("on=one overlap=skip", "me/job", None, Policy(confirms=True), ("overlap:me/job",), (False, False)),
        ("on=one overlap=queue", "me/job", None, Policy(confirms=True), ("overlap:me/job",), (False, True)),
        ("on=one lock=cluster:x", "me/job", None, Policy(confirms=True), ("lock:me/x",), (False, True)),
        ("on=every lock=cluster:x", "me/job@a", None, Policy(confirms=True), ("lock:me/x",), (False, True)),
        (
            "on=every lock=cluster:global:x",
            "me/job@a",
            None,
            Policy(confirms=True),
            ("lock:global:x",),
            (False, True),
        ),
        (
            "on=db lock=cluster:x overlap=queue",
            "me/job@a",
            "db",
            Policy(confirms=True),
            ("lock:me/x",),
            (False, True),
        ),
        ("on=one lock=x", "me/job", None, Policy(), (), (False, False)),  # of this machine
    ],
)
def test_the_options_are_what_the_cluster_is_asked_for(
    options: str,
    name: str,
    label: str | None,
    policy: Policy,
    locks: tuple[str, ...],
    flags: tuple[bool, bool],
) -> None:
    made = job(options)
    assert cluster_name(made, "a") == name
    assert label_of(made) == label
    claim = claim_of(Fire(made, AT, MINUTE), "run", "a", AT.timestamp())
    assert claim[:5] == (name, MINUTE, 0, "run", AT.timestamp())
    assert claim.locks == locks
    assert (claim.rerun, claim.waits) == flags
    assert policy_of(made) == policy


@pytest.mark.parametrize(
    ("start", "now", "within"), [(0, -1, 30), (0, 5, 35), (1_800, 0, 1_830), (1_800, 1_850, 1_880)]
)
def test_a_fire_is_given_away_until_half_a_minute_after_its_start(
    start: int, now: int, within: float
) -> None:
    fire = Fire(job("on=one"), AT, MINUTE, start_at=AT + timedelta(seconds=start))
    assert claim_of(fire, "run", "a", AT.timestamp() + now).within == within


def test_the_digest_tells_whether_two_nodes_share_the_same_jobs() -> None:
    one, other, own = job("on=one"), job("on=one", "false"), job("on=every")
    assert digest_of([one, own]) == digest_of([one])
    assert digest_of([one]) != digest_of([other])
    assert digest_of([one]) != digest_of([job("on=one:db")])
    assert digest_of([]) == digest_of([own])
