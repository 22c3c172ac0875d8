"""Fires that are due at once start in turns of their users."""

from datetime import UTC, datetime

from pycrond.jobs.run import Fire, Run
from pycrond.runs.launcher import ClaimedRun
from pycrond.scheduler.admission import _in_turns
from tests.conftest import jobs_of

NOON = datetime(2025, 6, 10, 12, 0, tzinfo=UTC)


def test_a_user_with_many_jobs_does_not_hold_up_another() -> None:
    users = ["mallory"] * 3 + ["alice"] + ["mallory"] * 2 + ["bob"]
    claims = [
        ClaimedRun(Run(number, Fire(jobs_of("* * * * * true\n", user)[0], NOON, 0)))
        for number, user in enumerate(users)
    ]
    assert [claimed.run.id for claimed in _in_turns(claims)] == [0, 3, 6, 1, 2, 4, 5]
