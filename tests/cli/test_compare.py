"""The changes between two sets of jobs."""

from datetime import UTC, datetime, timedelta

import pytest

from pycrond.cli.compare import JobChange, compare
from pycrond.crontab import parser
from pycrond.jobs.job import make_jobs
from pycrond.ledger.codec import JobRows
from pycrond.ledger.rows import JobRow

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


def rows(text: str) -> list[JobRow]:
    return list(JobRows(make_jobs(parser.parse(text.encode(), "/etc/jobs").entries, "me"), "UTC"))


def changes(before: str, after: str) -> list[JobChange]:
    return compare(rows(before), rows(after), NOON, NOON + timedelta(days=7))


@pytest.mark.parametrize(
    ("before", "after", "kind", "what", "fires"),
    [
        ("", "0 5 * * * x\n", "added", (), (7, 0)),
        ("0 5 * * * x\n", "", "removed", (), (0, 7)),
        ("", "@reboot x\n", "added", (), (0, 0)),
        ("0 5 * * * x\n", "0 6 * * * x\n", "changed", ("schedule",), (7, 7)),
        ("0 5 * * * x\n", "0 5,6 * * * x\n", "changed", ("schedule",), (7, 0)),
        ("#: name=a\n0 5 * * * x\n", "#: name=a\n0 5 * * * y\n", "changed", ("command",), (0, 0)),
        ("0 5 * * * x\n", "CRON_TZ=Asia/Tokyo\n0 5 * * * x\n", "changed", ("zone",), (7, 7)),
        ("#: name=a\n0 5 * * * x\n", "#: name=a timeout=5m\n0 5 * * * x\n", "changed", ("options",), (0, 0)),
    ],
)
def test_one_change(
    before: str, after: str, kind: str, what: tuple[str, ...], fires: tuple[int, int]
) -> None:
    (change,) = changes(before, after)
    assert (change.kind, change.differences) == (kind, what)
    assert (len(change.won), len(change.lost)) == fires, "won, lost"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", ""),
        ("0 5 * * * x\n", "# moved\n\n  0  5 * * *\tx\n"),
        ("0 5 * * * x\n1 5 * * * y\n", "1 5 * * * y\n0 5 * * * x\n"),
    ],
)
def test_no_change(before: str, after: str) -> None:
    assert changes(before, after) == []


def test_several() -> None:
    listed = changes("1 5 * * * a\n2 5 * * * b\n3 5 * * * c\n", "2 5 * * * b\n4 5 * * * c\n5 5 * * * d\n")
    assert [(change.kind, change.job.command) for change in listed] == [
        ("changed", "c"),
        ("added", "d"),
        ("removed", "a"),
    ]
