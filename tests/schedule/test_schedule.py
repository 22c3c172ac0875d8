import random
import re
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from zoneinfo import ZoneInfo, available_timezones

import pytest
from cronsim import CronSim
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pycrond.crontab.expression import parse_cached, parse_schedule
from pycrond.errors import PycrondError
from pycrond.schedule.dst import ClockStep, step
from pycrond.schedule.fire_times import fire_times
from pycrond.schedule.schedule import Schedule, every_minutes
from pycrond.schedule.timezone import Zone
from tests.support.judge import Judge, changes, runs, special_days, ticks

UTC_ZONE = Zone.of("UTC")
MINUTE = timedelta(minutes=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def wall_text(wall: int) -> str:
    return (EPOCH + wall * MINUTE).strftime("%Y-%m-%d %H:%M")


def wall_of(text: str) -> int:
    return (datetime.fromisoformat(text).replace(tzinfo=UTC) - EPOCH) // MINUTE


def days(text: str, start: str, until: str) -> list[str]:
    """Return the days on which an expression runs, as MM-DD."""
    fires = fire_times(parse_schedule(text), UTC_ZONE, at(start + "T00:00Z"), at(until + "T00:00Z"))
    return sorted({fire.at.strftime("%m-%d") for fire in fires})


# The day rule: AND if the text of either day field begins with *, else OR. March 2024 begins on a Friday.
@pytest.mark.parametrize(
    ("text", "expected", "why"),
    [
        ("0 0 13 * 5", "03-01 03-08 03-13 03-15 03-22 03-29", "neither begins with *: either"),
        ("0 0 * * 5", "03-01 03-08 03-15 03-22 03-29", "Fridays"),
        ("0 0 */2 * 1", "03-11 03-25", "Mondays that are odd days: */2 begins with *"),
        ("0 0 13 * */2", "", "a 13th that is a Sun, Tue, Thu or Sat; here it is a Wednesday"),
        ("0 0 1-31 * 5", " ".join(f"03-{d:02}" for d in range(1, 32)), "1-31 is every day, but no *: either"),
        ("0 0 13 * 0-6", " ".join(f"03-{d:02}" for d in range(1, 32)), "0-6 is every day, but no *: either"),
        ("0 0 *,15 * 5", "03-01 03-08 03-15 03-22 03-29", "begins with *"),
        ("0 0 15,* * 5", " ".join(f"03-{d:02}" for d in range(1, 32)), "does not begin with *"),
        ("0 0 20-10 * 5", "03-01 03-08 03-15 03-22 03-29", "no day of month, or a Friday"),
        ("30 14 13 * fri", "03-01 03-08 03-13 03-15 03-22 03-29", "section 8"),
        ("30 14 */10 * fri", "03-01", "section 8: the 1st, 11th, 21st and 31st that is a Friday"),
    ],
)
def test_day_rule(text: str, expected: str, why: str) -> None:
    assert days(text, "2024-03-01", "2024-04-01") == expected.split(), why


@pytest.mark.parametrize(
    ("text", "start", "until", "expected", "why"),
    [
        ("0 0 31 2 5", "2024-01-01", "2025-01-01", "02-02 02-09 02-16 02-23", "Fridays in February"),
        ("0 0 */10 * *", "2024-02-01", "2024-03-01", "02-01 02-11 02-21", "*/10 counts from 1"),
        (
            "0 0 31 * *",
            "2027-01-01",
            "2028-01-01",
            "01-31 03-31 05-31 07-31 08-31 10-31 12-31",
            "long months",
        ),
        ("0 0 * * 1-7/3", "2024-03-03", "2024-03-10", "03-03 03-04 03-07", "7 is a Sunday"),
        ("0 0 * * 1-7/2", "2024-03-03", "2024-03-10", "03-03 03-04 03-06 03-08", "Mon, Wed, Fri, Sun"),
        ("0 0 * * */2", "2024-03-03", "2024-03-10", "03-03 03-05 03-07 03-09", "0 2 4 6"),
        ("0 0 * * */7", "2024-03-03", "2024-03-10", "03-03", "0 and 7 are both Sunday"),
        ("0 0 * * fri-sun", "2024-03-03", "2024-03-10", "03-03 03-08 03-09", "as in cronie"),
        ("0 0 * * 5-7", "2024-03-03", "2024-03-10", "03-03 03-08 03-09", "in both"),
        ("0 0 30 2 *", "2000-01-01", "2100-01-01", "", "there is no 30 February"),
        ("0 0 31 4,6,9,11 *", "2000-01-01", "2100-01-01", "", "the months with 30 days"),
    ],
)
def test_days(text: str, start: str, until: str, expected: str, why: str) -> None:
    assert days(text, start, until) == expected.split(), why


def test_leap_days_skip_2100() -> None:
    fires = fire_times(
        parse_schedule("0 0 29 2 *"), UTC_ZONE, at("2095-01-01T00:00Z"), at("2105-01-01T00:00Z")
    )
    assert [fire.at.year for fire in fires] == [2096, 2104]


def test_minutes_of_an_hour() -> None:
    fires = fire_times(
        parse_schedule("*/7 3 * * *"), UTC_ZONE, at("2024-03-01T00:00Z"), at("2024-03-02T00:00Z")
    )
    assert [fire.at.strftime("%H:%M") for fire in fires] == [f"03:{m:02}" for m in range(0, 60, 7)]


@pytest.mark.parametrize(
    "text",
    ["0 0 30 2 *", "0 22-2 * * *", "30-10 * * * *", "0 0 * nov-feb *", "0 0 31 2 3-1", "0 0 L-30 4,9 *"],
)
def test_schedules_that_never_match_are_empty(text: str) -> None:
    schedule = parse_schedule(text)
    assert schedule.is_empty
    assert schedule.next_wall(0) is None
    assert not schedule.matches(0)
    assert list(fire_times(schedule, Zone.of("Europe/Berlin"), at("2024-03-01T00:00Z"))) == []


@pytest.mark.parametrize(
    ("first", "second", "why"),
    [
        ("0 0 * * *", "@daily", "a macro is its five fields"),
        ("0 0 1-31 * 5", "0 0 * * 0-6", "both are every day"),
        ("0 0 1-29 2 *", "0 0 * feb *", "February has no other days"),
        ("0 0 20-10 * 5", "0 0 * * fri", "an empty set adds nothing"),
        ("0 0 30 2 *", "0 0 31 2,4 *", "never is never"),
        ("5,10 * * * *", "010,5,5 */1 * * 0-7", "the same sets"),
        ("0 0 31 2 5", "0 0 * 2 5", "February has no 31st"),
        ("0 0 LW * *", "0 0 lw * *", "either case"),
        ("0 0 L-0,l-03 * *", "0 0 L-3,L * *", "numbers are numbers"),
        ("0 0 * * mon#2", "0 0 * * 1#2", "names are numbers"),
    ],
)
def test_equal_schedules_are_one_object(first: str, second: str, why: str) -> None:
    assert parse_schedule(first) is parse_schedule(second), why


@pytest.mark.parametrize(
    ("first", "second", "why"),
    [
        ("* 1 * * *", "0-59 1 * * *", "only the first follows the clock"),
        ("0 0 13 * 5", "0 0 13 * *", "either, or one"),
    ],
)
def test_different_schedules_are_not(first: str, second: str, why: str) -> None:
    assert parse_schedule(first) != parse_schedule(second), why


@pytest.mark.parametrize(
    ("text", "wildcard"),
    [
        ("* * * * *", True),
        ("*/15 3 * * *", True),
        ("7 * * * *", True),
        ("*/20 2 * * *", True),
        ("0 */2 * * *", True),
        ("*,5 1 * * *", True),
        ("@hourly", True),
        ("@every_minute", True),
        ("@every 90m", True),
        ("30 2 * * *", False),
        ("0 0-23 * * *", False),
        ("15 1-3 * * *", False),
        ("0-59 0-23 * * *", False),
        ("5,* 1 * * *", False),
        ("@daily", False),
        ("~ 1 * * *", False),
        ("H H * * *", False),
    ],
)
def test_the_text_decides_what_is_a_wildcard(text: str, wildcard: bool) -> None:
    assert parse_schedule(text).wildcard is wildcard


# The DST rule. Jobs have run up to minute 1000.
@pytest.mark.parametrize(
    ("ahead", "expected", "why"),
    [
        (1, ClockStep(1001, 1001, 1001), "the normal minute"),
        (2, ClockStep(1001, 1001, 1002), "one late: everything of both minutes"),
        (5, ClockStep(1001, 1001, 1005), "the last of the small steps"),
        (6, ClockStep(1006, 1001, 1006), "wildcard jobs only now, fixed ones for each minute"),
        (180, ClockStep(1180, 1001, 1180), "the last of the medium steps"),
        (181, ClockStep(1181, 1181, 1181), "as if nothing had happened"),
        (1_000_000, ClockStep(1_001_000, 1_001_000, 1_001_000), "the same"),
        (0, ClockStep(1000, 1001, 1000), "one back: fixed jobs wait"),
        (-179, ClockStep(821, 822, 1000), "the last of the backward steps (Debian's)"),
        (-180, ClockStep(820, 820, 820), "cronie waits here; Debian goes on with the new clock"),
        (-100_000, ClockStep(-99_000, -99_000, -99_000), "the same"),
    ],
)
def test_step(ahead: int, expected: ClockStep, why: str) -> None:
    assert step(1000, 1000 + ahead) == expected, why


# A clock that is set forward or back by some minutes between two ticks. The jobs run each minute.
@pytest.mark.parametrize(
    ("stepped", "wildcard", "fixed", "why"),
    [
        (1, [1001, 1002], [1001, 1002], "once for each skipped minute"),
        (4, [1001, 1002, 1003, 1004, 1005], [1001, 1002, 1003, 1004, 1005], "the same"),
        (5, [1006], list(range(1001, 1007)), "wildcard once, at the new time"),
        (179, [1180], list(range(1001, 1181)), "the same"),
        (180, [1181], [1181], "the skipped ones are lost"),
        (-1, [1000, 1001, 1002], [1001, 1002], "wildcard jobs repeat, fixed ones wait"),
        (-179, list(range(822, 1003)), [1001, 1002], "the same"),
        (-180, list(range(821, 1003)), [1001, 1002], "the last that Debian waits for"),
        (-181, [820, 821], [820, 821], "both follow the clock"),
    ],
)
def test_clock_steps(stepped: int, wildcard: list[int], fixed: list[int], why: str) -> None:
    through = 1000
    ran: dict[str, list[int]] = {"wild": [], "fixed": []}
    wall = 1001 + stepped
    until = 1002 if -181 < stepped < 0 else wall + (1 if stepped == -181 else 0)
    while wall <= until:
        now = step(through, wall)
        ran["wild"] += range(now.wild_from, wall + 1)
        ran["fixed"] += range(now.fixed_from, wall + 1)
        through, wall = now.through, wall + 1
    assert ran == {"wild": wildcard, "fixed": fixed}, why


DST = [
    # Berlin, 2025-03-30, 02:00 -> 03:00
    ("Europe/Berlin", "2025-03-30", "30 2 * * *", "03:00+02:00", "its time does not exist: right after"),
    ("Europe/Berlin", "2025-03-30", "0,30 2 * * *", "03:00+02:00 03:00+02:00", "each is made up for"),
    ("Europe/Berlin", "2025-03-30", "15 1-3 * * *", "01:15+01:00 03:00+02:00 03:15+02:00", "02:15 is moved"),
    ("Europe/Berlin", "2025-03-30", "0 3 * * *", "03:00+02:00", "once"),
    ("Europe/Berlin", "2025-03-30", "*/20 2 * * *", "", "wildcard jobs follow the clock"),
    (
        "Europe/Berlin",
        "2025-03-30",
        "0 */6 * * *",
        "00:00+01:00 06:00+02:00 12:00+02:00 18:00+02:00",
        "nothing",
    ),
    ("Europe/Berlin", "2025-03-30", "30 2 30 3 *", "03:00+02:00", "the date is that of the skipped time"),
    ("Europe/Berlin", "2025-03-30", "30 2 * * 0", "03:00+02:00", "so is the weekday"),
    # Berlin, 2025-10-26, 03:00 -> 02:00
    ("Europe/Berlin", "2025-10-26", "30 2 * * *", "02:30+02:00", "the first of the two"),
    (
        "Europe/Berlin",
        "2025-10-26",
        "*/20 2 * * *",
        "02:00+02:00 02:20+02:00 02:40+02:00 02:00+01:00 02:20+01:00 02:40+01:00",
        "wildcard jobs run in both hours",
    ),
    ("Europe/Berlin", "2025-10-26", "0 3 * * *", "03:00+01:00", "once"),
    ("Australia/Lord_Howe", "2025-10-05", "15 2 * * *", "02:30+11:00", "02:00 -> 02:30"),
    ("Australia/Lord_Howe", "2025-04-06", "45 1 * * *", "01:45+11:00", "02:00 -> 01:30: the first only"),
    ("Africa/Cairo", "2025-04-25", "@daily", "01:00+03:00", "00:00 -> 01:00"),
    ("Africa/Cairo", "2025-10-30", "30 23 * * *", "23:30+03:00", "24:00 -> 23:00: the first"),
    ("Africa/Cairo", "2025-10-31", "@daily", "00:00+02:00", "once"),
    ("Antarctica/Troll", "2025-03-30", "30 1 * * *", "03:00+02:00", "01:00 -> 03:00"),
    ("Antarctica/Troll", "2025-03-30", "30 2 * * *", "03:00+02:00", "both"),
    ("Pacific/Apia", "2011-12-31", "30 0 * * fri", "", "a jump of 24 hours is not made up for"),
    ("America/Caracas", "2016-05-01", "45 2 * * *", "03:00-04:00", "02:30 -> 03:00, no DST: the same rule"),
    ("Asia/Pyongyang", "2018-05-04", "45 23 * * *", "", "23:30 -> 00:00 of the next day"),
    ("Asia/Pyongyang", "2018-05-05", "45 23 4 * *", "00:00+09:00", "where it is made up for"),
]


@pytest.mark.parametrize(("zone", "day", "text", "expected", "why"), DST)
def test_dst(zone: str, day: str, text: str, expected: str, why: str) -> None:
    info = ZoneInfo(zone)
    start = datetime.fromisoformat(day).replace(tzinfo=info)
    until = (datetime.fromisoformat(day) + timedelta(days=1)).replace(tzinfo=info)
    fires = fire_times(parse_schedule(text), Zone.of(zone), start.astimezone(UTC), until.astimezone(UTC))
    shown = [fire.at.astimezone(info).isoformat(timespec="minutes") for fire in fires]
    assert shown == [f"{day}T{time}" for time in expected.split()], why


def test_fixed_times_of_a_repeated_hour_run_once() -> None:
    day = at("2025-10-26T00:00+02:00"), at("2025-10-27T00:00+01:00")
    fires = list(fire_times(parse_schedule("0-59 2 * * *"), Zone.of("Europe/Berlin"), *day))
    assert len(fires) == 60
    assert {fire.fold for fire in fires} == {0}
    assert fires[-1].at == at("2025-10-26T02:59+02:00")


def test_a_moved_fire_time_keeps_its_wall_minute() -> None:
    night = at("2025-03-30T00:00+01:00"), at("2025-03-30T12:00+02:00")
    fires = fire_times(parse_schedule("0,30 2 * * *"), Zone.of("Europe/Berlin"), *night)
    assert [(fire.at, wall_text(fire.wall)) for fire in fires] == [
        (at("2025-03-30T01:00Z"), "2025-03-30 02:00"),
        (at("2025-03-30T01:00Z"), "2025-03-30 02:30"),
    ]


def test_a_repeated_minute_has_a_fold() -> None:
    night = at("2025-10-26T00:00+02:00"), at("2025-10-26T12:00+01:00")
    fires = fire_times(parse_schedule("30 */2 * * *"), Zone.of("Europe/Berlin"), *night)
    assert [(wall_text(fire.wall)[11:], fire.fold) for fire in fires][:4] == [
        ("00:30", 0),
        ("02:30", 0),
        ("02:30", 1),
        ("04:30", 0),
    ]


@pytest.mark.parametrize(
    ("start", "until", "expected", "why"),
    [
        ("12:00:00", "12:10:00", "12:00 12:05", "from inclusive, until exclusive"),
        ("12:00:01", "12:05:00", "", "a minute that has begun is over"),
        ("11:59:59.5", "12:00:00.000001", "12:00", "any instant after the minute's begin includes it"),
        ("12:10:00", "12:00:00", "", "nothing lies between"),
    ],
)
def test_start_is_inclusive_until_exclusive(start: str, until: str, expected: str, why: str) -> None:
    window = at(f"2025-01-01T{start}+00:00"), at(f"2025-01-01T{until}+00:00")
    fires = fire_times(parse_schedule("*/5 * * * *"), UTC_ZONE, *window)
    assert [fire.at.strftime("%H:%M") for fire in fires] == expected.split(), why


@pytest.mark.parametrize(
    ("start", "expected", "why"),
    [
        ("2025-03-30T01:00Z", "2025-03-30T01:00Z", "the moved fire is due at 03:00"),
        ("2025-03-30T01:01Z", "2025-03-31T00:30Z", "and not later"),
        ("2025-10-26T00:31Z", "2025-10-27T01:30Z", "between the two half past twos: it has run"),
        ("2025-10-26T01:30Z", "2025-10-27T01:30Z", "the second does not count"),
    ],
)
def test_a_start_during_the_night_of_the_change(start: str, expected: str, why: str) -> None:
    fires = fire_times(parse_schedule("30 2 * * *"), Zone.of("Europe/Berlin"), at(start))
    assert next(fires).at == at(expected), why


def test_without_an_end_fire_times_go_on() -> None:
    fires = fire_times(parse_schedule("0 12 29 2 0"), Zone.of("America/New_York"), at("2026-01-01T00:00Z"))
    assert len(list(islice(fires, 300))) == 300


def test_the_calendar_has_an_end() -> None:
    fires = list(fire_times(parse_schedule("0 0 1 1 *"), Zone.of("Asia/Tokyo"), at("9997-06-01T00:00Z")))
    assert [fire.at.year for fire in fires] == [9997, 9998]
    assert parse_schedule("0 0 1 1 *").next_wall(wall_of("9999-06-01")) is None
    assert parse_schedule("0 0 * * *").next_wall(wall_of("9999-12-31")) is None
    assert every_minutes(90).next_wall(wall_of("9999-12-31T23:59")) is None


def test_the_calendar_has_a_beginning() -> None:
    for text in ("*/5 2 * * *", "0 0 1 * 1", "0 0 LW * *", "@every 7m"):
        assert (
            len(
                [*islice(fire_times(parse_schedule(text), Zone.of("Asia/Tokyo"), at("0001-01-01T00:00Z")), 9)]
            )
            == 9
        )
        assert list(fire_times(parse_schedule(text), Zone.of("Asia/Tokyo"), at("9999-12-31T00:00Z"))) == []


def test_years_after_2037_have_their_summer_time() -> None:
    day = at("2055-07-01T00:00Z"), at("2055-07-02T00:00Z")
    assert [
        fire.at.hour for fire in fire_times(parse_schedule("0 12 * * *"), Zone.of("Europe/Berlin"), *day)
    ] == [10]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("@every 90m", "00:00 01:30 03:00 04:30"),
        ("@every 2h", "00:00 02:00 04:00"),
        ("@every 1h30m", "00:00 01:30 03:00 04:30"),
        ("@every 1d", "00:00"),
    ],
)
def test_every_counts_from_the_epoch_in_utc(text: str, expected: str) -> None:
    night = at("2025-03-30T00:00Z"), at("2025-03-30T05:00Z")
    for zone in ("UTC", "Europe/Berlin", "Asia/Kolkata"):
        fires = fire_times(parse_schedule(text), Zone.of(zone), *night)
        assert [fire.at.strftime("%H:%M") for fire in fires] == expected.split()


def test_every_day_schedules_need_no_calendar() -> None:
    script = (
        "import sys; from pycrond.crontab.parser import parse\n"
        "entry, rare = parse(b'*/5 2 * * * x\\n0 0 1 * * x\\n', 'f').entries\n"
        "print(entry.schedule.next_wall(0), 'croniter' in sys.modules)\n"
        "print(rare.schedule.next_wall(0), 'croniter' in sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ended.stdout == "120 False\n44640 True\n"


# Zones


@pytest.mark.parametrize(
    "name",
    [
        "Mars/Olympus",
        "",
        "..",
        "../etc/passwd",
        "/etc/passwd",
        "America",
        "Europe/Berlin\0",
        "\udcff",
        "x" * 5_000,
        "zone.tab",
    ],
)
def test_unknown_zones(name: str) -> None:
    with pytest.raises(PycrondError, match="unknown time zone"):
        Zone.of(name)


def test_a_zone_is_one_object_for_a_name() -> None:
    assert Zone.of("Europe/Berlin") is Zone.of("Europe/Berlin")
    assert Zone.of("Europe/Berlin").name == "Europe/Berlin"


@pytest.mark.parametrize(
    ("instant", "wall", "fold"),
    [
        ("2025-10-26T00:30Z", "2025-10-26 02:30", 0),
        ("2025-10-26T01:30Z", "2025-10-26 02:30", 1),
        ("2025-10-26T02:30:59.9Z", "2025-10-26 03:30", 0),
        ("1960-01-01T00:00Z", "1960-01-01 01:00", 0),
    ],
)
def test_wall_minutes_and_folds(instant: str, wall: str, fold: int) -> None:
    zone = Zone.of("Europe/Berlin")
    assert (wall_text(zone.wall(at(instant))), zone.fold(at(instant))) == (wall, fold)


# Against the judge


def numbers(low: int, high: int, names: str = "") -> st.SearchStrategy[str]:
    plain = st.integers(low, high)
    written = plain.map(str) | plain.map("{:03}".format)
    return written | st.sampled_from(names.split()) if names else written


@st.composite
def field_texts(draw: st.DrawFn, low: int, high: int, names: str = "") -> str:
    number = numbers(low, high, names)
    step = st.integers(1, high + 5)
    term = st.one_of(
        st.just("*"),
        number,
        step.map("*/{}".format),
        st.tuples(number, number).map("-".join),
        st.tuples(number, number, step).map(lambda parts: "{}-{}/{}".format(*parts)),
    )
    return draw(st.just("*") | st.lists(term, min_size=1, max_size=3).map(",".join))


EXPRESSIONS = st.tuples(
    field_texts(0, 59),
    field_texts(0, 23),
    field_texts(1, 31),
    field_texts(1, 12, "jan FEB mAr dec"),
    field_texts(0, 7, "sun Mon tue WED thu fri sat"),
).map(" ".join)


@settings(max_examples=150, deadline=None)
@given(EXPRESSIONS, st.integers(1970, 2150), st.data())
def test_a_schedule_agrees_with_the_judge(text: str, year: int, data: st.DataObject) -> None:
    schedule, judge = parse_schedule(text), Judge(text)
    start = wall_of(f"{year}-01-01") // 1440
    expected = [day for day in range(start, start + 366) if judge.minutes and judge.hours and judge.day(day)]
    day = start * 1440 - 1
    matching_days = []
    while (coming := schedule.next_wall(day)) is not None and coming < (start + 366) * 1440:
        assert judge(coming)
        matching_days.append(coming // 1440)
        day = (coming // 1440 + 1) * 1440 - 1
    assert matching_days == expected
    for checked_day in data.draw(st.lists(st.sampled_from(expected), max_size=2)) if expected else []:
        minutes = [wall for wall in range(checked_day * 1440, checked_day * 1440 + 1440) if judge(wall)]
        assert [*islice(_all(schedule, checked_day * 1440 - 1), len(minutes))] == minutes
    for wall in data.draw(st.lists(st.integers(start * 1440, (start + 366) * 1440), max_size=20)):
        assert schedule.matches(wall) == judge(wall)


def _all(schedule: Schedule, wall: int | None) -> list[int]:
    walls: list[int] = []
    while (wall := schedule.next_wall(wall) if wall is not None else None) is not None and len(walls) < 1440:
        walls.append(wall)
    return walls


@settings(max_examples=60, deadline=None)
@given(EXPRESSIONS, st.integers(1980, 2090))
def test_cronsim_agrees(text: str, year: int) -> None:
    assume(not parse_schedule(text).is_empty and not _read_otherwise(text))
    start = datetime(year, 5, 17)  # noqa: DTZ001  (naive, so that both are asked about the calendar alone)
    theirs = islice(CronSim(text, start), 5)
    ours = _all(parse_schedule(text), wall_of(start.isoformat()))[:5]
    assert [wall_text(wall) for wall in ours] == [f"{expected_at:%Y-%m-%d %H:%M}" for expected_at in theirs]


def _read_otherwise(text: str) -> bool:
    """Return whether cronsim reads a text differently: it refuses a reversed range, and reads 5-5/2 as 5/2."""
    ends = re.findall(r"(\w+)-(\w+)", text)
    reverses = {"reversed-range", "ends-in-sunday"}
    return any(a == b or a.isalpha() or b.isalpha() or int(a) == int(b) for a, b in ends) or any(
        flaw.code in reverses for flaw in parse_cached(text).flaws
    )


# Nights with a change of the offset


NIGHTS = (  # the first day of 40 hours, in UTC
    ("Europe/Berlin", "2025-03-29"),
    ("Europe/Berlin", "2025-10-25"),
    ("America/New_York", "2026-03-07"),
    ("America/New_York", "2026-10-31"),
    ("Australia/Lord_Howe", "2025-04-05"),
    ("Australia/Lord_Howe", "2025-10-04"),
    ("Antarctica/Troll", "2025-03-29"),
    ("Antarctica/Troll", "2025-10-25"),
    ("Africa/Cairo", "2025-04-24"),
    ("Africa/Cairo", "2025-10-30"),
    ("Pacific/Apia", "2011-12-29"),
    ("Pacific/Kwajalein", "1993-08-20"),
    ("Antarctica/Casey", "2018-03-10"),
    ("Antarctica/Casey", "2020-10-03"),
    ("America/Caracas", "2016-04-30"),
    ("America/Caracas", "2007-12-08"),
    ("Asia/Pyongyang", "2018-05-04"),
    ("Asia/Gaza", "2025-03-28"),
    ("Asia/Gaza", "2040-10-19"),
    ("Africa/Casablanca", "2026-02-14"),
    ("Africa/Casablanca", "2026-03-21"),
    ("Asia/Kathmandu", "1985-12-31"),
    ("Africa/Monrovia", "1972-01-06"),
    ("America/St_Johns", "2011-03-12"),
    ("Asia/Tehran", "2022-03-21"),
)
TEXTS = (
    "* * * * *",
    "*/20 2 * * *",
    "7 */2 * * *",
    "30 2 * * *",
    "0-59 0-23 * * *",
    "15,45 0-3,23 * * *",
    "0 0 * * *",
    "5-50/9 0-5 1-15 * 5-7",
)


def compare(zone: str, start: datetime, hours: int, texts: Sequence[str]) -> int:
    """Compare `fire_times` with cron's loop, which runs minute by minute; return the number of fire times."""
    info, until, compared = ZoneInfo(zone), start + timedelta(hours=hours), 0
    minutes = ticks(info, start, until)
    for text in texts:
        fires = list(fire_times(parse_schedule(text), Zone.of(zone), start, until))
        ours = [((fire.at - EPOCH) // MINUTE, fire.wall) for fire in fires]
        assert ours == list(runs(Judge(text), minutes)), (zone, start, text)
        assert len({(fire.wall, fire.fold) for fire in fires}) == len(fires), (
            "two fire times with the same name"
        )
        compared += len(ours)
    return compared


@pytest.mark.parametrize(("zone", "day"), NIGHTS)
def test_fire_times_agree_with_cron_s_loop(zone: str, day: str) -> None:
    assert compare(zone, at(f"{day}T00:00Z"), 60, TEXTS)


def test_random_nights_of_random_zones() -> None:
    """Compare a seeded sample of the offset changes from 2000 to 2040; `make proof` compares all of them."""
    choice = random.Random(20250330)
    zones = sorted(available_timezones() - {"localtime", "Factory"})
    compared = nights = 0
    for zone in choice.sample(zones, 25):
        info = ZoneInfo(zone)
        nights_of_zone = list(changes(info, at("2000-01-01T00:00Z"), at("2041-01-01T00:00Z")))
        for day in choice.sample(nights_of_zone, min(2, len(nights_of_zone))):
            nights += 1
            compared += compare(zone, day - timedelta(hours=3), 36, choice.sample(TEXTS, 4))
    assert nights > 25
    assert compared > 1000


@pytest.mark.parametrize(
    "word",
    [
        "L",
        "LW",
        "L-1",
        "L-3",
        "L-29",
        "L-30",
        "1W",
        "15W",
        "30W",
        "31W",
        "0L",
        "5L",
        "1#1",
        "3#2",
        "6#4",
        "0#5",
    ],
)
@pytest.mark.parametrize("month", ["*", "2", "4,9"])
def test_extensions_agree_with_the_calendar(word: str, month: str) -> None:
    weekly = word[-1] != "W" and word[0] != "L"
    schedule = parse_schedule(f"0 0 * {month} {word}" if weekly else f"0 0 {word} {month} *")
    months = [int(part) for part in month.split(",")] if month != "*" else list(range(1, 13))
    expected = [
        f"{year}-{m:02}-{day:02} 00:00"
        for year in range(2023, 2029)
        for m in months
        for day in sorted(special_days(word, year, m))
    ]
    fires = fire_times(schedule, UTC_ZONE, at("2023-01-01T00:00Z"), at("2029-01-01T00:00Z"))
    assert [wall_text(fire.wall) for fire in fires] == expected


@pytest.mark.parametrize(
    ("text", "expected", "why"),
    [
        ("0 0 L,10 * *", "03-10 03-31", "beside a number"),
        ("0 0 L * 1", "03-04 03-11 03-18 03-25 03-31", "either day field"),
        ("0 0 L */3 *", "", "not in March"),
        ("0 0 1,LW * 5#1,1L", "03-01 03-25 03-29", "all together: Friday the 29th is the last working day"),
        ("0 0 */2 * 5L", "03-29", "both: */2 begins with *"),
        ("0 0 L * */7", "03-31", "both: the last is a Sunday"),
        ("0 0 15W,16W * *", "03-15", "the 16th is a Saturday"),
        ("0 0 1-31,L * 5", " ".join(f"03-{d:02}" for d in range(1, 32)), "every day already"),
    ],
)
def test_extensions_go_together(text: str, expected: str, why: str) -> None:
    assert days(text, "2024-03-01", "2024-04-01") == expected.split(), why


def test_a_search_for_a_day_that_never_comes_ends() -> None:
    assert parse_schedule("0 0 LW * */7").next_wall(0) is None  # the last working day is never a Sunday
    assert parse_schedule("0 0 * 2 6#5").next_wall(wall_of("2021-01-01")) == wall_of("2048-02-29")


def test_importing_croniter_starts_no_program(tmp_path: Path) -> None:
    """Without a precaution, croniter runs file(1) from PATH when it is imported."""
    marker = tmp_path / "ran"
    (tmp_path / "file").write_text(f"#!/bin/sh\ntouch {marker}\n")
    (tmp_path / "file").chmod(0o755)
    code = "from pycrond.crontab import expression; assert expression.parse_cached('0 0 13 * 5').schedule.next_wall(0) is not None"
    subprocess.run([sys.executable, "-c", code], env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, check=True)
    assert not marker.exists()
