"""Fire times as iCalendar, read back by another parser."""

from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import icalendar
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycrond.cli import icalendar as icalendar_text
from pycrond.crontab import expression
from pycrond.ledger.rows import JobRow
from pycrond.schedule.fire_times import FireTime, fire_times
from pycrond.schedule.timezone import Zone
from pycrond.text import visible

NOW = datetime(2026, 3, 28, 12, 0, 30, tzinfo=UTC)
BERLIN = Zone.of("Europe/Berlin")
FIRE = FireTime(datetime(2026, 3, 29, 1, 0, tzinfo=UTC), 29_575_830, 0)
DURATIONS = {"me/backup": (60, 90.2, 3600)}


def job_of(key: str, command: str) -> JobRow:
    name = key.partition("/")[2]
    return JobRow(key, name, "me", "f", 1, "30 2 * * *", None, "Europe/Berlin", command, "{}")


JOB = job_of("me/backup", "tar; echo a, b \\ c")


def lines(job: JobRow, *times: FireTime) -> bytes:
    fires = [(job, time) for time in times]
    return b"".join(icalendar_text.calendar(fires, DURATIONS, "0.1", "machine", NOW))


def read(data: bytes) -> list[Any]:
    document: Any = icalendar.Calendar.from_ical(data)
    assert not document.errors
    assert (str(document["VERSION"]), str(document["PRODID"])) == ("2.0", "-//pycrond//pycrond 0.1//EN")
    return list(document.walk("VEVENT"))


def test_a_fire() -> None:
    assert lines(JOB, FIRE) == (
        b"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//pycrond//pycrond 0.1//EN\r\n"
        b"BEGIN:VEVENT\r\nUID:%b\r\nDTSTAMP:20260328T120030Z\r\nDTSTART:20260329T010000Z\r\n"
        b"DURATION:PT1M31S\r\nSUMMARY:backup\r\n"
        b"DESCRIPTION:tar\\; echo a\\, b \\\\ c\\n30 2 * * * (Europe/Berlin)\r\n"
        b"TRANSP:TRANSPARENT\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
        % icalendar_text.uid(JOB.key, FIRE, "machine").encode()
    )
    (event,) = read(lines(JOB, FIRE))
    assert event["DTSTART"].dt == FIRE.at
    assert event["DURATION"].dt == timedelta(seconds=91)
    assert str(event["DESCRIPTION"]) == "tar; echo a, b \\ c\n30 2 * * * (Europe/Berlin)"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "PT1S"), (0.2, "PT1S"), (60, "PT1M"), (61.5, "PT1M2S"), (3600, "PT1H"), (90_061, "PT25H1M1S")],
)
def test_durations(seconds: float, text: str) -> None:
    assert icalendar_text.duration(seconds) == text


def test_a_job_without_durations_takes_a_minute() -> None:
    (event,) = read(lines(job_of("me/other", "c"), FIRE))
    assert event["DURATION"].dt == timedelta(minutes=1)


def test_uids_depend_on_job_and_fire() -> None:
    """Two fires that a clock change moves to the same time differ; so do the two hours of a repeated hour."""
    start = datetime(2026, 3, 28, 23, 0, tzinfo=UTC)
    moved = list(islice(fire_times(expression.parse_schedule("0,30 2 * * *"), BERLIN, start), 2))
    assert moved[0].at == moved[1].at
    start = datetime(2026, 10, 25, 0, 0, tzinfo=UTC)
    twice = list(islice(fire_times(expression.parse_schedule("*/60 * * * *"), BERLIN, start), 2))
    assert twice[0].wall == twice[1].wall
    ids = [
        icalendar_text.uid(key, fire, host) for key in "ab" for fire in moved + twice for host in ("x", "y")
    ]
    assert len(set(ids)) == len(ids)
    assert read(lines(JOB, FIRE))[0]["UID"] == read(lines(JOB, FIRE))[0]["UID"]


@pytest.mark.parametrize(
    ("line", "folded"),
    [
        ("x" * 75, "x" * 75),
        ("x" * 76, "x" * 75 + "\r\n x"),
        ("x" * 150, "x" * 75 + "\r\n " + "x" * 74 + "\r\n x"),
        ("x" * 74 + "é", "x" * 74 + "\r\n é"),
        ("", ""),
    ],
)
def test_long_lines_are_folded(line: str, folded: str) -> None:
    assert icalendar_text.folded(line).decode() == f"{folded}\r\n"


@given(st.text(min_size=1, max_size=200), st.text(max_size=200))
def test_any_text_is_read_back(title: str, command: str) -> None:
    data = lines(job_of(f"me/{title}", command), FIRE, FIRE)
    assert data.replace(b"\r\n", b"").find(b"\n") == -1
    assert max(map(len, data.split(b"\r\n"))) <= 75
    for line in data.split(b"\r\n"):
        line.decode()  # fails if a character is torn
    events = read(data)
    assert len(events) == 2
    assert str(events[0]["SUMMARY"]) == visible(title.encode("utf-8", "surrogateescape"))
    assert str(events[0]["DESCRIPTION"]).startswith(visible(command.encode("utf-8", "surrogateescape")))
