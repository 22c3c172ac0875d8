"""Rows of the ledger that nobody needs any more: gone jobs that never ran, old versions, pauses that are over."""

from datetime import timedelta

from pycrond import clock
from pycrond.daemon.retention import KEPT_VERSIONS
from tests.support.loop import Loop

NEVER = "0 0 1 1 *"


def rows(loop: Loop, table: str) -> int:
    ((count,),) = loop.query(f"SELECT count(*) FROM {table}")
    return int(count)


def test_a_job_that_is_gone_and_never_ran_is_forgotten_after_an_hour(loop: Loop) -> None:
    loop.begin(f"#: name=ran\n* * * * * true\n#: name=idle\n{NEVER} true\n{NEVER} echo other\n")
    loop.minutes()
    loop.settle()
    loop.daemon.subsystems.scheduler.pauses.pause(["root/idle"], None, "", clock.now())
    loop.write(f"#: name=stays\n{NEVER} true\n")
    loop.reload()
    loop.minutes(59)
    assert rows(loop, "jobs") == 4
    loop.minutes(4)
    assert sorted(key for (key,) in loop.query("SELECT key FROM jobs")) == ["root/ran", "root/stays"]
    assert rows(loop, "job_versions") == 2
    assert rows(loop, "pauses") == 0
    assert loop.daemon.subsystems.scheduler.pauses.count(clock.now()) == 0


def test_a_job_keeps_its_latest_versions(loop: Loop) -> None:
    loop.begin(f"#: name=job\n{NEVER} echo 0\n")
    for number in range(1, KEPT_VERSIONS + 10):
        loop.write(f"#: name=job\n{NEVER} echo {number}\n")
        loop.reload()
        loop.frozen.tick(timedelta(seconds=1))
    assert rows(loop, "job_versions") == KEPT_VERSIONS + 10
    loop.minutes(2)
    assert rows(loop, "job_versions") == KEPT_VERSIONS
    ((newest,),) = loop.query("SELECT command FROM job_versions WHERE until IS NULL")
    assert newest == f"echo {KEPT_VERSIONS + 9}"


def test_a_job_that_is_paused_again_and_again_has_one_pause_more_at_most(loop: Loop) -> None:
    loop.begin(f"#: name=job\n{NEVER} true\n")
    pauses = loop.daemon.subsystems.scheduler.pauses
    for _ in range(5):
        pauses.pause(["root/job"], clock.now().timestamp() + 10, "", clock.now())
        loop.frozen.tick(timedelta(seconds=20))
    assert rows(loop, "pauses") <= 2
