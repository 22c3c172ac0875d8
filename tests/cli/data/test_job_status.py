"""The state of jobs as `list`, `status` and `doctor` show it, of a daemon in the test's own process."""

from contextlib import closing
from pathlib import Path

from pycrond import clock
from pycrond.cli.data.access import LocalRecords
from pycrond.cli.data.job_status import JobStatus, gone_and_overdue, read_jobs
from pycrond.cli.render import job_table
from tests.conftest import ME
from tests.support.loop import Loop

JOB = "while ! test -e go; do sleep 0.01; done; rm go; exit 1"


def statuses(loop: Loop) -> dict[str | None, JobStatus]:
    with closing(LocalRecords(loop.settings)) as read:
        return {status.job.name: status for status in read_jobs(read, clock.now())}


def test_a_skipped_fire_does_not_hide_that_a_job_always_fails(loop: Loop) -> None:
    """The job takes nine minutes, is due every five, and exits with 1; after its third end, a fire is
    skipped.
    """
    loop.begin(f"#: name=report overlap=skip\n*/5 * * * * {JOB}\n")
    for _ in range(3):
        loop.minutes(9)
        Path(loop.directory, "go").touch()
        loop.until(lambda: not loop.daemon.subsystems.runs.active.count)
        loop.turn()
        loop.minutes(1)
    loop.minutes(9)
    assert [run.state for run in loop.runs()][-3:] == ["skipped", "running", "skipped"]
    status = statuses(loop)["report"]
    assert status.last and (status.last.state, status.last.exit_status) == ("failed", 1)
    assert (status.standing.failures, status.standing.skipped, len(status.running)) == (3, 2, 1)
    assert status.has_failed
    assert job_table.trouble(status, clock.now()) == "failing since 12:05, 3 times in a row"


def test_a_job_without_a_success_in_time_is_overdue_also_when_it_is_gone(loop: Loop) -> None:
    loop.begin("#: name=backup expect=1h\n0 0 * * * true\n#: name=other expect=3h\n0 0 * * * true\n")
    loop.minutes(59)
    assert not any(status.is_troubled for status in statuses(loop).values())
    loop.minutes(61)
    shown = statuses(loop)
    assert {name: status.is_troubled for name, status in shown.items()} == {"backup": True, "other": False}
    assert job_table.trouble(shown["backup"], clock.now()) == "overdue since 13:00"
    loop.write("#: name=other expect=3h\n0 0 * * * true\n")
    loop.reload()
    with closing(LocalRecords(loop.settings)) as read:
        gone = gone_and_overdue(read, clock.now())
    assert [row.key for row in gone] == [f"{ME}/backup"]


def test_missed_fires_stand_beside_the_last_run(loop: Loop) -> None:
    loop.begin("#: name=report\n* * * * * true\n")
    loop.minutes(2)
    loop.settle()
    loop.stop()
    loop.frozen.tick(3600)
    loop.begin()
    loop.turn()
    status = statuses(loop)["report"]
    assert status.last and status.last.state == "succeeded"
    assert status.is_troubled and not status.has_failed
    assert status.standing.missed > 50
