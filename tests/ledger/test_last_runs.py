"""The consecutive failures of a job, and the run that the ledger records as its last."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pycrond.cli.data.job_status import NO_STANDING
from pycrond.jobs.run import Cause, Fire, Outcome, Reason, State
from pycrond.ledger import last_runs
from pycrond.ledger.reader import Reader
from pycrond.ledger.rows import GapRow, StandingRow
from pycrond.ledger.schema import MIGRATIONS
from pycrond.ledger.writer import Ledger
from tests.conftest import jobs_of
from tests.ledger.test_writer import rows

NOON = datetime(2025, 6, 10, 12, tzinfo=UTC)
JOB = "#: name=report\n* * * * * true\n"
KEY = "root/report"
ROWS = "SELECT key, run, failing_since, failures, passed, skipped, missed FROM last_runs"
OVERLAP = Cause.of(Reason.OVERLAP, "run 1 still runs")


class Runs:
    """A ledger with a job that is due each minute, and the results of its fires."""

    def __init__(self, directory: Path) -> None:
        self.ledger = Ledger(str(directory / "ledger"))
        self.ledger.load(rows(JOB), [], NOON)
        self.reader = Reader(str(directory))
        self.minute = 0

    def add(self, state: str, attempt: int = 1) -> None:
        """Record the next fire, or another attempt of the last one."""
        self.minute += attempt == 1
        at = NOON + timedelta(minutes=self.minute)
        wall = int(at.timestamp()) // 60
        if state in {"missed", "unknown-gap"}:
            kind = State.MISSED if state == "missed" else State.UNKNOWN
            gap = GapRow(
                KEY,
                at.timestamp(),
                wall,
                0,
                0,
                kind,
                Reason.DAEMON_DOWN,
                "",
                at.timestamp(),
                at.timestamp(),
                3,
            )
            self.ledger.pass_over([gap])
            return
        (run,) = self.ledger.claim([Fire(jobs_of(JOB)[0], at, wall, attempt=attempt)])
        assert run is not None
        if state == "skipped":
            self.ledger.settle([(run, OVERLAP)], State.SKIPPED, at)
        elif state == "withdrawn":
            self.ledger.settle([(run, OVERLAP)], State.KILLED, at)
        elif state != "claimed":
            self.ledger.started([(run, 9, 9, at, 0.0)])
            if state != "running":
                self.ledger.finished([(run, Outcome(State(state)), at, 1.0)])

    def standing(self) -> StandingRow:
        return self.reader.standings().get(KEY, NO_STANDING)

    def last(self) -> int | None:
        return max((run.id for run in self.reader.last_runs().values()), default=None)


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Runs]:
    runs = Runs(tmp_path)
    yield runs
    runs.reader.close()
    runs.ledger.close()


@pytest.mark.parametrize("state", ["failed", "killed", "lost", "unknown"])
def test_a_success_on_another_node_ends_a_failure_until_the_next(runs: Runs, state: str) -> None:
    runs.add(state)
    later = (NOON + timedelta(minutes=1, seconds=30)).timestamp()
    runs.ledger.file.write_durably(last_runs.succeeded_elsewhere([(KEY, later)]))
    standing = runs.standing()
    assert (standing.failing_since, standing.failures, standing.elsewhere_at) == (None, 0, later)
    runs.add("skipped")
    assert runs.standing().elsewhere_at == later
    runs.add("failed")
    assert (runs.standing().failures, runs.standing().elsewhere_at) == (1, None)


@pytest.mark.parametrize("state", ["failed", "timed-out", "lost", "unknown"])
def test_a_success_on_another_node_ends_no_later_failure(runs: Runs, state: str) -> None:
    runs.add("failed")
    runs.add(state)
    earlier = (NOON + timedelta(minutes=1, seconds=30)).timestamp()
    runs.ledger.file.write_durably(last_runs.succeeded_elsewhere([(KEY, earlier)]))
    assert (runs.standing().failures, runs.standing().elsewhere_at) == (2, None)


def test_a_run_that_began_earlier_fails_after_a_success_on_another_node(runs: Runs) -> None:
    at = NOON + timedelta(minutes=1)
    first, second = (runs.ledger.claim([Fire(jobs_of(JOB)[0], at, 0, attempt=n)])[0] or 0 for n in (1, 2))
    for run in (second, first):
        runs.ledger.finished([(run, Outcome(State.FAILED), at, 1.0)])
        if run == second:
            later = (at + timedelta(seconds=1)).timestamp()
            runs.ledger.file.write_durably(last_runs.succeeded_elsewhere([(KEY, later)]))
            assert runs.standing().elsewhere_at == later
    assert (runs.standing().failures, runs.standing().elsewhere_at) == (1, None)


@pytest.mark.parametrize(
    ("states", "last", "failures", "passed"),
    [
        ("failed skipped running skipped", 1, 1, (2, 0)),
        ("failed failed skipped failed running", 4, 3, (0, 0)),
        ("succeeded missed", 1, 0, (0, 3)),
        ("skipped skipped", None, 0, (2, 0)),
        ("failed timed-out lost unknown", 4, 4, (0, 0)),
        ("failed killed", 2, 1, (0, 0)),  # killed: neither a failure nor a success
        ("failed withdrawn", 1, 1, (0, 0)),  # withdrawn: not a run
        ("failed killed succeeded", 3, 0, (0, 0)),
        ("succeeded unknown-gap", 2, 3, (0, 0)),
        ("failed failed succeeded failed", 4, 1, (0, 0)),
    ],
)
def test_the_last_run_is_the_last_that_ended(
    runs: Runs, states: str, last: int | None, failures: int, passed: tuple[int, int]
) -> None:
    for state in states.split():
        runs.add(state)
    standing = runs.standing()
    assert (runs.last(), standing.failures, (standing.skipped, standing.missed)) == (last, failures, passed)
    first = (NOON + timedelta(minutes=1)).timestamp()
    assert (standing.failing_since is not None) == (failures > 0)
    if states.startswith("failed") and failures and "succeeded" not in states:
        assert standing.failing_since == first


def test_retries_are_one_failure(runs: Runs) -> None:
    for state, attempt in (("failed", 1), ("failed", 2), ("failed", 1), ("failed", 2), ("failed", 3)):
        runs.add(state, attempt)
    assert (runs.standing().failures, runs.last()) == (2, 5)
    runs.add("succeeded", 4)
    assert (runs.standing().failures, runs.standing().failing_since) == (0, None)


def test_fires_skipped_while_the_last_run_went_on_stand_beside_it(runs: Runs) -> None:
    runs.add("running")
    runs.add("skipped")
    runs.ledger.finished([(1, Outcome(State.FAILED, exit_status=1), NOON, 540.0)])
    assert (runs.last(), runs.standing().skipped, runs.standing().passed) == (1, 1, 2)


def test_of_runs_that_overlap_the_one_that_began_last_is_the_last(runs: Runs) -> None:
    for state in ("running", "running", "skipped"):
        runs.add(state)
    for run, state in ((2, State.SUCCEEDED), (1, State.FAILED)):
        runs.ledger.finished([(run, Outcome(state), NOON, 1.0)])
    assert (runs.last(), runs.standing().failures, runs.standing().skipped) == (2, 1, 1)


def test_a_run_that_was_folded_is_still_the_last(runs: Runs) -> None:
    for _ in range(3):
        runs.add("failed")
    runs.ledger.file.db.execute("DELETE FROM runs WHERE id > 1")
    assert runs.reader.last_runs()[KEY].id == 1


@pytest.mark.parametrize("seed", range(8))
def test_the_migration_counts_as_the_writer_does(runs: Runs, seed: int) -> None:
    chosen = random.Random(seed)
    states = [
        "failed",
        "failed",
        "timed-out",
        "succeeded",
        "skipped",
        "missed",
        "killed",
        "withdrawn",
        "unknown-gap",
    ]
    for _ in range(25):
        runs.add(chosen.choice(states))
    runs.add(chosen.choice(["claimed", "running", "skipped"]))
    db = runs.ledger.file.db
    written = db.execute(ROWS).fetchall()
    db.execute("DROP TABLE last_runs")
    db.executescript(next(text for text in MIGRATIONS if "CREATE TABLE last_runs" in text))
    assert db.execute(ROWS).fetchall() == written


def test_a_job_that_is_to_succeed_regularly_is_overdue(runs: Runs) -> None:
    db, since = runs.ledger.file.db, NOON.timestamp()
    db.execute(
        "INSERT INTO health (key, since, succeeded_at, expect) VALUES (?, ?, ?, 60)", (KEY, since, since + 5)
    )
    db.execute("INSERT INTO health (key, since, expect) VALUES ('root/gone', ?, 60)", (since,))
    db.execute("INSERT INTO health (key, since) VALUES ('root/other', ?)", (since,))
    assert [(row.key, row.loaded, row.overdue_at - since) for row in runs.reader.expected()] == [
        ("root/gone", 0, 60.0),
        (KEY, 1, 65.0),
    ]
