"""Time zones by POSIX rules, compared with the C library; and a clock that changes from one zone to another."""

import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from pycrond.crontab.expression import parse_schedule
from pycrond.errors import PycrondError
from pycrond.schedule.fire_times import fire_times
from pycrond.schedule.timezone import EPOCH, MINUTE, ChangedZone, Zone

RULES = [
    *(
        "CET-1CEST,M3.5.0,M10.5.0/3",
        "UTC+3",
        "<-03>3",
        "GMT-2",
        "<+0330>-3:30",
        "NZST-12NZDT,M9.5.0,M4.1.0/3",
    ),
    *("IST-2IDT,M3.4.4/26,M10.5.0", "<-02>2<-01>,M3.5.0/-1,M10.5.0/0", "AAA3:15BBB2,J60/2,J300", "EST5EDT"),
]


@pytest.fixture
def local(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    with monkeypatch.context() as patched:
        yield patched
    time.tzset()


@pytest.mark.parametrize("rule", RULES)
def test_rules_are_read_as_by_the_c_library(rule: str, local: pytest.MonkeyPatch) -> None:
    local.setenv("TZ", rule)
    time.tzset()
    zone, chance = Zone.of(rule), random.Random(rule)
    for seconds in (chance.randrange(4_000_000_000) for _ in range(300)):
        shown = zone.local(datetime.fromtimestamp(seconds, UTC))
        assert shown.timetuple()[:6] == time.localtime(seconds)[:6]
    assert zone.name == rule


@pytest.mark.parametrize(
    "text",
    ["", "Berlin", "AB3", "CET-1CEST", "CET-1CEST,M3.5.0", "CET-1CEST,59,299", "CET-99", "UTC3x", "a/../b"],
)
def test_what_is_no_zone_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(PycrondError, match=r"unknown time zone .* \(a name such as Europe/Berlin, or a rule"):
        Zone.of(text)


@pytest.mark.parametrize(
    ("before", "after", "schedule", "expected"),
    [
        ("Europe/Berlin", "Europe/London", "0 12 * * *", ["03-09 11:00", "03-10 11:00", "03-11 12:00"]),
        ("Europe/London", "Europe/Berlin", "0 12 * * *", ["03-09 12:00", "03-10 11:30", "03-11 11:00"]),
        ("UTC", "Asia/Tokyo", "0 12 * * *", ["03-09 12:00", "03-11 03:00"]),
        ("Asia/Tokyo", "UTC", "0 12 * * *", ["03-09 03:00", "03-10 03:00", "03-10 12:00", "03-11 12:00"]),
        ("Europe/Berlin", "Europe/London", "0 */12 * * *", ["03-09 11:00", "03-09 23:00", "03-10 11:00", "03-10 12:00", "03-11 00:00", "03-11 12:00"]),
    ],
)  # fmt: skip
def test_another_zone_is_a_clock_that_is_turned(
    before: str, after: str, schedule: str, expected: list[str]
) -> None:
    change = (datetime(2031, 3, 10, 11, 30, tzinfo=UTC) - EPOCH) // MINUTE
    zone = ChangedZone(Zone.of(before), change, Zone.of(after))
    start, until = datetime(2031, 3, 9, 2, tzinfo=UTC), datetime(2031, 3, 11, 14, tzinfo=UTC)
    times = fire_times(parse_schedule(schedule), zone, start, until)
    assert [f"{fire.at:%m-%d %H:%M}" for fire in times] == expected
