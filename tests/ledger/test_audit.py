"""The audit: no findings after crashes, stops, edits and clock changes; a finding for every damage."""

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from pycrond import clock
from pycrond.host import machine
from pycrond.ledger.audit import Unaccounted, audit
from pycrond.ledger.reader import Reader
from pycrond.scheduler import checkpoint
from tests.support.loop import Loop

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
JOBS = """\
#: name=each
* * * * * true
#: name=third
*/3 * * * * true
#: name=fixed
7,19,38 12-15 * * * true
CRON_TZ=Asia/Kolkata
#: name=far
*/10 17-20 * * * true
"""
DOUBLE = """
    INSERT INTO runs (key, fire, wall, fold, era, trigger, attempt, state)
    SELECT key, fire, wall, fold, era + 1, trigger, attempt, state FROM runs WHERE id = 3
"""


def findings(loop: Loop) -> list[Unaccounted]:
    reader = Reader(str(loop.state))
    last = checkpoint.read_checkpoint(str(loop.state / "last-turn")).at
    assert last
    result = audit(
        reader.versions(), reader.verdicts(), reader.steps(), since=EPOCH, until=last, zone=machine.load_zone
    )
    reader.close()
    assert result.fires
    return list(result.findings)


def kill_and_start(loop: Loop, minutes: int) -> None:
    loop.release()
    loop.frozen.tick(timedelta(minutes=minutes))
    loop.begin()
    loop.turn()


@pytest.mark.parametrize("seed", range(4))
def test_no_findings_whatever_happens(loop: Loop, seed: int) -> None:
    chance = random.Random(seed)
    loop.begin(JOBS)
    loop.minutes(3)
    for _ in range(12):
        match chance.randrange(6):
            case 0:
                kill_and_start(loop, chance.choice([0, 1, 2, 7, 45]))
            case 1:
                loop.daemon._stop_now = True
                loop.stop()
                loop.frozen.tick(timedelta(minutes=chance.choice([0, 1, 30])))
                loop.begin()
            case 2:  # the clock is set forward
                loop.frozen.tick(timedelta(minutes=chance.choice([2, 4, 20, 100, 200])))
                loop.turn()
            case 3:
                loop.frozen.move_to(clock.now() - timedelta(minutes=chance.choice([2, 20, 60])))
                loop.turn()
            case 4:  # the crontab is edited
                loop.write(JOBS.replace("*/3", chance.choice(["*/2", "*/5", "1-20"])))
                loop.daemon.subsystems.reloader.reload(clock.now())
            case _:
                loop.minutes(chance.randrange(1, 5))
        loop.turn()
    loop.minutes(2)
    loop.settle()
    assert findings(loop) == []


def test_no_findings_after_a_power_cut_that_took_the_latest_writes_of_the_checkpoint(loop: Loop) -> None:
    """Claims are durable, the checkpoint is not: a minute after the stored one may have been processed."""
    file = loop.state / "last-turn"
    loop.begin(JOBS)
    loop.minutes(3)
    (magic, *numbers) = checkpoint.FORMAT.unpack(file.read_bytes())
    numbers[4] = b"another boot"
    loop.minutes(2)
    loop.settle()
    started = loop.query("SELECT key, fire FROM runs WHERE state = 'succeeded'")
    loop.query(
        "UPDATE runs SET state = 'claimed', pid = NULL, pid_start = NULL, started_at = NULL, ended_at = NULL, told = 0"
        " WHERE fire = (SELECT max(fire) FROM runs)"
    )  # their starts and ends are not durable
    loop.release()
    file.write_bytes(checkpoint.FORMAT.pack(magic, *numbers))
    for path in (loop.directory / "run").iterdir():
        if path.is_file():  # on a tmpfs
            path.unlink()
    loop.frozen.tick(timedelta(minutes=45))
    loop.begin()
    loop.turn()
    loop.minutes(2)
    loop.settle()
    assert findings(loop) == []
    runs = [(run.key, run.fire) for run in loop.runs() if run.state in {"succeeded", "unknown", "lost"}]
    assert all(runs.count(run) == 1 for run in started), "nothing is started twice"
    assert "lost" not in {run.state for run in loop.runs()}, "what was claimed may have run"


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        ("DELETE FROM runs WHERE id = 2", "no verdict"),
        ("UPDATE runs SET fire = fire + 30 WHERE id = 2", "a verdict without a fire"),
        (DOUBLE, "started more than once: runs 3, "),
        ("UPDATE job_versions SET until = since + 120", "a verdict without a fire"),
        ("UPDATE runs SET folded = folded + 1 WHERE folded > 1", "missed stands for"),
    ],
)
def test_damage_is_found(loop: Loop, damage: str, what: str) -> None:
    loop.begin(JOBS)
    loop.minutes(5)
    loop.settle()
    kill_and_start(loop, 90)
    loop.minutes(90)
    loop.settle()
    assert findings(loop) == []
    loop.query(damage)
    assert any(finding.what.startswith(what) for finding in findings(loop))


def test_folded_runs_are_accounted_for(loop: Loop) -> None:
    loop.settings = replace(loop.settings, keep_runs=4)
    loop.begin(
        "#: name=each retries=1 retry-delay=0\n* * * * * echo x; [ $PYCROND_FIRE_TIME \\> 2025-06-10T12:05 ]\n"
        + JOBS[30:]
    )
    for _ in range(20):
        loop.minutes(1)
        loop.settle()
    kill_and_start(loop, 90)
    for _ in range(6):
        loop.minutes(1)
        loop.settle()
    rows = [run for run in loop.runs() if run.name == "each"]
    assert len(rows) < 12
    folded = {(run.state, run.attempt > 1): run for run in rows if run.folded and not run.reason}
    assert {*folded} == {("failed", False), ("failed", True), ("succeeded", False)}
    assert folded["failed", False].folded == 4
    assert findings(loop) == []
    spools = {path.name for path in (loop.state / "spool").rglob("*.*")}
    assert spools <= {f"{run.id}.0" for run in loop.runs()}
    loop.query("UPDATE runs SET folded = folded + 1 WHERE reason = '' AND folded > 1 AND attempt = 1")
    assert findings(loop)


def test_runs_older_than_ninety_days_are_folded_and_accounted_for(loop: Loop) -> None:
    loop.begin("0 0 * * * true\n")
    for _ in range(3):
        loop.to((clock.now() + timedelta(days=1)).replace(hour=0, minute=0, second=0))
        loop.settle()
    loop.frozen.move_to(clock.now() + timedelta(days=100))
    loop.turn()
    loop.minutes(2)
    assert {(run.state, run.folded) for run in loop.runs()} >= {("succeeded", 1)}
    assert findings(loop) == []
