"""The ledger, written and read: claims, runs, versions of jobs, damaged files, crashes and readers."""

import os
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pycrond.errors import Problem, PycrondError
from pycrond.jobs.run import Cause, Fire, Outcome, Reason, State
from pycrond.ledger.codec import JobRows
from pycrond.ledger.database import check_version
from pycrond.ledger.pauses import Pauses
from pycrond.ledger.reader import Reader
from pycrond.ledger.rows import FileRows, PauseRow
from pycrond.ledger.schema import MIGRATIONS
from pycrond.ledger.writer import Ledger
from pycrond.schedule.timezone import MINUTE
from tests.conftest import jobs_of
from tests.scheduler.test_agenda import at

NOON = at("2025-06-10T12:00Z")
SECOND = timedelta(seconds=1)
EVERY, HOURLY, BOOT = jobs_of("#: name=one\n* * * * * x\n#: name=two\n5 * * * * y\n#: name=boot\n@reboot z\n")


def fire(number: int = 0, /, **changed: object) -> Fire:
    """Return a fire of `EVERY`, `number` minutes after noon."""
    plain = Fire(EVERY, NOON + number * MINUTE, 1000 + number)
    return plain._replace(**changed)  # type: ignore[arg-type]


def rows(*texts: str) -> list[FileRows]:
    """Return the jobs of the file `test` and, with a second text, of the file `other`."""
    files = zip(("/etc/crontabs/test", "/etc/crontabs/other"), texts, strict=False)
    return [FileRows(file, text, JobRows(jobs_of(text, file=file), "UTC")) for file, text in files]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = Ledger(str(tmp_path / "ledger"))
    ledger.begin(42, "0.1.0", "boot/1", "", NOON)
    yield ledger
    ledger.close()


@pytest.fixture
def reader(ledger: Ledger, tmp_path: Path) -> Iterator[Reader]:
    reader = Reader(str(tmp_path))
    yield reader
    reader.close()


def claim(ledger: Ledger, *fires: Fire) -> list[int]:
    """Claim fires that were not claimed before; return their runs."""
    runs = [run for run in ledger.claim(fires) if run is not None]
    assert len(runs) == len(fires)
    return runs


# Claims


def test_a_fire_is_claimed_once(ledger: Ledger) -> None:
    assert ledger.claim([fire(0), fire(1)]) == [1, 2]
    assert ledger.claim([fire(1), fire(2), fire(0)]) == [None, 3, None]
    assert ledger.claim([fire(3), fire(3)]) == [4, None]
    assert ledger.claim([]) == []


@pytest.mark.parametrize(
    ("changes", "is_same", "why"),
    [
        ({}, True, "the same fire"),
        ({"at": NOON + 30 * MINUTE}, True, "the instant does not name a fire: a clock change may move it"),
        ({"trigger": "catch-up"}, True, "the trigger does not name a fire either"),
        ({"wall": 1001}, False, "another minute"),
        ({"fold": 1}, False, "the minute that comes twice when a clock is set back"),
        ({"era": 1}, False, "the clock was turned back"),
        ({"job": HOURLY}, False, "another job"),
    ],
)
def test_a_fire_is_named_by_its_job_minute_fold_and_era(
    ledger: Ledger, changes: dict[str, object], is_same: bool, why: str
) -> None:
    claim(ledger, fire())
    assert (ledger.claim([fire(0, **changes)]) == [None]) is is_same, why


def test_claims_survive_a_restart(ledger: Ledger, tmp_path: Path) -> None:
    claim(ledger, fire(0), fire(1))
    ledger.close()
    reopened = Ledger(str(tmp_path / "ledger"))
    assert reopened.claim([fire(1), fire(2)]) == [None, 3]
    reopened.close()


def test_a_cancelled_claim_can_be_made_again(ledger: Ledger) -> None:
    first, second = claim(ledger, fire(0), fire(1))
    ledger.cancel([second])
    assert claim(ledger, fire(1)) == [3], "no number is used twice"
    assert ledger.claim([fire(0)]) == [None]
    assert first == 1


def test_numbers_of_cancelled_runs_stay_used_over_a_restart(ledger: Ledger, tmp_path: Path) -> None:
    ledger.cancel(claim(ledger, fire(0), fire(1)))
    ledger.close()
    reopened = Ledger(str(tmp_path / "ledger"))
    assert reopened.claim([fire(0)]) == [3]
    reopened.close()


def test_a_run_that_was_started_cannot_be_cancelled(ledger: Ledger) -> None:
    (run,) = claim(ledger, fire())
    ledger.started([(run, 1, 2, NOON, 0.0)])
    ledger.cancel([run])
    assert ledger.claim([fire()]) == [None]


def test_reboot_jobs_are_claimed_once_for_each_boot(ledger: Ledger) -> None:
    boot = Fire(BOOT, NOON, None, trigger="reboot")
    boot_of_every = Fire(EVERY, NOON, None, trigger="reboot")
    assert ledger.claim([boot, boot_of_every], "boot/1") == [1, 2]
    assert ledger.claim([boot], "boot/1") == [None]
    assert ledger.claim([boot, boot_of_every], "boot/2") == [3, 4]
    assert ledger.claim([boot], "boot/1") == [None]


def test_a_boot_without_reboot_jobs_is_recorded(ledger: Ledger) -> None:
    assert ledger.claim([], "boot/1") == []
    assert ledger.claim([Fire(BOOT, NOON, None, trigger="reboot")], "boot/1") == [None]


def test_claims_are_all_or_nothing(ledger: Ledger, reader: Reader) -> None:
    with pytest.raises(AttributeError):
        ledger.claim([fire(0), None])  # type: ignore[list-item]
    assert reader.history(None, 10) == []
    assert len(claim(ledger, fire(0))) == 1


# Runs


def test_a_run_is_recorded_from_its_claim_to_its_end(ledger: Ledger, reader: Reader) -> None:
    ledger.load(rows("#: name=one\n* * * * * x\n"), [], NOON)
    (run,) = claim(ledger, fire(fold=1))
    (row,) = reader.history(None, 10)
    assert (row.id, row.key, row.name, row.fire) == (run, "root/one", "one", NOON.timestamp())
    assert (row.state, row.trigger, row.attempt, row.pid) == ("claimed", "schedule", 1, None)
    assert [run.state for run in reader.unfinished()] == ["claimed"]
    ledger.started([(run, 123, 456, NOON + SECOND / 4, 250.0)])
    (row,) = reader.unfinished()
    assert (row.state, row.pid, row.started_at, row.lateness_ms) == (
        "running",
        123,
        NOON.timestamp() + 0.25,
        250.0,
    )
    assert reader.last_runs() == {}
    end = Outcome(State.FAILED, Cause(Reason.START_FAILED, "why"), signal=9, cpu_s=0.5, max_rss_kb=1000)
    ledger.finished([(run, end, NOON + SECOND, 0.75)])
    (row,) = reader.history(None, 10)
    assert (row.state, row.reason, row.exit_status, row.signal) == ("failed", "why", None, 9)
    assert (row.cpu_s, row.max_rss_kb, row.ended_at, row.duration_s) == (
        0.5,
        1000,
        NOON.timestamp() + 1,
        0.75,
    )
    assert reader.last_runs() == {"root/one": row}
    assert reader.unfinished() == []
    ledger.delivered({run: (100, (60, 1), (60, 1))})
    assert reader.history(None, 10)[0].bytes == 100


def test_the_last_run_is_the_latest_that_has_ended(ledger: Ledger, reader: Reader) -> None:
    ledger.load(rows("#: name=one\n* * * * * x\n#: name=two\n5 * * * * y\n"), [], NOON)
    first, second, third = claim(ledger, fire(0), fire(1), fire(2))
    ledger.finished([(run, Outcome(State.SUCCEEDED, exit_status=0), NOON, 1.0) for run in (first, second)])
    ledger.started([(third, 9, 9, NOON, 0.0)])
    assert {key: run.id for key, run in reader.last_runs().items()} == {"root/one": second}
    assert [run.id for run in reader.unfinished()] == [third]


def test_history_lists_the_latest_runs_first(ledger: Ledger, reader: Reader) -> None:
    claim(ledger, *(fire(n, job=(EVERY, HOURLY)[n % 2]) for n in range(6)))
    assert [run.id for run in reader.history(None, 4)] == [6, 5, 4, 3]
    assert [run.id for run in reader.history(["root/one"], 10)] == [5, 3, 1]
    assert [run.id for run in reader.history(["root/one", "root/two"], 3)] == [6, 5, 4]
    assert [run.id for run in reader.runs([2])] == [2]
    assert reader.runs([99]) == []
    assert reader.history([], 10) == []
    assert reader.history(None, 0) == []


@pytest.mark.parametrize(
    ("filters", "runs", "why"),
    [
        ({}, [6, 5, 4, 3, 2, 1], ""),
        ({"states": ("lost", "running")}, [4, 3], "any of these states"),
        ({"until": 60}, [3, 2, 1], "due before that time"),
        (
            {"since": 60},
            [6, 5, 4, 3, 2],
            "due at that time or later, or not over by then: run 2 ended then, run 3 is running",
        ),
        ({"since": 61}, [6, 5, 3], "row 5 stands for fires up to 200"),
        ({"since": 150, "until": 160}, [5, 3], "in the time of a folded row or of a running run"),
        ({"states": ("succeeded",), "since": 0, "until": 60}, [2, 1], "states and times"),
    ],
)
def test_history_filters_runs_by_state_and_time(
    ledger: Ledger, tmp_path: Path, filters: dict[str, Any], runs: list[int], why: str
) -> None:
    ledger.load(rows("#: name=one\n* * * * * x\n"), [], NOON)
    ledger.file.db.executemany(
        "INSERT INTO runs (key, fire, fold, era, trigger, attempt, state, ended_at, until)"
        " VALUES ('root/one', ?, 0, 0, 'schedule', 1, ?, ?, ?)",
        [
            (0, "succeeded", 10, None),
            (20, "succeeded", 60, None),
            (40, "running", None, None),
            (60, "lost", None, None),
            (100, "missed", 300, 200),
            (300, "failed", 301, None),
        ],
    )
    for user, visible in ((None, runs), ("root", runs), ("roo", [])):
        with closing(Reader(str(tmp_path), user)) as reader:
            assert [run.id for run in reader.history(None, 10, **filters)] == visible, why
            assert [run.id for run in reader.history(["root/one"], 10, **filters)] == visible
            assert reader.history(["root/two"], 10, **filters) == []


@pytest.mark.parametrize(
    ("durations", "median"),
    [
        ([], None),
        ([3], 3),
        ([3, 1], 2),
        ([9, 3, 1], 3),
        ([-1, -1, 5], 5),
        ([-1], None),
        ([1000, *[1] * 19, 7, 7], 1),
        ([5, *[-1] * 20], None),
    ],
)
def test_the_median_of_a_job_is_that_of_its_latest_succeeded_runs(
    ledger: Ledger, reader: Reader, durations: list[float], median: float | None
) -> None:
    """The latest 20 runs that have a duration count; -1 stands for a failed run."""
    ledger.load(rows("#: name=one\n* * * * * x\n#: name=two\n* * * * * y\n"), [], NOON)
    ledger.file.db.executemany(
        "INSERT INTO runs (key, fire, fold, era, trigger, attempt, state, duration_s)"
        " VALUES ('root/one', 0, 0, 0, 'schedule', 1, ?, ?)",
        [("failed" if seconds < 0 else "succeeded", seconds) for seconds in durations],
    )
    expected = {} if median is None else {"root/one": median}
    assert reader.medians() == reader.medians(["root/two", "root/one", "root/x"]) == expected
    assert reader.medians(["root/two"]) == reader.medians([]) == {}


def test_the_unfinished_runs_are_open_or_not_delivered(ledger: Ledger) -> None:
    ledger.load(rows("#: name=one\n* * * * * x\n"), [], NOON)
    claimed, running, undelivered, delivered, half = claim(ledger, *(fire(n) for n in range(5)))
    ledger.started([(run, 100 + run, 7, NOON, 0.0) for run in (running, undelivered, delivered, half)])
    end = Outcome(State.FAILED, Cause(Reason.START_FAILED, "why"), exit_status=3, cpu_s=0.5, max_rss_kb=9)
    ledger.finished([(run, end, NOON, 1.5) for run in (undelivered, delivered, half)])
    ledger.delivered({delivered: (10, (10, 3), (10, 3)), half: (10, (4, 1), (4, 1))})
    unfinished = ledger.unfinished()
    assert [(row.id, row.state, row.pid) for row in unfinished] == [
        (claimed, "claimed", None),
        (running, "running", 102),
        (undelivered, "failed", 103),
        (half, "failed", 105),
    ]
    job = ledger.jobs.job(unfinished[0].key)
    assert job
    assert (job.user, job.command) == ("root", "x")
    assert (
        unfinished[3].delivered,
        unfinished[3].stage,
        unfinished[3].duration_s,
        unfinished[3].pid_start,
    ) == (4, 1, 1.5, 7)
    assert unfinished[3].outcome() == end


def test_a_run_whose_job_is_removed_can_be_unfinished(ledger: Ledger) -> None:
    claim(ledger, fire())
    assert [row.key for row in ledger.unfinished()] == ["root/one"]
    assert ledger.jobs.job("root/one") is None


# Jobs


def versions(ledger: Ledger) -> list[tuple[str, str, float, float | None]]:
    """Return key, command, since and until; the times are in minutes after noon."""
    rows = ledger.file.db.execute(
        "SELECT key, command, since, until FROM job_versions ORDER BY id"
    ).fetchall()
    return [
        (key, text, (since - NOON.timestamp()) / 60, until and (until - NOON.timestamp()) / 60)
        for key, text, since, until in rows
    ]


def test_jobs_are_listed_in_the_order_of_files_and_lines(ledger: Ledger, reader: Reader) -> None:
    ledger.load(rows("* * * * * x\n#: name=b timeout=5m\n1 * * * * y\n@reboot z\n"), [], NOON)
    assert [(job.name, job.command, job.line) for job in reader.jobs()] == [
        (None, "x", 1),
        ("b", "y", 3),
        (None, "z", 4),
    ]
    assert [bool(job.canonical) for job in reader.jobs()] == [True, True, False]
    ledger.load(list(reversed(rows("* * * * * x\n", "@reboot z\n"))), [], NOON)
    assert [job.command for job in reader.jobs()] == ["z", "x"], (
        "in the order of the files, not of their names"
    )


def test_the_versions_of_a_job_record_from_when_to_when_it_was_due(ledger: Ledger, reader: Reader) -> None:
    texts = [
        "#: name=a\n* * * * * x\n",
        "#: name=a\n* * * * * x\n",  # the same: nothing is written
        "\n\n#: name=a\n* * * * * x\n",  # moved to another line: the same job
        "#: name=a\n* * * * * changed\n",
        "",
        "#: name=a\n* * * * * back\n",
    ]
    for minute, text in enumerate(texts):
        ledger.load(rows(text), [], NOON + minute * MINUTE)
    assert versions(ledger) == [
        ("root/a", "x", 0, 3),
        ("root/a", "changed", 3, 4),
        ("root/a", "back", 5, None),
    ]
    assert [job.command for job in reader.jobs()] == ["back"]


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        ("#: name=a\n*/1 * * * * x\n", False),  # the same minutes, written in another way
        ("#: name=a\n*/2 * * * * x\n", True),
        ("#: name=a timeout=5m\n* * * * * x\n", True),
        ("CRON_TZ=Asia/Tokyo\n#: name=a\n* * * * * x\n", True),
        ("#: name=a\n* * * * * x%y\n", False),
    ],
)
def test_a_job_whose_meaning_changes_gets_a_new_version(ledger: Ledger, text: str, changed: bool) -> None:
    ledger.load(rows("#: name=a\n* * * * * x\n"), [], NOON)
    ledger.load(rows(text), [], NOON + MINUTE)
    assert len(versions(ledger)) == 1 + changed


def test_a_job_that_moves_to_another_file_is_the_same_job(ledger: Ledger, reader: Reader) -> None:
    first, second = "#: name=a\n* * * * * x\n", "#: name=b\n* * * * * y\n"
    for minute, texts in enumerate([(first + second, ""), ("", first + second), (second, first), (first,)]):
        ledger.load(rows(*texts), [], NOON + minute * MINUTE)
    assert versions(ledger) == [("root/a", "x", 0, None), ("root/b", "y", 0, 3)]
    assert [(job.key, job.file) for job in reader.jobs()] == [("root/a", "/etc/crontabs/test")]
    assert reader.find_jobs("b") == ["root/b"], "a removed job is found too"


def test_the_next_daemon_writes_only_the_files_that_changed(ledger: Ledger, tmp_path: Path) -> None:
    texts = "".join(f"{n} * * * * x{n}\n" for n in range(50)), "* * * * * y\n"
    ledger.load(rows(*texts), [], NOON)
    reopened = Ledger(str(tmp_path / "ledger"))
    before = reopened.file.db.total_changes
    reopened.load(rows(texts[0], "* * * * * z\n"), [], NOON + MINUTE)
    assert reopened.file.db.total_changes - before < 10
    assert [text for _, text, since, _ in versions(reopened) if since == 1] == ["z"]
    reopened.close()


def test_an_unchanged_load_writes_no_job(ledger: Ledger) -> None:
    text = "".join(f"{n} * * * * x{n}\n" for n in range(50))
    ledger.load(rows(text), [], NOON)
    before = ledger.file.db.total_changes
    ledger.load(rows(text), [], NOON + MINUTE)
    assert ledger.file.db.total_changes - before == 1, "only the time of the load is written"


def test_the_problems_are_those_of_the_last_load(ledger: Ledger, reader: Reader) -> None:
    problems = [Problem("/b", 2, 3, "error", "c", "m"), Problem("/a", 0, 0, "warning", "d", "n\nx")]
    ledger.load([], problems, NOON)
    assert reader.problems() == problems
    ledger.load([], [], NOON)
    assert reader.problems() == []


def test_a_load_that_fails_changes_nothing(ledger: Ledger, reader: Reader) -> None:
    ledger.load(rows("* * * * * x\n"), [], NOON)
    with pytest.raises(sqlite3.IntegrityError):
        ledger.load([rows("* * * * * y\n")[0]._replace(stamp=None)], [], NOON)  # type: ignore[arg-type]
    assert [job.command for job in reader.jobs()] == ["x"]
    ledger.load(rows("* * * * * z\n"), [], NOON)
    assert [job.command for job in reader.jobs()] == ["z"]


@pytest.mark.parametrize(
    ("word", "keys"),
    [
        ("nightly", ["root/nightly"]),
        ("root/nightly", ["root/nightly"]),
        ("night", ["root/nightly", "root/nightwatch"]),
        ("/etc/crontabs/test:2", ["root/nightly"]),
        ("test:4", ["root/nightwatch"]),
        ("root", []),
        ("root/", []),
        ("root/g", ["root/gone"]),
        ("gone", ["root/gone"]),
        ("nobody", []),
    ],
)
def test_a_word_means_jobs_by_name_key_or_line(
    ledger: Ledger, reader: Reader, word: str, keys: list[str]
) -> None:
    ledger.load(rows("#: name=gone\n9 * * * * x\n"), [], NOON)
    ledger.load(rows("#: name=nightly\n* * * * * x\n#: name=nightwatch\n* * * * * y\n"), [], NOON)
    assert reader.find_jobs(word) == keys


def test_only_pauses_in_force_are_listed(ledger: Ledger, reader: Reader) -> None:
    noon = NOON.timestamp()
    Pauses(ledger.file, NOON).pause(["root/one", "root/two"], noon + 60, "cleaning", NOON)
    Pauses(ledger.file, NOON).pause(["root/three"], None, "", NOON)
    Pauses(ledger.file, NOON).resume(["root/two"], NOON)
    unlimited = PauseRow("root/three", noon, None, "")
    assert reader.pauses(noon + 59) == [PauseRow("root/one", noon, noon + 60, "cleaning"), unlimited]
    assert reader.pauses(noon + 60) == [unlimited]


# Daemons and clocks


def test_the_start_and_stop_of_each_daemon_are_recorded(ledger: Ledger, reader: Reader) -> None:
    ledger.load([], [], NOON + SECOND)
    ledger.ready(NOON + 2 * SECOND)
    row = reader.daemon()
    assert row is not None
    start = NOON.timestamp()
    assert tuple(row) == (42, "0.1.0", start, start + 2, start + 1, None)
    ledger.stop(NOON + 3 * SECOND)
    assert reader.daemon() == row._replace(stopped_at=start + 3)
    ledger.begin(43, "0.2.0", "boot/1", "signal 9", NOON + MINUTE)
    row = reader.daemon()
    assert row is not None
    assert (row.pid, row.ready_at, row.stopped_at) == (43, None, None)


def test_a_change_of_the_clock_is_recorded(ledger: Ledger) -> None:
    ledger.clock_event("step", -3600.5, NOON)
    assert ledger.file.db.execute("SELECT at, kind, moved FROM clock_events").fetchall() == [
        (NOON.timestamp(), "step", -3600.5)
    ]


# The file


def test_only_the_owner_may_read_the_files(ledger: Ledger, tmp_path: Path) -> None:
    claim(ledger, fire())
    for file in tmp_path.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file.name


@pytest.mark.parametrize(
    "text", [b"nonsense " * 1000, b"SQLite format 3\0" + b"\xff" * 5000], ids=["text", "head"]
)
def test_a_damaged_file_is_set_aside_unchanged(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "ledger").write_bytes(text)
    with pytest.raises(PycrondError, match=f"ledger {tmp_path}/ledger"):
        Reader(str(tmp_path))
    ledger = Ledger(str(tmp_path / "ledger"))
    error, _, path = ledger.file.set_aside.partition("; it is kept as ")
    assert "file is not a database" in error
    assert Path(path).read_bytes() == text
    assert claim(ledger, fire()) == [1]
    ledger.close()


def test_a_truncated_file_is_set_aside(ledger: Ledger, tmp_path: Path) -> None:
    claim(ledger, *(fire(n) for n in range(500)))
    ledger.stop(NOON)
    ledger.close()
    os.truncate(tmp_path / "ledger", 8192)
    new = Ledger(str(tmp_path / "ledger"))
    assert new.file.set_aside
    assert claim(new, fire()) == [1]
    new.close()


def test_a_ledger_of_a_newer_pycrond_is_set_aside(ledger: Ledger, tmp_path: Path) -> None:
    ledger.file.db.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    path = str(tmp_path / "ledger")
    with pytest.raises(PycrondError, match="from a newer pycrond") as error:
        check_version(path)
    assert f"is of version {len(MIGRATIONS) + 1}" in str(error.value)
    new = Ledger(path)
    assert new.file.set_aside.startswith(str(error.value))
    check_version(path)
    new.close()


@pytest.mark.parametrize("path", ["gone/ledger", "directory"])
def test_a_path_that_cannot_be_a_ledger_is_an_error(tmp_path: Path, path: str) -> None:
    (tmp_path / "directory").mkdir()
    with pytest.raises(PycrondError, match="ledger"):
        Ledger(str(tmp_path / path))


def test_an_empty_file_is_a_new_ledger(tmp_path: Path) -> None:
    (tmp_path / "ledger").touch()
    ledger = Ledger(str(tmp_path / "ledger"))
    assert ledger.claim([fire()]) == [1]
    ledger.close()


def test_a_reader_needs_a_ledger_with_tables(tmp_path: Path) -> None:
    with pytest.raises(PycrondError, match="there is no ledger at"):
        Reader(str(tmp_path))
    (tmp_path / "ledger").touch()
    with pytest.raises(PycrondError, match="cannot read ledger"):
        Reader(str(tmp_path))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: another user's ledger")
@pytest.mark.parametrize(
    ("directory_mode", "mode", "error"),
    [
        (
            0o700,
            0o644,
            "permission denied (only root and the daemon's own user may; for your own jobs, list,",
        ),
        (
            0o755,
            0o600,
            "permission denied (only root and the daemon's own user may; for your own jobs, list,",
        ),
        (0o755, None, "there is no ledger at"),
    ],
)
def test_a_ledger_that_a_user_may_not_read_is_not_missing(
    directory_mode: int, mode: int | None, error: str
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        if mode is not None:
            Ledger(f"{directory}/ledger").close()
            os.chmod(f"{directory}/ledger", mode)
        os.chmod(directory, directory_mode)
        assert error in as_nobody(lambda: Reader(directory))


def as_nobody(act: Callable[[], object]) -> str:
    """Return the error that an act raises in a process of another user."""
    reader, writer = os.pipe()
    if not (pid := os.fork()):
        os.setuid(65534)
        try:
            act()
        except PycrondError as raised:
            os.write(writer, str(raised).encode())
        finally:
            os._exit(0)
    os.close(writer)
    os.waitpid(pid, 0)
    with open(reader, encoding="utf-8") as stream:
        return stream.read()


@pytest.mark.parametrize("name", ["a b", "a?mode=rw", "50%", "a#b", "%2e", "caf\u00e9"])
def test_a_reader_finds_any_path(tmp_path: Path, name: str) -> None:
    directory = tmp_path / name
    directory.mkdir()
    ledger = Ledger(str(directory / "ledger"))
    claim(ledger, fire())
    reader = Reader(str(directory))
    assert len(reader.history(None, 10)) == 1
    reader.close()
    ledger.close()


# Readers and writers at the same time


def test_a_reader_sees_each_claim_at_once(ledger: Ledger, reader: Reader) -> None:
    for number in range(50):
        claim(ledger, fire(2 * number), fire(2 * number + 1))
        assert len(reader.history(None, 1000)) == 2 * number + 2


def test_a_reader_does_not_wait_for_a_write_that_is_under_way(ledger: Ledger, reader: Reader) -> None:
    claim(ledger, fire())
    with ledger.file._transaction():
        ledger.file.db.execute("DELETE FROM runs")
        assert len(reader.history(None, 10)) == 1, "the reader neither waits nor sees half of the write"
    assert reader.history(None, 10) == []


def test_a_reader_does_not_delay_checkpoints(ledger: Ledger, reader: Reader, tmp_path: Path) -> None:
    log = tmp_path / "ledger-wal"
    for number in range(100):
        claim(ledger, *(fire(20 * number + n) for n in range(20)))
        reader.history(None, 10)
        ledger.file.maintain()
    assert log.stat().st_size < 8 << 20
    ledger.stop(NOON)
    assert log.stat().st_size == 0


def test_the_ledger_can_be_read_while_no_daemon_runs(ledger: Ledger, tmp_path: Path) -> None:
    claim(ledger, fire())
    ledger.stop(NOON)
    ledger.close()
    assert sorted(os.listdir(tmp_path)) == ["ledger", "ledger-reserve"]
    reader = Reader(str(tmp_path))
    assert len(reader.history(None, 10)) == 1
    reader.close()


def test_checkpoints_keep_the_log_small(ledger: Ledger, tmp_path: Path) -> None:
    """The writes of a job that runs once a minute: each step of each run is a transaction of its own."""
    for number in range(400):
        (run,) = claim(ledger, fire(number))
        ledger.started([(run, 1, 1, NOON, 0.0)])
        ledger.delivered({run: (0, (0, 1), (0, 1))})
        ledger.finished([(run, Outcome(State.SUCCEEDED, exit_status=0), NOON, 1.0)])
        ledger.delivered({run: (0, (0, 3), (0, 3))})
        ledger.file.maintain()
    assert (tmp_path / "ledger-wal").stat().st_size < 8 << 20


# A crash at any instant

WRITES = """
import sys
import tempfile
from datetime import datetime, timedelta, timezone
from pycrond.ledger.writer import Ledger
from pycrond.ledger.pauses import Pauses
from pycrond.jobs.run import Fire, Outcome, State
from tests.ledger.test_writer import MINUTE, NOON, fire
ledger = Ledger(sys.argv[1])
for number in range(int(sys.argv[2]), 1 << 30):
    runs = ledger.claim([fire(3 * number + n) for n in range(3)])
    ledger.started([(run, run, run, NOON, 0.0) for run in runs])
    ledger.finished([(run, Outcome(State.SUCCEEDED, exit_status=0), NOON, 1.0) for run in runs[1:]])
    print(number, flush=True)
    ledger.file.maintain()
"""


def test_claims_survive_a_kill_of_the_writer(tmp_path: Path) -> None:
    path = str(tmp_path / "ledger")
    done = 0
    for _ in range(3):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITES, path, str(done)], stdout=subprocess.PIPE, cwd=os.getcwd()
        )
        assert writer.stdout
        with writer.stdout:
            for line in writer.stdout:
                if int(line) >= done + 15:
                    break
            writer.send_signal(signal.SIGKILL)
            numbers = [int(line), *map(int, writer.stdout.read().split())]
        writer.wait()
        ledger = Ledger(path)
        for number in range(done, numbers[-1] + 1):
            assert ledger.claim([fire(3 * number + n) for n in range(3)]) == [None] * 3, number
        assert ledger.file.db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        groups = ledger.file.db.execute("SELECT count(*) FROM runs GROUP BY wall / 3, state").fetchall()
        assert {size for (size,) in groups} <= {1, 2, 3}
        assert ledger.file.db.execute("SELECT count(*) % 3 FROM runs").fetchone() == (0,), (
            "each claim is written as a whole"
        )
        ledger.close()
        done = numbers[-1] + 2


def test_a_daemon_that_was_killed_has_no_stop_time(tmp_path: Path) -> None:
    def begin(now: datetime) -> Ledger:
        ledger = Ledger(str(tmp_path / "ledger"))
        ledger.begin(1, "v", "b", "", now)
        return ledger

    begin(NOON).close()
    ledger = begin(NOON + MINUTE)
    ledger.stop(NOON + 2 * MINUTE)
    stops = ledger.file.db.execute("SELECT stopped_at FROM daemons ORDER BY id").fetchall()
    assert stops == [(None,), ((NOON + 2 * MINUTE).timestamp(),)]
    ledger.close()


def test_work_that_cannot_be_written_leaves_the_queue_and_the_mode_as_they_were(ledger: Ledger) -> None:
    """A write without rows drops no queued write; a failure does not leave the durable mode on."""
    ledger.file.trouble, ledger.file._retry_at = "database or disk is full", float("inf")
    ledger.clock_event("step", 5.0, NOON)
    ledger.file.write()
    ledger.file.write(("DELETE FROM problems WHERE line = ?", []))
    assert not ledger.file.write_durably()
    assert len(ledger.file._pending) == 1
    ledger.file._retry_at = 0.0
    with pytest.raises(sqlite3.ProgrammingError):
        ledger.file.write_durably(("DELETE FROM problems WHERE line = ?", [(1, 2)]))
    assert ledger.file.db.execute("PRAGMA synchronous").fetchone() == (1,)
    ledger.file.maintain()
    assert ledger.file.db.execute("SELECT count(*) FROM clock_events").fetchone() == (1,)
