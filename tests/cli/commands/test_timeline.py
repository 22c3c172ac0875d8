"""The commands timeline and calendar, and the ledger's spans for them."""

import json
import os
import sqlite3
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import icalendar
import pytest

from pycrond.cli.commands import timeline
from pycrond.crontab import parser
from pycrond.host import machine
from pycrond.jobs.jitter import delay
from pycrond.jobs.job import make_jobs
from pycrond.ledger.codec import JobRows
from pycrond.ledger.reader import Reader
from pycrond.ledger.rows import FileRows
from pycrond.ledger.writer import Ledger
from pycrond.scheduler.checkpoint import Checkpoint
from tests.conftest import SCRIPT, jobs_of, pycrond

TEXT = (
    b"#: name=backup\n15 2 * * * tar\n#: name=often\n*/5 * * * * sync\n#: name=late jitter=10m\n0 3 * * * late\n"
    b"@reboot boot\n" + b"".join(b"#: name=herd-%d\n30 4 * * * true\n" % number for number in range(20))
)
RUN = """
    INSERT INTO runs (key, fire, wall, fold, era, trigger, attempt, state, started_at, start_at, ended_at,
    duration_s, until, folded, told) VALUES (?, ?, ?, 0, 0, ?, 1, ?, ?, ?, ?, ?, ?, ?, 3)
"""


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def run(
    directory: Path,
    key: str,
    fire: str,
    end: str | None,
    state: str = "succeeded",
    *,
    start: str | None = "",
    trigger: str = "schedule",
    start_at: str | None = None,
    until: str | None = None,
    folded: int | None = None,
) -> None:
    """Insert a run into the ledger; `start` is None for a run that did not start."""
    begun = at(start or fire) if start is not None else None
    over = at(end) if end else None
    took = over - begun if over and begun else None
    planned = at(start_at) if start_at else None
    last = at(until) if until else None
    row = (key, at(fire), int(at(fire) // 60), trigger, state, begun, planned, over, took, last, folded)
    with sqlite3.connect(directory / "ledger") as ledger:
        ledger.execute(RUN, row)
    ledger.close()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A state directory with loaded jobs; its daemon ran until 2026-06-10T12:00Z."""
    ledger = Ledger(str(tmp_path / "ledger"))
    made = make_jobs(parser.parse(TEXT, "/etc/jobs").entries, "me")
    ledger.begin(1, "0", "b", "", datetime(2026, 1, 1, tzinfo=UTC))
    ledger.load([FileRows("/etc/jobs", "", JobRows(made, "UTC"))], (), datetime(2026, 1, 1, tzinfo=UTC))
    ledger.close()
    turn = Checkpoint(str(tmp_path / "last-turn"))
    turn.write(datetime(2026, 6, 10, 12, 0, tzinfo=UTC), (0, 0))
    turn.close()
    return tmp_path


def document(directory: Path, *words: str) -> dict[str, Any]:
    return dict(json.loads(pycrond(directory, "timeline", *words, "--json").stdout))


def lane(document: dict[str, Any], name: str) -> list[tuple[str, str | None, str]]:
    (lane_json,) = (lane_json for lane_json in document["lanes"] if lane_json["name"] == name)
    return [(bar["start"], bar["end"], bar["state"]) for bar in lane_json["bars"]]


DAY = ("--day", "2026-06-10")


def test_a_past_day_as_json(directory: Path) -> None:
    run(directory, "me/backup", "2026-06-10T02:15:00", "2026-06-10T02:20:00.500")
    answer = document(directory, *DAY, "--job", "backup")
    assert (answer["day"], answer["zone"]) == ("2026-06-10", "UTC")
    assert (answer["from"], answer["until"]) == ("2026-06-10T00:00:00Z", "2026-06-11T00:00:00Z")
    assert answer["lanes"] == [
        {
            "key": "me/backup",
            "name": "backup",
            "display_name": "backup",
            "bars": [
                {
                    "start": "2026-06-10T02:15:00Z",
                    "end": "2026-06-10T02:20:00.500Z",
                    "state": "succeeded",
                    "run": 1,
                    "count": 1,
                }
            ],
        }
    ]
    assert answer["starts"] == [{"minute": "2026-06-10T02:15:00Z", "count": 1}]
    assert answer["stampedes"] == []


def test_fire_times_since_the_daemon_ended_are_missed(directory: Path) -> None:
    """The daemon ended at noon of a day that is over now."""
    bars = lane(document(directory, *DAY), "often")
    assert {state for _, _, state in bars} == {"missed"}
    assert bars[0][0] == "2026-06-10T12:05:00Z"
    assert len(bars) == 12 * 12 - 1


def test_a_day_to_come(directory: Path) -> None:
    answer = document(directory, "--day", "2100-01-01")
    assert {bar["state"] for row in answer["lanes"] for bar in row["bars"]} == {"coming"}
    assert lane(answer, "backup") == [("2100-01-01T02:15:00Z", "2100-01-01T02:15:00Z", "coming")]
    ((late, _, _),) = lane(answer, "late")
    assert "2100-01-01T03:00:00Z" <= late <= "2100-01-01T03:10:00Z"  # the delay that the daemon will draw
    (herd,) = answer["stampedes"]
    assert (herd["at"], herd["count"], len(herd["jobs"])) == ("2100-01-01T04:30:00Z", 21, 21)
    assert herd["suggestion"]["jitter"] == 900
    assert set(herd["jobs"]) - set(herd["suggestion"]["jobs"]) == {"me/often"}
    assert 2 < herd["suggestion"]["average"] < herd["suggestion"]["most"] <= 6


def test_the_next_24_hours(directory: Path) -> None:
    answer = document(directory, "--next")
    assert answer["day"] is None
    length = datetime.fromisoformat(answer["until"]) - datetime.fromisoformat(answer["from"])
    assert length == timedelta(hours=24)
    assert len(lane(answer, "often")) == 288
    assert len(lane(answer, "backup")) == 1


def test_a_paused_job_starts_nothing(directory: Path) -> None:
    with sqlite3.connect(directory / "ledger") as ledger:
        ledger.execute("INSERT INTO pauses (key, since, reason) VALUES ('me/backup', 0, '')")
    ledger.close()
    assert [state for _, _, state in lane(document(directory, "--next"), "backup")] == ["skipped"]


def test_a_day_for_people(directory: Path) -> None:
    run(directory, "me/backup", "2026-06-10T02:15:00", "2026-06-10T02:40:00", "failed")
    for number in range(20):
        run(directory, f"me/herd-{number}", "2026-06-10T04:30:00", "2026-06-10T04:31:00")
    lines = pycrond(directory, "timeline", *DAY).stdout.splitlines()
    assert lines[0] == "Wednesday 2026-06-10, UTC: 22 jobs, 21 starts, 1 failed; pycrond does NOT run"
    assert lines[2].split() == ["backup", "XX", "1", "1"]
    assert lines[2].index("XX") == 19
    assert lines[-2] == "04:30: 20 jobs start together; jitter=30m on herd-0, herd-1 and 18 others would"
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize(
    ("environment", "marks"),
    [
        ({"PYTHONIOENCODING": "utf-8"}, {"▆", "○"}),
        ({"PYTHONIOENCODING": "ascii"}, {"=", "o"}),
        ({"PYTHONIOENCODING": "latin-1"}, {"=", "o"}),
    ],
)
def test_plain_characters_if_the_encoding_has_no_others(
    directory: Path, environment: dict[str, str], marks: set[str]
) -> None:
    run(directory, "me/backup", "2026-06-10T02:15:00", "2026-06-10T02:40:00")
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(directory),
        "TZ": "UTC",
        "COLUMNS": "120",
        **environment,
    }
    words = [SCRIPT, "timeline", *DAY, "--state-dir", str(directory)]
    done = subprocess.run(words, env=environ, capture_output=True, check=True, timeout=60)
    text = done.stdout.decode(environment["PYTHONIOENCODING"])
    assert marks <= set(text)
    assert "\x1b" not in text
    assert 100 < max(map(len, text.splitlines())) <= 120


def test_svg(directory: Path) -> None:
    run(directory, "me/backup", "2026-06-10T02:15:00", "2026-06-10T02:40:00")
    assert pycrond(directory, "timeline", *DAY, "--svg", "day.svg").stdout == ""
    root = ET.parse(directory / "day.svg").getroot()
    assert (root.findtext("{http://www.w3.org/2000/svg}title") or "").startswith(
        "Wednesday 2026-06-10, UTC: "
    )
    assert pycrond(directory, "timeline", *DAY, "--svg", "-").stdout.startswith("<svg ")
    stderr = pycrond(directory, "timeline", "--svg", "no/where", status=1).stderr
    assert stderr == "pycrond: cannot write no/where: No such file or directory\n"


@pytest.mark.parametrize(
    ("globs", "names"),
    [
        (["backup"], ["backup"]),
        (["herd-1?", "back*"], ["backup", *(f"herd-{number}" for number in range(10, 20))]),
        (["me/late"], ["late"]),
        (["/etc/jobs:2"], ["backup"]),
        (["jobs:4"], ["often"]),
    ],
)
def test_some_jobs(directory: Path, globs: list[str], names: list[str]) -> None:
    answer = document(directory, "--next", "--job", *globs)
    assert [row["name"] for row in answer["lanes"]] == names


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["timeline", "--job", "nobody"], "no job is called 'nobody'"),
        (["timeline", "--day", "soon"], "bad time 'soon'"),
        (["calendar", "nobody"], "no job is called 'nobody'"),
    ],
)
def test_errors(directory: Path, words: list[str], message: str) -> None:
    assert message in pycrond(directory, *words, status=1).stderr


def test_jobs_that_are_no_longer_loaded_are_drawn(directory: Path) -> None:
    run(directory, "me/old", "2026-06-10T02:15:00", "2026-06-10T02:40:00")
    assert [row["key"] for row in document(directory, *DAY, "--job", "*old")["lanes"]] == ["me/old"]


# Spans of the ledger


def spans(directory: Path, now: str = "2026-07-01") -> list[tuple[str, float, float | None, str]]:
    """Return the spans of 2026-06-10, each as job, start and end in hours from midnight, and state."""
    start = at("2026-06-10")
    reader = Reader(str(directory))
    rows = reader.spans(start, start + 86_400, at(now))
    reader.close()
    return [
        (
            row.key,
            (row.start - start) / 3600,
            None if row.end is None else (row.end - start) / 3600,
            row.state,
        )
        for row in rows
    ]


@pytest.mark.parametrize(
    ("row", "seen"),
    [
        ({"fire": "2026-06-10T02:00", "end": "2026-06-10T03:00"}, [(2, 3, "succeeded")]),
        ({"fire": "2026-06-09T22:00", "end": "2026-06-10T01:00"}, [(-2, 1, "succeeded")]),
        ({"fire": "2026-06-10T22:00", "end": "2026-06-11T03:00"}, [(22, 27, "succeeded")]),
        ({"fire": "2026-06-09T22:00", "end": "2026-06-09T23:00"}, []),
        ({"fire": "2026-06-11T00:00", "end": "2026-06-11T01:00"}, []),
        ({"fire": "2026-06-01T00:00", "end": None, "state": "running"}, [(-216, None, "running")]),
        (
            {"fire": "2026-06-10T02:00", "end": "2026-06-10T02:01", "state": "skipped", "start": None},
            [(2, 2, "skipped")],
        ),
        (
            {
                "fire": "2026-06-10T02:00",
                "start": None,
                "start_at": "2026-06-10T02:30",
                "end": None,
                "state": "waiting",
            },
            [(2.5, 2.5, "waiting")],
        ),
        (  # a daemon that starts after days records the fire times that it has missed
            {
                "fire": "2026-06-08T00:00",
                "end": "2026-06-20T00:00",
                "start": None,
                "until": "2026-06-19T00:00",
                "folded": 12,
                "state": "missed",
            },
            [(-48, 216, "missed")],
        ),
        (
            {
                "fire": "2026-06-10T01:00",
                "end": None,
                "start": None,
                "until": "2026-06-10T23:00",
                "folded": 9,
            },
            [(1, 23, "succeeded")],
        ),
    ],
)
def test_spans_of_a_day_in_the_ledger(
    directory: Path, row: dict[str, Any], seen: list[tuple[Any, ...]]
) -> None:
    for day in range(1, 8):
        run(directory, "me/often", f"2026-06-0{day}T12:00", f"2026-06-0{day}T12:01")
    run(directory, "me/backup", row.pop("fire"), row.pop("end"), **row)
    for day in range(20, 28):
        run(directory, "me/often", f"2026-06-{day}T12:00", f"2026-06-{day}T12:01")
    assert [span[1:] for span in spans(directory)] == seen


def test_a_claimed_minute_is_still_to_come(directory: Path) -> None:
    run(directory, "me/often", "2026-06-10T02:00", None, "claimed", start=None)
    assert spans(directory, "2026-06-10T01:59:59.500") == []
    assert len(spans(directory, "2026-06-10T02:00")) == 1


def test_a_running_job_has_no_span_on_later_days(directory: Path) -> None:
    run(directory, "me/often", "2026-06-08T02:00", None, "running")
    assert spans(directory, "2026-06-09T23:00") == []
    assert len(spans(directory, "2026-06-10T00:00")) == 1


def test_an_empty_ledger_has_nothing(directory: Path) -> None:
    assert spans(directory) == []


# calendar


def calendar(directory: Path, *words: str) -> tuple[list[Any], str]:
    done = pycrond(directory, "calendar", *words)
    calendar_: Any = icalendar.Calendar.from_ical(done.stdout)
    assert not calendar_.errors
    return list(calendar_.walk("VEVENT")), done.stderr


def test_the_coming_week(directory: Path) -> None:
    for day, end in ((7, "02:25"), (8, "02:45"), (9, "02:35")):
        run(directory, "me/backup", f"2026-06-0{day}T02:15", f"2026-06-0{day}T{end}")
    events, stderr = calendar(directory)
    assert {str(event["SUMMARY"]) for event in events} == {
        "backup",
        "late",
        *(f"herd-{n}" for n in range(20)),
    }
    assert len(events) == 22 * 7
    assert stderr == "pycrond: left out, due more than 50 times a day and not named: often\n"
    times = [event["DTSTART"].dt for event in events]
    assert times == sorted(times)
    backups = [event for event in events if event["SUMMARY"] == "backup"]
    assert {event["DURATION"].dt for event in backups} == {timedelta(minutes=20)}
    assert str(backups[0]["DESCRIPTION"]) == "tar\n15 2 * * * (UTC)"


def test_one_job_from_a_time_to_a_time(directory: Path) -> None:
    words = ["--from", "2026-06-10T00:01Z", "--until", "2026-06-10T00:20Z"]
    events, stderr = calendar(directory, "often", *words)
    assert [f"{event['DTSTART'].dt:%H:%M}" for event in events] == ["00:05", "00:10", "00:15"]
    assert stderr == ""
    assert len({event["UID"] for event in events}) == 3
    assert [event["UID"] for event in calendar(directory, "often", *words)[0]] == [
        event["UID"] for event in events
    ]
    assert len(calendar(directory, "often", *words, "--count", "2")[0]) == 2


def test_at_most_ten_thousand_fire_times(directory: Path) -> None:
    events, stderr = calendar(
        directory, "often", "--from", "2026-01-01T00:00Z", "--until", "2027-01-01T00:00Z"
    )
    assert len(events) == 10_000
    assert stderr == "pycrond: only the first 10,000 fire times, up to 2026-02-04T17:15:00Z\n"


def test_lines_end_as_the_format_demands(directory: Path) -> None:
    words = [SCRIPT, "calendar", "backup", "--state-dir", str(directory)]
    data = subprocess.run(words, capture_output=True, check=True, timeout=60).stdout
    assert data.count(b"\n") == data.count(b"\r\n") == data.count(b"\r")


def test_a_job_that_is_named_jitter_has_none() -> None:
    text = b"#: name=jitter\n0 7 * * * true\n#: name=other jitter=5m\n0 7 * * * true\n"
    rows = JobRows(make_jobs(parser.parse(text, "/etc/jobs").entries, "me"), "UTC")
    assert [timeline._has_jitter(row) for row in rows] == [False, True]


def test_shared_jobs_are_drawn_with_the_delays_of_the_cluster() -> None:
    jobs = jobs_of("#: name=a on=one jitter=1h\n0 * * * * x\n")
    (row,) = JobRows(jobs, "UTC")
    first, day = datetime(2026, 5, 1, tzinfo=UTC).timestamp(), 86_400
    starts = {
        name: timeline._coming_starts([row], first, first + day, name)["root/a"] for name in ("", "prod")
    }
    seed = machine.machine_id()
    for name, drawn in starts.items():
        times = (datetime.fromtimestamp(first + hour * 3_600, UTC) for hour in range(24))
        assert drawn == [at.timestamp() + delay(jobs[0], at, seed, "", name) for at in times]
    assert starts[""] != starts["prod"]
