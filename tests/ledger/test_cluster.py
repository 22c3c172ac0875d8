"""The ledger's part of a cluster: this node's identity, and the states of its fires to report."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pycrond.crontab.parser import parse
from pycrond.jobs.job import make_jobs
from pycrond.jobs.run import NO_CAUSE, Cause, Fire, Outcome, Reason, State
from pycrond.jobs.shared_identity import SharedIdentity
from pycrond.ledger.cluster import KEPT_FOR, ClusterTable, OpenFire, new_uuid
from pycrond.ledger.writer import Ledger

AT = datetime(2025, 6, 10, 12, tzinfo=UTC)
NOW = AT.timestamp()
(JOB,) = make_jobs(parse(b"#: name=job on=one\n* * * * * true\n", "f").entries, "me")
FIRE = Fire(JOB, AT, int(NOW) // 60)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger(str(tmp_path / "ledger.db"))
    yield opened
    opened.close()


def begin(table: ClusterTable, fire: Fire = FIRE, *, taken_over: bool = False) -> str:
    taken = {(fire.job.key, fire.wall, fire.fold): None} if taken_over else None
    (run,) = table.begin([(fire, "me/job")], earlier_runs=taken)
    return run


def claim(ledger: Ledger, fire: Fire = FIRE) -> int:
    (number,) = ledger.claim([fire])
    assert number
    return number


def open_fires(ledger: Ledger, *, withdrawn_before: float = 0.0) -> list[OpenFire]:
    return [*ClusterTable(ledger.file).open_fires(withdrawn_before)]


def test_a_ledger_has_one_uuid(ledger: Ledger, tmp_path: Path) -> None:
    assert ClusterTable(ledger.file).node_id() == ClusterTable(ledger.file).node_id()
    again = Ledger(str(tmp_path / "ledger.db"))
    assert ClusterTable(again.file).node_id() == ClusterTable(ledger.file).node_id()
    again.close()


def test_the_cluster_is_remembered(ledger: Ledger) -> None:
    assert ClusterTable(ledger.file).identity() == SharedIdentity()
    ClusterTable(ledger.file).node_id()
    identity = SharedIdentity("ours", "Europe/Berlin")
    ClusterTable(ledger.file).remember("x", identity, "7/2")
    assert ClusterTable(ledger.file).timeline() == "7/2"
    assert ClusterTable(ledger.file).identity() == identity


def test_a_fire_keeps_its_uuid(ledger: Ledger) -> None:
    run = begin(ClusterTable(ledger.file))
    assert begin(ClusterTable(ledger.file)) == run
    assert ClusterTable(ledger.file).is_known(run)
    assert begin(ClusterTable(ledger.file), FIRE._replace(fold=1)) != run
    assert begin(ClusterTable(ledger.file), FIRE._replace(wall=1)) != run


def test_a_fire_that_is_taken_over_has_another_uuid(ledger: Ledger) -> None:
    run = begin(ClusterTable(ledger.file))
    ClusterTable(ledger.file).close([run])
    taken = begin(ClusterTable(ledger.file), taken_over=True)
    assert taken != run
    assert begin(ClusterTable(ledger.file)) == taken
    assert not ClusterTable(ledger.file).is_known(run)
    assert ClusterTable(ledger.file).count_open() == 1


def test_a_fire_keeps_its_uuid_while_the_disk_is_full(ledger: Ledger) -> None:
    """A fire that was asked for before the disk was full must not be reported under another UUID."""
    table = ClusterTable(ledger.file)
    run, file = begin(table), ledger.file
    ledger.file.db.execute("PRAGMA query_only = 1")
    late = FIRE._replace(wall=1)
    new = begin(table, late)
    assert file.has_pending
    assert (begin(table), begin(table, late)) == (run, new)
    ledger.file.db.execute("PRAGMA query_only = 0")
    file.flush()
    assert (begin(table), begin(table, late)) == (run, new)


def test_a_fire_that_is_asked_for_again_is_open_again(ledger: Ledger) -> None:
    run = begin(ClusterTable(ledger.file))
    ClusterTable(ledger.file).close([run])
    assert ClusterTable(ledger.file).count_open() == 0
    assert begin(ClusterTable(ledger.file)) == run
    assert ClusterTable(ledger.file).count_open() == 1


# States to report


def test_a_fire_without_a_run_was_withdrawn(ledger: Ledger) -> None:
    run = begin(ClusterTable(ledger.file))
    assert open_fires(ledger) == []
    (fire,) = open_fires(ledger, withdrawn_before=NOW + 1)
    assert (fire.job, fire.run, fire.state, fire.number, fire.acknowledged) == ("me/job", run, None, 0, "")


def test_the_states_of_a_run_are_told(ledger: Ledger) -> None:
    run, number = begin(ClusterTable(ledger.file)), claim(ledger)
    assert open_fires(ledger) == []
    ledger.started([(number, 1, 1, AT, 0.0)])
    assert [fire.state for fire in open_fires(ledger)] == ["running"]
    ClusterTable(ledger.file).acknowledge([(run, "running", False)])
    assert open_fires(ledger) == []
    ledger.finished([(number, Outcome(State.FAILED, exit_status=3), AT, 1.0)])
    (fire,) = open_fires(ledger)
    assert (fire.state, fire.status, fire.ended, fire.number) == ("failed", 3, NOW, number)
    ClusterTable(ledger.file).acknowledge([(run, "failed", True)])
    assert (open_fires(ledger), ClusterTable(ledger.file).count_open()) == ([], 0)


def test_a_signal_is_a_status(ledger: Ledger) -> None:
    begin(ClusterTable(ledger.file))
    ledger.finished([(claim(ledger), Outcome(State.FAILED, signal=9), AT, 1.0)])
    assert [fire.status for fire in open_fires(ledger)] == [137]


def test_what_the_database_has_lost_is_told_again(ledger: Ledger) -> None:
    run, number = begin(ClusterTable(ledger.file)), claim(ledger)
    ledger.finished([(number, Outcome(State.SUCCEEDED, exit_status=0), AT, 1.0)])
    ClusterTable(ledger.file).acknowledge([(run, "succeeded", True)])
    ClusterTable(ledger.file).reopen([(run, "claimed")])
    (fire,) = open_fires(ledger)
    assert (fire.state, fire.acknowledged) == ("succeeded", "claimed")


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        (State.FAILED, None, "claimed"),  # a retry waits
        (State.FAILED, State.SUCCEEDED, "succeeded"),
        (State.SUCCEEDED, State.SKIPPED, "succeeded"),  # the second never started: the clock was set back
        (State.UNKNOWN, State.SKIPPED, "unknown"),
        (State.SKIPPED, State.SUCCEEDED, "succeeded"),
        (State.SKIPPED, State.SKIPPED, "skipped"),
    ],
)
@pytest.mark.parametrize("kind", ["attempt", "era"])
def test_of_several_runs_the_latest_that_was_started_is_told(
    ledger: Ledger, kind: str, first: State, second: State | None, told: str
) -> None:
    begin(ClusterTable(ledger.file))
    later = FIRE._replace(attempt=2) if kind == "attempt" else FIRE._replace(era=1)
    for fire, state in ((FIRE, first), (later, second)):
        number = claim(ledger, fire)
        if state == State.SKIPPED:
            ledger.settle([(number, Cause.of(Reason.PAUSED, ""))], state, AT)
        elif state:
            ledger.finished([(number, Outcome(state, NO_CAUSE), AT, 1.0)])
    # A claim alone is not reported; the claim of a second attempt is a retry.
    expected = [] if told == "claimed" and kind == "era" else [told]
    assert [fire.state for fire in open_fires(ledger)] == expected


@pytest.mark.parametrize(
    ("state", "was_started"),
    [
        (None, True),  # claimed: it may have been started
        (State.RUNNING, True),
        (State.SUCCEEDED, True),
        (State.UNKNOWN, True),
        (State.SKIPPED, False),
        (State.MISSED, False),
        (State.WAITING, True),  # the earlier run of the two is waiting
    ],
)
def test_a_fire_that_may_have_been_started_is_known(
    ledger: Ledger, state: State | None, was_started: bool
) -> None:
    fire = FIRE._replace(start_at=AT) if state == State.WAITING else FIRE
    number = claim(ledger, fire)
    if state == State.RUNNING:
        ledger.started([(number, 1, 1, AT, 0.0)])
    elif state in {State.SKIPPED, State.MISSED}:
        ledger.settle([(number, NO_CAUSE)], state, AT)
    elif state in {State.SUCCEEDED, State.UNKNOWN}:
        ledger.finished([(number, Outcome(state, NO_CAUSE), AT, 1.0)])
    assert ClusterTable(ledger.file).was_started(FIRE, number + 1) == was_started
    assert not ClusterTable(ledger.file).was_started(FIRE, number)


def test_the_next_attempt_follows_the_last(ledger: Ledger) -> None:
    assert FIRE.wall is not None
    assert ClusterTable(ledger.file).next_attempt(JOB.key, FIRE.wall, 0) == (2, 0)
    claim(ledger, FIRE._replace(attempt=2, era=3))
    assert ClusterTable(ledger.file).next_attempt(JOB.key, FIRE.wall, 0) == (3, 3)


def test_old_rows_that_are_settled_are_deleted(ledger: Ledger) -> None:
    settled, left = begin(ClusterTable(ledger.file)), begin(ClusterTable(ledger.file), FIRE._replace(wall=1))
    ClusterTable(ledger.file).close([settled])
    ClusterTable(ledger.file).delete_old(NOW + KEPT_FOR - 1)
    assert ClusterTable(ledger.file).is_known(settled)
    ClusterTable(ledger.file).delete_old(NOW + KEPT_FOR + 1)
    assert not ClusterTable(ledger.file).is_known(settled)
    assert ClusterTable(ledger.file).is_known(left)


def test_uuids_are_of_version_4() -> None:
    runs = {new_uuid() for _ in range(100)}
    assert len(runs) == 100
    assert all(len(run) == 36 and run[14] == "4" and run[19] in "89ab" for run in runs)
