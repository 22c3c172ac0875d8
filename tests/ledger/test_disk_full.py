"""A full disk and a damaged ledger: jobs run on time, and runs that could not be recorded become unknown."""

import contextlib
import os
import sqlite3
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pycrond import clock
from pycrond.cli.health import Status, judge
from pycrond.daemon.commands import Commands
from tests.support.loop import Loop


@pytest.fixture
def filler(loop: Loop, tmpfs: Path) -> Iterator[Path]:
    """Return a file that can fill the small file system of the state directory."""
    subprocess.run(["mount", "-o", "remount,size=768k", str(tmpfs)], check=True)
    loop.settings = replace(loop.settings, state_dir=str(tmpfs))
    loop.state = tmpfs
    yield tmpfs / "filler"
    loop.release()


def fill(filler: Path) -> None:
    """Fill the file system with this file."""
    with open(filler, "ab", buffering=0) as file:
        for size in (4096, 512, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(b"x" * size)


def test_jobs_run_on_a_full_disk_and_are_recorded_when_there_is_room(loop: Loop, filler: Path) -> None:
    loop.begin("* * * * * echo $PYCROND_FIRE_TIME >>ran; exit 3\n")
    fill(filler)
    loop.minutes(3)
    ran = loop.directory / "ran"
    loop.until(lambda: ran.exists() and len(ran.read_text().split()) == 3)
    loop.until(lambda: not loop.daemon.subsystems.runs.active.count)
    assert any("cannot write the ledger" in text for text in loop.log.details("ERROR"))
    assert loop.daemon.subsystems.ledger.file.has_pending
    answer = Commands(loop.daemon.subsystems, clock.now()).answer({"command": "status"}, 0)
    health = judge(answer, clock.now().timestamp(), 60.0)
    assert (health.status, health.text) == (
        Status.DISK,
        "the ledger cannot be written (database or disk is full)",
    )
    filler.unlink()
    loop.until(lambda: not loop.daemon.subsystems.ledger.file.has_pending)
    assert [(run.state, run.exit_status) for run in loop.runs()] == [("failed", 3)] * 3
    loop.until(lambda: "the ledger is written again" in loop.log.details("INFO"))


def test_runs_that_were_not_recorded_when_the_daemon_died_are_unknown_and_not_repeated(
    loop: Loop, filler: Path
) -> None:
    loop.begin("* * * * * echo $PYCROND_FIRE_TIME >>ran\n#: name=later\n0 0 * * * true\n")
    loop.minutes(1)
    loop.settle()
    fill(filler)
    loop.minutes(3)
    ran = loop.directory / "ran"
    loop.until(lambda: len(ran.read_text().split()) == 4)
    loop.release()  # killed
    filler.unlink()
    loop.begin()
    loop.turn()
    first, unknown = loop.runs()
    assert first.state == "succeeded"
    assert (unknown.state, unknown.folded, unknown.until) == ("unknown", 3, unknown.fire + 120)
    assert unknown.reason == "disk-full: the run could not be recorded"
    loop.minutes(1)
    loop.until(lambda: len(ran.read_text().split()) == 5)
    fires = ran.read_text().split()
    assert len(set(fires)) == 5, "no fire ran twice"


def test_the_next_daemon_knows_an_end_that_came_while_the_disk_was_full(loop: Loop, filler: Path) -> None:
    loop.begin("* * * * * while ! test -e go; do sleep 0.02; done; exit 3\n")
    loop.minutes(1)
    loop.until(lambda: [run.state for run in loop.runs()] == ["running"])
    fill(filler)
    (loop.directory / "go").touch()
    loop.until(lambda: not loop.daemon.subsystems.runs.active.count)
    loop.release()  # killed
    filler.unlink()
    loop.begin()
    loop.settle()
    assert [(run.state, run.exit_status) for run in loop.runs()] == [("failed", 3)]


def test_each_fire_is_recorded_once_on_a_disk_that_is_full_repeatedly(loop: Loop, filler: Path) -> None:
    loop.begin("* * * * * true\n")
    for _ in range(3):
        fill(filler)
        loop.minutes(2)
        loop.until(lambda: not loop.daemon.subsystems.runs.active.count)
        filler.unlink()
        loop.until(lambda: not loop.daemon.subsystems.ledger.file.has_pending)
        fill(filler)
        loop.minutes(2)
        loop.release()  # killed
        filler.unlink()
        loop.begin()
        loop.turn()
    scheduled = {run for (run,) in loop.query("SELECT id FROM runs WHERE wall NOT NULL")}  # no adopted runs
    rows = [run for run in loop.runs() if run.id in scheduled]
    fires = [run.fire for run in rows]
    assert [run.state for run in rows] == ["succeeded", "succeeded", "unknown"] * 3
    assert [fire - fires[0] for fire in fires] == [0, 60, 120, 240, 300, 360, 480, 540, 600]
    assert [run.folded for run in rows] == [None, None, 2] * 3


def test_runs_that_were_not_recorded_share_no_number_and_no_output_with_later_runs(
    loop: Loop, filler: Path
) -> None:
    job = "echo $PYCROND_FIRE_TIME; while ! test -e go; do sleep 0.02; done; echo end $PYCROND_FIRE_TIME"
    loop.begin(f"* * * * * {job}\n")
    fill(filler)
    loop.minutes(2)
    loop.until(lambda: loop.daemon.subsystems.runs.active.count == 2)
    loop.release()  # killed
    filler.unlink()
    loop.begin()
    loop.minutes(1)
    (loop.directory / "go").touch()
    fires = [f"2025-06-10T12:0{minute}:00Z" for minute in (1, 2, 3)]
    loop.until(lambda: len(loop.log.details("CMDOUT")) == 6)
    assert sorted(loop.log.details("CMDOUT")) == sorted([*fires, *(f"end {fire}" for fire in fires)])
    loop.settle()
    runs = sorted((run.state, run.bytes) for run in loop.runs())
    assert runs == [*[("succeeded", 46)] * 3, ("unknown", 0)], (
        "the runs were adopted, their fires are unknown"
    )
    assert not os.listdir(loop.directory / "run" / "fifo")


@pytest.mark.parametrize("damage", ["text", "torn", "newer"])
def test_a_ledger_that_cannot_be_used_is_set_aside(loop: Loop, damage: str) -> None:
    loop.begin("@reboot echo x >>booted\n* * * * * echo hello\n")
    loop.minutes(2)
    loop.settle()
    if damage == "newer":
        loop.query("PRAGMA user_version = 99")
    loop.release()
    ledger = loop.state / "ledger"
    if damage == "text":
        ledger.write_bytes(b"nonsense " * 1000)
    elif damage == "torn":
        for end in ("-wal", "-shm"):
            (loop.state / f"ledger{end}").unlink(missing_ok=True)
        os.truncate(ledger, ledger.stat().st_size // 2)
    loop.begin()
    loop.minutes(1)
    loop.settle()
    (message,) = loop.log.details("ERROR")
    damaged = Path(message.partition("it is kept as ")[2].partition(";")[0])
    assert damaged.exists()
    (run,) = loop.runs()
    assert (run.state, run.bytes) == ("succeeded", 6), "the number was not used before"
    assert run.id > 1000
    loop.stop()
    loop.begin()
    loop.settle()
    assert (loop.directory / "booted").read_text() == "x\n", (
        "the checkpoint knows that the @reboot jobs have run"
    )


def test_a_ledger_that_is_damaged_under_a_running_daemon_is_replaced(loop: Loop) -> None:
    loop.begin("* * * * * echo hello\n")
    loop.minutes(1)
    loop.settle()
    with open(loop.state / "ledger", "r+b") as file:
        file.write(b"\xff" * 40960)
    (loop.state / "ledger-wal").unlink()
    loop.release()
    loop.begin()
    loop.minutes(1)
    loop.settle()
    assert [run.state for run in loop.runs()][-1] == "succeeded"


def test_a_new_ledger_has_the_running_runs(loop: Loop) -> None:
    """The environment of a process identifies its run; its output and its end are recorded."""
    loop.begin("#: name=long\n1 12 * * * echo a; while [ ! -e go ]; do sleep 0.02; done; echo b; exit 4\n")
    loop.minutes(1)
    loop.until(lambda: loop.log.details("CMDOUT") == ["a"])
    (before,) = loop.runs()
    loop.release()
    (loop.state / "ledger").write_bytes(b"nonsense " * 1000)
    loop.begin()
    (run,) = loop.runs()
    assert (run.id, run.key, run.fire, run.pid) == (before.id, before.key, before.fire, before.pid)
    assert run.state == "running"
    (loop.directory / "go").touch()
    loop.settle()
    (run,) = loop.runs()
    assert (run.state, run.exit_status) == ("failed", 4)
    assert loop.log.details("CMDOUT")[-1] == "b"


@pytest.mark.parametrize(
    "forged",
    [
        "FIRE_TIME=x",
        "FIRE_TIME=9999-12-31T23:59:59+99:00",
        "ATTEMPT=y",
        f"ATTEMPT={'9' * 30}",
        "JOB=daemon/backup",
    ],
)
def test_a_process_cannot_write_in_another_name_to_a_new_ledger(loop: Loop, forged: str) -> None:
    command = f"exec env PYCROND_{forged} sh -c 'echo a; while [ ! -e go ]; do sleep 0.02; done'"
    loop.begin(f"#: name=forger\n1 12 * * * {command}\n")
    loop.minutes(1)
    loop.until(lambda: loop.log.details("CMDOUT") == ["a"])
    loop.release()
    (loop.state / "ledger").write_bytes(b"nonsense " * 1000)
    loop.begin()
    assert loop.runs() == []
    (loop.directory / "go").touch()
    loop.settle()


def test_a_daemon_starts_and_runs_jobs_on_a_full_disk(loop: Loop, filler: Path) -> None:
    loop.begin("* * * * * echo $PYCROND_FIRE_TIME >>ran\n")
    loop.minutes(1)
    loop.settle()
    loop.stop()
    fill(filler)
    loop.begin()
    loop.minutes(2)
    ran = loop.directory / "ran"
    loop.until(lambda: len(ran.read_text().split()) == 3)
    loop.settle()
    filler.unlink()
    loop.until(lambda: not loop.daemon.subsystems.ledger.file.has_pending)
    assert [run.state for run in loop.runs()] == ["succeeded"] * 3


def test_a_statement_that_fails_loses_no_queued_work(loop: Loop, filler: Path) -> None:
    loop.begin("0 0 1 1 * true\n")
    file = loop.daemon.subsystems.ledger.file
    fill(filler)
    boots = [(f"boot {number}",) for number in range(3)]
    file.write(("INSERT INTO boots (boot) VALUES (?)", boots))
    assert file.has_pending
    file.write()
    filler.unlink()
    file._retry_at = 0.0
    with pytest.raises(sqlite3.IntegrityError):
        file.write(("INSERT INTO boots (boot) VALUES (?)", boots[:1]))
    loop.until(lambda: not file.has_pending)
    assert len(loop.query("SELECT boot FROM boots WHERE boot LIKE 'boot %'")) == len(boots)
