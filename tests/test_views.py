"""Rows to text: times, distances, endings, tables of 80 columns, and JSON with its promised keys."""

import json
import unicodedata
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycrond import views
from pycrond.errors import Problem
from pycrond.rows import DaemonRow, JobRow, PauseRow, RunRow
from pycrond.views import Cell, Listed

NOW = datetime(2025, 6, 10, 14, 0, 30, tzinfo=ZoneInfo("Europe/Berlin"))
JOB = JobRow(
    key="root/0123456789ab",
    name=None,
    user="root",
    file="/etc/crontabs/a",
    line=3,
    schedule="*/5 * * * *",
    canonical="1 1 1 1 1 and fixed 0 - -",
    zone="UTC",
    command="backup --all",
    options='{"timeout": 90}',
)
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
def test_instants_are_rfc_3339(seconds: float | None, text: str | None) -> None:
    assert views.instant(seconds) == text


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
    assert views.moment(at(moment), NOW) == text, why


def test_moments_are_in_the_zone_of_the_reader() -> None:
    assert views.moment(datetime(2025, 6, 10, 22, 30, tzinfo=UTC), NOW) == "Wed 00:30"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.9, "0 s"),
        (59.9, "59 s"),
        (60, "1 m"),
        (180, "3 m"),
        (7199, "119 m"),
        (7200, "2 h"),
        (86399, "23 h"),
        (86400, "1 d"),
        (12 * 86400, "12 d"),
        (4000 * 86400, "4000 d"),
    ],
)
def test_distances(seconds: float, text: str) -> None:
    assert views.distance(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, ""), (0.04, "0.0 s"), (1.25, "1.2 s"), (119.9, "119.9 s"), (130, "2 m")]
)
def test_took(seconds: float | None, text: str) -> None:
    assert views.took(seconds) == text


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
    assert views.ending(RUN._replace(**changed)) == cell  # type: ignore[arg-type]


def test_titles() -> None:
    assert views.title("root/nightly", "nightly", "x") == "nightly"
    assert views.title("root/0123456789ab", None, "backup --all") == "012345 backup --all"


@pytest.mark.parametrize(
    ("listed", "cells"),
    [
        (Listed(JOB, at("2025-06-10T14:05"), (), None), ("14:05 in 4 m", "-")),
        (Listed(JOB, at("2025-06-10T14:01"), (), RUN), ("14:01 in 30 s", "14:00 ok 1.5 s")),
        (Listed(JOB, at("2025-06-10T14:00"), (), RUN), ("14:00 in 0 s", "14:00 ok 1.5 s")),
        (Listed(JOB, None, (), None), ("never", "-")),
        (Listed(JOB._replace(canonical=None), None, (), None), ("at boot", "-")),
        (Listed(JOB, None, (RUN,), RUN), ("never", "running 29 s")),
        (Listed(JOB, None, (RUN, RUN._replace(started_at=None)), RUN), ("never", "running x2 29 s")),
        (
            Listed(JOB, None, (), RUN._replace(state="failed", duration_s=None, exit_status=None)),
            ("never", "14:00 not started"),
        ),
    ],
)
def test_listing(listed: Listed, cells: tuple[str, str]) -> None:
    head, row = views.listing([listed], NOW)
    assert [cell.text for cell in head] == ["NAME", "SCHEDULE", "NEXT", "LAST"]
    assert [cell.text for cell in row] == ["012345 backup --all", "*/5 * * * *", *cells]


def test_past() -> None:
    lost = RUN._replace(id=6, name="n", state="lost", reason="why", duration_s=None, cpu_s=None)
    head, first, second = views.past([RUN, lost], NOW, {RUN.key: "backup"})
    assert [cell.text for cell in head] == ["RUN", "NAME", "FIRE", "ENDED", "TOOK", "CPU", "REASON"]
    assert [cell.text for cell in first] == ["7", "012345 backup", "14:00", "ok", "1.5 s", "0.25 s", ""]
    assert [cell.text for cell in second] == ["6", "n", "14:00", "lost", "", "", "why"]


# Tables.


def table(*rows: tuple[str, ...]) -> list[list[Cell]]:
    return [[Cell(text) for text in row] for row in rows]


def test_columns_are_in_line() -> None:
    assert views.plain(table(("A", "LONG"), ("bbbb", "c"), ("", "d")), 80) == [
        "A     LONG",
        "bbbb  c",
        "      d",
    ]


def test_a_long_name_is_cut() -> None:
    lines = views.plain(table(("NAME", "NEXT"), ("x" * 200, "12:00 in 3 m")), 80)
    assert [len(line) for line in lines] == [72, 80]
    assert lines[1] == "x" * 65 + "…  12:00 in 3 m"


def test_two_long_columns_are_both_cut() -> None:
    lines = views.plain(table(("N", "T", "REASON"), ("x" * 200, "12:00", "y" * 300)), 80)
    assert max(map(len, lines)) == 80
    assert lines[1] == "x" * 34 + "…  12:00  " + "y" * 35 + "…"


def test_no_column_vanishes() -> None:
    (line,) = views.plain(table(("x" * 100, "y" * 100)), 5)
    assert line == "xxxx…  yyyy…"


TEXTS = st.text(max_size=60)


@given(st.lists(st.tuples(TEXTS, TEXTS, TEXTS), min_size=1, max_size=5), st.integers(45, 200))
def test_whatever_the_texts_a_row_is_one_line_and_fits(rows: list[tuple[str, ...]], width: int) -> None:
    lines = views.plain(table(*rows), width)
    assert len(lines) == len(rows)
    assert all(len(line) <= width for line in lines)
    assert not any(unicodedata.category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for char in "".join(lines))


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("a\tb", "a b"),
        ("a\x1b[31mb", "a^[[31mb"),
        ("a\nforged", "a^Jforged"),
        ("caf\udce9", "caf\\351"),
        ("grün", "grün"),
    ],
)
def test_no_text_can_command_the_terminal(command: str, shown: str) -> None:
    assert views.plain(table((command, "end")), 80) == [f"{shown}  end"]
    assert views.log_head(RUN, command, NOW) == f"14:00 012345 {shown} | "


# Headings.


@pytest.mark.parametrize(
    ("daemon", "running", "text"),
    [
        (None, False, "pycrond has not run yet"),
        (DAEMON, True, "pycrond 0.1.0 runs, pid 42, since 13:58, 3 jobs"),
        (DAEMON, False, "pycrond does NOT run, so 3 jobs will not start"),
        (
            DAEMON._replace(stopped_at=1749470400.0),
            False,
            "pycrond does NOT run since Mon 14:00, so 3 jobs will not start",
        ),
    ],
)
def test_heading(daemon: DaemonRow | None, running: bool, text: str) -> None:
    assert views.heading(daemon, running, 3, NOW) == text


def test_the_head_of_a_log_line() -> None:
    assert views.log_head(RUN._replace(name="n" * 50), "x", NOW) == f"14:00 {'n' * 24} | "


# JSON: keys are added, never renamed.


def test_a_run_as_json() -> None:
    shown = json.loads(json.dumps(views.run_json(RUN)))
    needed = (
        "id key name fire trigger attempt state reason pid started_at ended_at exit_status signal cpu_s"
        " max_rss_kb lateness_ms bytes until count"
    )
    assert set(needed.split()) <= set(shown)
    assert (shown["fire"], shown["started_at"]) == ("2025-06-10T12:00:00Z", "2025-06-10T12:00:00.004Z")
    assert (shown["count"], shown["until"], shown["exit_status"]) == (None, None, 0)
    assert views.run_json(RUN._replace(folded=9, until=1749556800.0))["count"] == 9


def test_a_job_as_json() -> None:
    shown = json.loads(json.dumps(views.job_json(Listed(JOB, at("2025-06-10T14:05"), (RUN,), RUN))))
    needed = "key name file line user schedule zone command options next running last"
    assert set(needed.split()) <= set(shown)
    assert (shown["next"], shown["running"], shown["last"]["id"]) == ("2025-06-10T12:05:00Z", [7], 7)
    assert shown["options"] == {"timeout": 90}
    bare = views.job_json(Listed(JOB, None, (), None))
    assert (bare["next"], bare["running"], bare["last"]) == (None, [], None)


def test_a_problem_and_a_daemon_as_json() -> None:
    problem = Problem("/f", 3, 1, "error", "bad-minute", "bad minute '61'")
    assert views.problem_json(problem) == {
        "file": "/f",
        "line": 3,
        "column": 1,
        "severity": "error",
        "code": "bad-minute",
        "message": "bad minute '61'",
    }
    assert views.daemon_json(None, False) == {
        "running": False,
        "pid": None,
        "started_at": None,
        "loaded_at": None,
    }
    up = views.daemon_json(DAEMON, True)
    assert (up["pid"], up["loaded_at"]) == (42, "2025-06-10T11:58:22Z")
    assert views.daemon_json(DAEMON, False)["pid"] is None


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
def test_a_paused_job_is_listed_so(pause: PauseRow, text: str) -> None:
    one = Listed(JOB, NOW, (), None, pause)
    assert views.listing([one], NOW)[1][2].text == text
    until = None if pause.until is None else views.instant(pause.until)
    assert views.job_json(one)["paused"] == {"until": until, "reason": pause.reason}
    assert views.job_json(Listed(JOB, NOW, (), None))["paused"] is None
