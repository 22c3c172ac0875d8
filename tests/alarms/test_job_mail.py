"""The contents of a mail: options and variables of the job, the ending and the facts of the run."""

from datetime import UTC, datetime

import pytest

from pycrond.alarms import job_mail
from pycrond.jobs.run import Cause, Fire, Outcome, Reason, State
from tests.conftest import jobs_of

AT = datetime(2026, 3, 29, 1, 0, tzinfo=UTC)


def fire(crontab: str) -> Fire:
    (job,) = jobs_of(crontab, "bob")
    return Fire(job, AT, 0)


@pytest.mark.parametrize(
    ("outcome", "ending"),
    [
        (Outcome(State.SUCCEEDED, exit_status=0), ""),
        (Outcome(State.FAILED, exit_status=3), "exit status 3"),
        (Outcome(State.FAILED, signal=9), "signal 9"),
        (Outcome(State.FAILED, Cause(Reason.START_FAILED, "no such shell")), "failed, no such shell"),
        (Outcome(State.KILLED, signal=15), "killed"),
        (
            Outcome(State.TIMED_OUT, Cause(Reason.TIMEOUT, "timeout after 5 s"), signal=15),
            "timed-out, timeout after 5 s",
        ),
    ],
)
def test_ending(outcome: Outcome, ending: str) -> None:
    assert job_mail.ending(outcome) == ending


def test_facts() -> None:
    outcome = Outcome(State.SUCCEEDED, exit_status=0, cpu_s=0.126, max_rss_kb=900)
    at = AT.astimezone()
    assert job_mail.facts(fire("* * * * * true\n"), outcome, AT, 2.25) == (
        ("Run", "attempt 1, schedule"),
        ("Fire time", f"{at:%F %H:%M %Z}"),
        ("Ended", f"{at:%F %H:%M:%S %Z}, exit status 0"),
        ("Took", "2.2 s"),
        ("Processor", "126 ms"),
        ("Memory", "900 kB at most"),
    )
    names = [name for name, _ in job_mail.facts(fire("* * * * * true\n"), Outcome(State.LOST), AT, None)]
    assert names == ["Run", "Fire time", "Ended"]


@pytest.mark.parametrize(
    ("variables", "to", "sender", "content_type", "encoding"),
    [
        ("", "bob", None, "", ""),
        ("MAILTO=ops\nMAILFROM=cron@example.org\n", "ops", "cron@example.org", "", ""),
        ("CONTENT_TYPE=text/html\n", "bob", None, "text/html", ""),
        ("CONTENT_TRANSFER_ENCODING=base64\n", "bob", None, "", "base64"),
    ],
)
def test_addresses_and_type(
    variables: str, to: str, sender: str | None, content_type: str, encoding: str
) -> None:
    contents = job_mail.new_mail(
        fire(f"{variables}#: name=job\n* * * * * true\n"),
        7,
        ("output", ""),
        facts=(),
        host="web1",
        variables=(),
    )
    assert (contents.to, contents.sender, contents.content_type) == (to, sender, content_type)
    assert (contents.transfer_encoding, contents.title) == (encoding, "job")
    assert (contents.name, contents.user, contents.run, contents.fire) == ("job", "bob", 7, AT.timestamp())
