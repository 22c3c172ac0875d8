"""The delay of retries, as a table."""

from datetime import UTC, datetime

import pytest

from pycrond.jobs.run import Fire, Outcome, State
from pycrond.runs.retries import retry_in
from tests.conftest import jobs_of

AT = datetime(2025, 6, 10, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("options", "attempt", "end", "least"),
    [
        ("", 1, Outcome(State.FAILED), None),
        ("retries=2", 1, Outcome(State.FAILED), 60),
        ("retries=2", 2, Outcome(State.FAILED), 120),
        ("retries=2", 3, Outcome(State.FAILED), None),
        ("retries=2 retry-delay=30s", 1, Outcome(State.TIMED_OUT), 30),
        ("retries=2", 1, Outcome(State.SUCCEEDED), None),
        ("retries=2", 1, Outcome(State.KILLED), None),
        ("retries=2", 1, Outcome(State.LOST), None),
        ("retries=1000", 900, Outcome(State.FAILED), 3600),
        ("retries=2 retry-delay=0", 1, Outcome(State.FAILED), 0),
    ],
)
def test_the_delay_of_a_retry_doubles_with_each_attempt(
    options: str, attempt: int, end: Outcome, least: float | None
) -> None:
    (job,) = jobs_of(f"#: name=job {options}\n* * * * * true\n")
    failed = Fire(job, AT, 0, attempt=attempt)
    delay = retry_in(failed.job.entry.options, failed, end)
    if least is None:
        assert delay is None
    else:
        assert delay is not None
        assert least <= delay <= least * 1.1
        assert delay == retry_in(failed.job.entry.options, failed, end), "the same delay after a restart"
