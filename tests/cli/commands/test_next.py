"""The commands next, explain and why."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pycrond.cli import describe
from pycrond.crontab import expression, parser
from pycrond.jobs.job import make_jobs
from pycrond.ledger.codec import JobRows
from pycrond.ledger.rows import FileRows
from pycrond.ledger.writer import Ledger
from tests.conftest import pycrond

GAP = "2026-03-29"


def document(directory: Path, *arguments: str, status: int = 0) -> dict[str, Any]:
    answer = json.loads(pycrond(directory, *arguments, "--json", status=status).stdout)
    return dict(answer)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A state directory in which three jobs are loaded."""
    text = b"#: name=night\n30 2 * * *\ttrue\n#: name=boot\n@reboot true\n#: name=never\n0 0 31 2 * true\n"
    load(tmp_path, text, "Europe/Berlin")
    return tmp_path


def load(directory: Path, text: bytes, zone: str) -> None:
    """Make a ledger in which the jobs of a crontab are loaded."""
    ledger = Ledger(str(directory / "ledger"))
    made = make_jobs(parser.parse(text, "/etc/jobs").entries, "me")
    ledger.begin(1, "0", "b", "", datetime(2026, 1, 1, tzinfo=UTC))
    ledger.load([FileRows("/etc/jobs", "", JobRows(made, zone))], (), datetime(2026, 1, 1, tzinfo=UTC))
    ledger.close()


def test_an_expression_from_a_time_to_a_time(tmp_path: Path) -> None:
    words = ["next", "30 2 * * *", "--tz", "Europe/Berlin", "--from", GAP, "--until", "2026-03-31"]
    answer = document(tmp_path, *words)
    assert (answer["from"], answer["until"], answer["zone"]) == (
        "2026-03-28T23:00:00Z",
        "2026-03-30T22:00:00Z",
        "Europe/Berlin",
    )
    assert answer["jobs"] == [
        {
            "key": None,
            "name": None,
            "display_name": None,
            "file": None,
            "line": None,
            "schedule": "30 2 * * *",
            "fires": ["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"],
        }
    ]


@pytest.mark.parametrize(
    ("since", "first"),
    [("2026-01-01T12:00Z", "12:00"), ("2026-01-01T12:00:01Z", "12:01"), ("2026-01-01T11:59:59Z", "12:00")],
)
def test_from_is_inclusive(tmp_path: Path, since: str, first: str) -> None:
    fires = document(tmp_path, "next", "*", "*", "*", "*", "*", "--from", since)["jobs"][0]["fires"]
    assert (len(fires), fires[0]) == (5, f"2026-01-01T{first}:00Z")


def test_two_fires_moved_to_one_instant_are_listed_twice(tmp_path: Path) -> None:
    words = ["next", "0,30 2 * * *", "--tz", "Europe/Berlin", "--from", GAP, "--count", "2"]
    assert document(tmp_path, *words)["jobs"][0]["fires"] == ["2026-03-29T01:00:00Z"] * 2


def test_the_loaded_jobs(directory: Path) -> None:
    rows = document(directory, "next", "--from", GAP, "--count", "1")["jobs"]
    assert [(row["name"], row["fires"]) for row in rows] == [
        ("night", ["2026-03-29T01:00:00Z"]),
        ("boot", []),
        ("never", []),
    ]
    (only,) = document(directory, "next", "night", "--count", "1")["jobs"]
    assert (only["key"], only["file"], only["line"]) == ("me/night", "/etc/jobs", 2)
    lines = pycrond(directory, "next", "night", "boot", "never").stdout.splitlines()
    assert len(lines) == 1 + 5 + 2
    assert lines[-2].split() == ["at", "boot", "boot", "@reboot"]
    assert "no job is called 'nobody'" in pycrond(directory, "next", "nobody", status=1).stderr


def test_the_next_fires_of_all_jobs_the_soonest_first(tmp_path: Path) -> None:
    text = b"#: name=often\n*/20 * * * * a\n30 12 * * * /opt/rare.sh\n@reboot c\n0 0 1 1 * d\n"
    load(tmp_path, text, "UTC")
    since = ["--from", "2026-06-01T11:50Z"]
    lines = pycrond(tmp_path, "next", *since, "--count", "5").stdout.splitlines()
    assert [line.split()[2] for line in lines[1:]] == ["12:00", "12:20", "12:30", "12:40", "13:00"]
    named = [re.search(r"(often|rare\.sh~\w{4}) ", line) for line in lines[1:]]
    assert [match and match[1][:5] for match in named] == ["often", "often", "rare.", "often", "often"]
    assert len(pycrond(tmp_path, "next", *since).stdout.splitlines()) == 1 + 10
    until = pycrond(tmp_path, "next", *since, "--until", "2026-06-01T13:00Z").stdout.splitlines()
    assert until[1:] == lines[1:-1]
    jobs = document(tmp_path, "next", *since, "--count", "3")["jobs"]
    assert [len(job["fires"]) for job in jobs] == [2, 1, 0, 0]
    assert jobs[1]["display_name"].startswith("rare.sh~")


def test_a_file_gives_a_row_for_each_line_in_order(tmp_path: Path) -> None:
    lines = ["0 5 * * * a", "0 0 31 2 * b", "@reboot c", "CRON_TZ=Asia/Tokyo", "0 4 * * * d"]
    (tmp_path / "jobs").write_text("\n".join(lines) + "\n")
    rows = document(tmp_path, "next", "--file", "jobs", "--from", "2026-01-01T00:00Z", "--count", "1")["jobs"]
    assert [(row["file"], row["line"], row["fires"]) for row in rows] == [
        ("jobs", 1, ["2026-01-01T05:00:00Z"]),
        ("jobs", 2, []),
        ("jobs", 3, []),
        ("jobs", 5, ["2026-01-01T19:00:00Z"]),
    ]


def test_the_good_lines_of_a_file_with_errors(tmp_path: Path) -> None:
    (tmp_path / "jobs").write_text("61 * * * * a\n0 5 * * * b\n")
    done = pycrond(tmp_path, "next", "--file", "jobs", "--json", status=1)
    assert len(json.loads(done.stdout)["jobs"]) == 1
    assert done.stderr == "jobs:1:1: error: bad minute '61' (0-59)\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["next", "0 25 * * *"], "bad hour '25' (0-23)\n    0 25 * * *\n      ^\n"),
        (["next", "* * * * *", "--from", "soon"], "bad time 'soon' (as in "),
        (["next", "* * * * *", "--tz", "Mars/Phobos"], "Mars/Phobos"),
        (["next", "--file", "nothing"], "not read: No such file or directory"),
        (["explain", "@reboot"], "@reboot names no times"),
    ],
)
def test_words_that_cannot_be_parsed(tmp_path: Path, words: list[str], message: str) -> None:
    done = pycrond(tmp_path, *words, status=1)
    assert done.stderr.startswith("pycrond: ")
    assert message in done.stderr


@pytest.mark.parametrize(
    ("text", "words", "rule"),
    [
        ("0 0 13 * 5", "at 00:00, on day 13 of the month or on Friday", "OR: neither begins with *"),
        ("0 0 13 * *", "at 00:00, on day 13 of the month", "day-of-month alone decides"),
        ("0 0 * * 5", "at 00:00, on Friday", "day-of-week alone decides"),
        ("0 0 13 * */2", None, "AND: day-of-week begins with *"),
        (
            "*/5 9-17 * * mon-fri",
            "every 5 minutes, between 09:00 and 17:59, Monday through Friday",
            "day-of-week",
        ),
        ("@every 90m", "every 90 minutes, counted from 1970-01-01 00:00 UTC", ""),
        ("0 0 31 2 *", "never", "day-of-month"),
        ("@daily", "at 00:00, every day", "every day"),
        ("0 0 L * *", "at 00:00, on the last day of the month", "day-of-month alone"),
    ],
)
def test_words(text: str, words: str | None, rule: str) -> None:
    if words:
        assert describe.words(expression.parse_schedule(text)) == words
    assert describe.day_rule(text).startswith(rule)


def test_explain(tmp_path: Path) -> None:
    lines = pycrond(
        tmp_path, "explain", "30", "2", "*", "*", "*", "--tz", "Europe/Berlin"
    ).stdout.splitlines()
    assert lines[0] == "at 02:30, every day"
    assert any("is skipped on" in line for line in lines)
    assert len(lines) == 3 + 5


@pytest.mark.parametrize(
    ("time", "due", "wrong"),
    [
        ("2026-06-01T02:30", True, []),
        ("2026-06-01T02:31", False, ["minute"]),
        ("2026-06-01T03:30", False, ["hour"]),
        ("2026-03-29T03:00", True, ["minute", "hour"]),
    ],
)
def test_why(directory: Path, time: str, due: bool, wrong: list[str]) -> None:
    """On the night of the gap the job runs at 03:00, which none of its fields names."""
    answer = document(directory, "why", "night", time)
    assert answer["due"] is due
    assert [check["field"] for check in answer["fields"] if not check["matches"]] == wrong
    stdout = pycrond(directory, "why", "night", time).stdout
    assert ("It is due then." in stdout) is due


def test_why_shows_the_runs_of_the_ledger(directory: Path) -> None:
    ledger = Ledger(str(directory / "ledger"))
    at = datetime(2026, 6, 1, 0, 30, tzinfo=UTC)
    ledger.pass_over([_gap(at)])
    ledger.close()
    answer = document(directory, "why", "night", "2026-06-01T02:30")
    assert [(run["state"], run["reason"]) for run in answer["runs"]] == [("missed", "daemon-down: x")]
    assert "daemon-down: x" in pycrond(directory, "why", "night", "2026-06-01T02:30").stdout
    hint = "00:30 UTC, by this terminal's clock, is 02:30 CEST, and the ledger has a run:"
    stdout = pycrond(directory, "why", "night", "2026-06-01T00:30").stdout
    assert stdout.endswith(f"{hint} pycrond why night 2026-06-01T02:30\n")
    hint = "00:30 UTC, by this terminal's clock, is 02:30 CEST, and it is due then:"
    assert hint in pycrond(directory, "why", "night", "2026-06-02T00:30").stdout
    for time in ("2026-06-01T02:30", "2026-06-02T02:30", "2026-06-02T00:31", "2026-06-02T00:30Z"):
        assert "terminal" not in pycrond(directory, "why", "night", time).stdout


def _gap(at: datetime) -> Any:
    from pycrond.jobs.run import Reason, State
    from pycrond.ledger.rows import GapRow

    seconds = at.timestamp()
    cause = (Reason.DAEMON_DOWN, "daemon-down: x")
    return GapRow("me/night", seconds, 1, 0, 0, State.MISSED, *cause, seconds, seconds, 1)


def test_why_of_a_job_without_times(directory: Path) -> None:
    assert "runs at boot" in pycrond(directory, "why", "boot", "02:30", status=1).stderr


@pytest.mark.parametrize("command", ["explain", "next"])
def test_a_star_that_the_shell_has_replaced(directory: Path, command: str) -> None:
    (directory / "a.txt").touch()
    done = pycrond(directory, command, "0", "3", "a.txt", "a.txt", "a.txt", status=1)
    assert "the shell has replaced * by the names of files" in done.stderr
    assert "the shell" not in pycrond(directory, command, "0", "61", "*", "*", "*", status=1).stderr
