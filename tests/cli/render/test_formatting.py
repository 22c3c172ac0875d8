"""Rows as text: times, durations, endings; and as JSON with the promised keys."""

import json
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from pycrond.cli.daemon_requests import Presence
from pycrond.cli.render import formatting
from pycrond.cli.render.formatting import Cell
from pycrond.errors import Problem
from pycrond.ledger import rows
from pycrond.ledger.rows import DaemonRow, PauseRow, RunRow
from pycrond.text import printable, printable_all, rfc3339

NOW = datetime(2025, 6, 10, 14, 0, 30, tzinfo=ZoneInfo("Europe/Berlin"))
RUN = RunRow(
    id=7,
    key="root/0123456789ab",
    name=None,
    fire=1749556800.0,
    trigger="schedule",
    attempt=1,
    state="succeeded",
    reason="",
    pid=123,
    started_at=1749556800.004,
    ended_at=1749556801.5,
    duration_s=1.496,
    exit_status=0,
    signal=None,
    cpu_s=0.25,
    max_rss_kb=9000,
    lateness_ms=4.0,
    bytes=12,
    until=None,
    folded=None,
)
DAEMON = DaemonRow(42, "0.1.0", 1749556700.0, 1749556701.0, 1749556702.0, None)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=NOW.tzinfo)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, None),
        (0.0, "1970-01-01T00:00:00Z"),
        (1749556800, "2025-06-10T12:00:00Z"),
        (1749556800.25, "2025-06-10T12:00:00.250Z"),
        (1743296400.0, "2025-03-30T01:00:00Z"),
    ],
)
def test_times_by_rfc_3339(seconds: float | None, text: str | None) -> None:
    assert rfc3339(seconds) == text


@pytest.mark.parametrize(
    ("moment", "text", "why"),
    [
        ("2025-06-10T23:59", "23:59", "today"),
        ("2025-06-10T00:00", "00:00", "today, past"),
        ("2025-06-11T00:00", "Wed 00:00", "tomorrow"),
        ("2025-06-16T09:05", "Mon 09:05", "within six days"),
        ("2025-06-17T09:05", "2025-06-17 09:05", "a week on the weekday would be ambiguous"),
        ("2025-06-04T09:05", "Wed 09:05", "within six days, past"),
        ("2025-06-03T09:05", "2025-06-03 09:05", "a week ago"),
        ("2024-06-10T09:05", "2024-06-10 09:05", "a year ago"),
    ],
)
def test_moments(moment: str, text: str, why: str) -> None:
    assert formatting.moment(at(moment), NOW) == text, why


def test_moments_are_in_the_reader_s_zone() -> None:
    assert formatting.moment(datetime(2025, 6, 10, 22, 30, tzinfo=UTC), NOW) == "Wed 00:30"


@pytest.mark.parametrize(
    ("changed", "cell"),
    [
        ({}, Cell("ok", "good")),
        ({"state": "running", "exit_status": None}, Cell("running", "busy")),
        ({"state": "failed", "exit_status": 3}, Cell("exit 3", "bad")),
        ({"state": "failed", "exit_status": None, "signal": 9}, Cell("signal 9", "bad")),
        ({"state": "failed", "exit_status": None, "reason": "start-failed: x"}, Cell("not started", "bad")),
        ({"state": "failed", "exit_status": 0}, Cell("exit 0", "bad")),
        ({"state": "lost"}, Cell("lost", "bad")),
        ({"state": "unknown"}, Cell("unknown", "bad")),
        ({"state": "timed-out"}, Cell("timed-out", "bad")),
        ({"state": "skipped"}, Cell("skipped")),
        ({"state": "claimed"}, Cell("claimed")),
    ],
)
def test_endings(changed: dict[str, object], cell: Cell) -> None:
    assert formatting.ending(RUN._replace(**changed)) == cell  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        ("2025-06-10T23:59", "23:59"),
        ("2025-06-16T09:05", "Mon 09:05"),
        ("2025-06-17T09:05", "17 Jun 09:05"),
        ("2025-06-03T09:05", "3 Jun 09:05"),
        ("2026-06-10T09:05", "2026-06-10"),
    ],
)
def test_brief_moments(moment: str, text: str) -> None:
    assert formatting.brief(at(moment), NOW) == text
    assert len(text) <= 12


def test_a_moment_after_a_clock_change_is_in_the_new_offset() -> None:
    fire = datetime(2025, 10, 26, 1, 15, tzinfo=UTC)
    assert formatting.brief(fire, datetime(2025, 10, 24, 12, tzinfo=NOW.tzinfo)) == "Sun 02:15"


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"", None),
        (b"\n \n", None),
        (b"one\ntwo", "two"),
        (b"one\r\n  two \r\n\n", "two"),
        (b"\x1b[31mred\xff\n", "^[[31mred\\377"),
        ("\u00fc\n".encode()[1:], "\\274"),
    ],
)
def test_the_last_line_of_an_output(data: bytes, line: str | None) -> None:
    assert formatting.last_line(data) == line


@pytest.mark.parametrize(
    ("command", "escaped"),
    [
        ("a\tb", "a b"),
        ("a\x1b[31mb", "a^[[31mb"),
        ("a\nforged", "a^Jforged"),
        ("caf\udce9", "caf\\351"),
        ("grün", "grün"),
    ],
)
def test_no_text_can_control_the_terminal(command: str, escaped: str) -> None:
    assert printable(command) == escaped
    assert printable_all([command, "end"]) == [escaped, "end"]


def test_the_head_of_a_log_line() -> None:
    assert formatting.log_head(RUN._replace(command="x"), RUN.fire + 9, NOW) == "14:00:09 x~0123 | "
    named = RUN._replace(key=f"root/{'n' * 50}", name="n" * 50)
    assert formatting.log_head(named, 0.0, NOW) == f"14:00:00 {'n' * 30} | "


# JSON: keys are added, never renamed.


def test_a_run_as_json() -> None:
    document = json.loads(json.dumps(rows.run_json(RUN)))
    needed = (
        "id key name display_name fire trigger attempt state reason pid started_at ended_at exit_status signal cpu_s"
        " max_rss_kb lateness_ms bytes until count"
    )
    assert set(needed.split()) <= set(document)
    assert (document["fire"], document["started_at"]) == ("2025-06-10T12:00:00Z", "2025-06-10T12:00:00.004Z")
    assert (document["count"], document["until"], document["exit_status"]) == (None, None, 0)
    assert "command" not in document
    assert rows.run_json(RUN._replace(folded=9, until=1749556800.0))["count"] == 9


def test_a_problem_and_a_daemon_as_json() -> None:
    problem = Problem("/f", 3, 1, "error", "bad-minute", "bad minute '61'")
    assert formatting.problem_json(problem) == {
        "file": "/f",
        "line": 3,
        "column": 1,
        "severity": "error",
        "code": "bad-minute",
        "message": "bad minute '61'",
    }
    assert formatting.daemon_json(None, Presence()) == {
        "running": False,
        "pid": None,
        "started_at": None,
        "loaded_at": None,
        "jobs_left": 0,
    }
    up = formatting.daemon_json(DAEMON, Presence(runs=True))
    assert (up["pid"], up["loaded_at"]) == (42, "2025-06-10T11:58:22Z")
    assert formatting.daemon_json(DAEMON, Presence())["pid"] is None


@pytest.mark.parametrize(
    ("pause", "text"),
    [
        (PauseRow("root/0123456789ab", 1749556700.0, 1749560400.0, ""), "paused until 15:00"),
        (
            PauseRow("root/0123456789ab", 1749556700.0, 1749646800.0, "a disk"),
            "paused until Wed 15:00: a disk",
        ),
        (PauseRow("root/0123456789ab", 1749556700.0, None, ""), "paused"),
        (PauseRow("root/0123456789ab", 1749556700.0, None, "for ever"), "paused: for ever"),
    ],
)
def test_a_paused_job(pause: PauseRow, text: str) -> None:
    assert formatting.paused(pause, NOW) == text
