"""The migration of a ledger of an older version, in which a reason was only a text."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pycrond.errors import PycrondError
from pycrond.host import machine
from pycrond.jobs.run import Reason, State
from pycrond.ledger.audit import audit
from pycrond.ledger.reader import Reader
from pycrond.ledger.schema import MIGRATIONS
from pycrond.ledger.writer import Ledger

DUMP = Path(__file__).with_name("ledger_v5.sql")
"""A ledger of schema version 5: a job that is due every minute, runs in every state, a text of every kind."""
NOON = datetime(2025, 6, 10, 12, tzinfo=UTC)
MINUTES = 48  # after noon: the last minute with a verdict
EVERY = "root/every"
CODES = {
    "": Reason.NONE,
    "overlap: run 3 still runs": Reason.OVERLAP,
    "overlap: replaced by run 4": Reason.REPLACED,
    "overlap: replaced by run 9": Reason.REPLACED,
    "lock: run 3 holds db": Reason.LOCK,
    "queue-full: one waits already, overlap: run 3 still runs": Reason.QUEUE_FULL,
    "max-running: as many run as may": Reason.MAX_RUNNING,
    "paused": Reason.PAUSED,
    "paused: kill: by root, SIGTERM": Reason.PAUSED,  # the words of a user
    "within: it could not start within 90 s": Reason.WITHIN,
    "removed: the job is gone": Reason.REMOVED,
    "daemon-down: 2025-06-10 12:05 to 2025-06-10 12:08": Reason.DAEMON_DOWN,
    "daemon-down: it was held up": Reason.DAEMON_DOWN,
    "daemon-down: it died before this was started": Reason.DAEMON_DOWN,
    "claimed, and the daemon died": Reason.DAEMON_DOWN,
    "clock-step: +120 s": Reason.CLOCK_STEP,
    "suspended: 120 s": Reason.SUSPENDED,
    "disk-full: it was not written down": Reason.DISK_FULL,
    "start-failed: [Errno 24] Too many open files": Reason.START_FAILED,
    "timeout: it ran for more than 2 s": Reason.TIMEOUT,
    "kill: by root": Reason.KILL,
    "kill: by root, SIGINT": Reason.SIGNAL,
    "kill: by root, SIGTERM": Reason.SIGNAL,
    "stop --kill-jobs": Reason.STOP,
    "its exit status went to another process": Reason.STATUS_UNKNOWN,
    "the daemon died in the instant of its start": Reason.START_UNKNOWN,
}
"""The code of each text in the dump."""
RUNS = "SELECT id, state, reason, fire, until, folded, started_at, ended_at, told FROM runs ORDER BY id"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a ledger file as the older version left it."""
    with closing(sqlite3.connect(tmp_path / "ledger")) as db:
        db.executescript(DUMP.read_text())
    return tmp_path / "ledger"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    ledger = Ledger(str(path))
    yield ledger
    ledger.close()


@pytest.fixture
def reader(ledger: Ledger, path: Path) -> Iterator[Reader]:
    reader = Reader(str(path.parent))
    yield reader
    reader.close()


def test_a_command_says_what_to_do_about_an_older_ledger(path: Path) -> None:
    with pytest.raises(PycrondError, match="was written by an older pycrond: 'pycrond restart' converts it"):
        Reader(str(path.parent))


def test_the_dump_has_every_state_and_every_reason(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (5,)
        assert {state for (state,) in db.execute("SELECT state FROM runs")} == set(State)
        assert {text for (text,) in db.execute("SELECT reason FROM runs")} == CODES.keys()
    younger = {Reason.ACCOUNT, Reason.ELSEWHERE, Reason.NO_NODE, Reason.NO_DATABASE}
    assert set(CODES.values()) == set(Reason) - younger


def test_opening_the_file_migrates_it_to_the_current_version(ledger: Ledger) -> None:
    assert ledger.file.set_aside == ""
    assert ledger.file.db.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
    assert ledger.last_run == 44
    assert ledger.file.db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_each_run_gets_the_code_of_its_text_and_is_otherwise_unchanged(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        before = db.execute(RUNS).fetchall()
    with closing(Ledger(str(path)).file.db) as db:
        assert db.execute(RUNS).fetchall() == before
        for run, text, code in db.execute("SELECT id, reason, reason_code FROM runs"):
            assert Reason(code) is CODES[text], f"run {run}: {text}"


def test_a_second_start_changes_nothing(path: Path) -> None:
    rows = []
    for _ in range(2):
        with closing(Ledger(str(path)).file.db) as db:
            rows.append(db.execute("SELECT * FROM runs ORDER BY id").fetchall())
    assert rows[0] == rows[1]


def test_the_next_daemon_reads_the_runs_that_are_not_over(ledger: Ledger) -> None:
    unfinished = {row.id: row for row in ledger.unfinished()}
    assert [row.state for row in unfinished.values()] == ["waiting"] * 5 + ["claimed"] + ["running"] * 4
    assert [row.reason_code for row in unfinished.values()] == [
        *(Reason.OVERLAP, Reason.LOCK, Reason.MAX_RUNNING, Reason.DAEMON_DOWN, Reason.NONE),
        Reason.NONE,
        *(Reason.NONE, Reason.SIGNAL, Reason.KILL, Reason.TIMEOUT),
    ]
    waiting = ledger.waiting()
    assert [row.id for row in waiting] == [run for run, row in unfinished.items() if row.state == "waiting"]
    assert [row.start_at for row in waiting] == [None] * 4 + [(NOON + timedelta(minutes=90)).timestamp()]


def test_history_shows_the_old_runs(reader: Reader) -> None:
    runs = reader.history(None, 1000)
    assert [run.id for run in runs] == [*range(44, 6, -1), 5, 2, 1]
    assert {run.reason for run in runs} == CODES.keys()
    missed = reader.history([EVERY], 1000, ["missed"])
    assert [(run.id, run.folded) for run in missed] == [(32, None), (31, None), (10, 2), (8, 2), (7, 3)]


def test_the_audit_accounts_for_every_fire(reader: Reader) -> None:
    result = audit(
        reader.versions(),
        reader.verdicts(),
        reader.steps(),
        since=NOON,
        until=NOON + timedelta(minutes=MINUTES),
        zone=machine.load_zone,
    )
    assert (result.fires, result.findings) == (MINUTES, ())


@pytest.mark.parametrize(
    ("run", "row", "why"),
    [
        (12, 2, "the row that stands for the succeeded runs of the day grows"),
        (13, 5, "the row that stands for the failed runs of the day grows"),
        (32, 32, "a gap of missed fires has a reason, and stays as it is"),
        (24, 24, "a gap of skipped fires stays as it is"),
        (20, 20, "a gap of unknown fires stays as it is"),
    ],
)
def test_a_run_that_is_archived_joins_a_folded_row_and_never_a_gap(
    ledger: Ledger, run: int, row: int, why: str
) -> None:
    (old,) = (old for old in ledger.archive.old_runs(EVERY, NOON.timestamp() + 86_400, 1000) if old.id == run)
    gaps = "SELECT id, folded, fire, until, reason FROM runs WHERE folded NOT NULL AND reason_code <> ''"
    gaps_before = ledger.file.db.execute(gaps).fetchall()
    ledger.archive.fold(EVERY, [old])
    folded = ledger.file.db.execute(
        "SELECT id, until FROM runs WHERE folded NOT NULL AND reason_code = '' AND ? BETWEEN fire AND until",
        (old.fire,),
    ).fetchall()
    assert folded == [(row, old.fire)], why
    assert ledger.file.db.execute(gaps).fetchall() == gaps_before
    assert [gap[0] for gap in gaps_before] == [7, 8, 9, 10, 11]


def test_standard_output_goes_on_where_syslog_was(tmp_path: Path) -> None:
    """The older version knew only syslog; delivered runs stay delivered."""
    before = next(number for number, text in enumerate(MIGRATIONS) if "ADD COLUMN shown" in text)
    with closing(sqlite3.connect(tmp_path / "ledger")) as db:
        for text in MIGRATIONS[:before]:
            db.executescript(text)
        db.execute(f"PRAGMA user_version = {before}")
        db.executemany(
            "INSERT INTO runs (key, fire, fold, era, trigger, attempt, state, bytes, delivered, told)"
            " VALUES ('root/a', 1.0, 0, 0, 'schedule', ?, ?, 90, ?, ?)",
            [(1, "running", 40, 1), (2, "failed", 90, 2), (3, "succeeded", 90, 3), (4, "claimed", 0, 0)],
        )
        db.commit()
    with closing(Ledger(str(tmp_path / "ledger")).file.db) as db:
        assert db.execute(
            "SELECT id, delivered, told, printed, shown FROM runs WHERE told < 3"
        ).fetchall() == [(1, 40, 1, 40, 1), (2, 90, 2, 90, 2), (4, 0, 0, 0, 0)]
