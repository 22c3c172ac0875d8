"""Missed fire times are counted without computing each one."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycrond.crontab import expression
from pycrond.schedule import missed
from pycrond.schedule.fire_times import fire_times
from pycrond.schedule.schedule import Schedule
from pycrond.schedule.timezone import Zone

ZONES = ("UTC", "Europe/Berlin", "Australia/Lord_Howe", "America/New_York", "Africa/Cairo", "Pacific/Apia")
TEXTS = (
    *(
        "* * * * *",
        "*/7 3 * * *",
        "30 2 * * *",
        "0 0-23 * * *",
        "15 1-3 * * *",
        "@daily",
        "@hourly",
        "0 0 13 * 5",
    ),
    *("0 0 29 2 *", "59 23 31 12 *", "0 0 L * *", "0 0 * * MON#2", "@every 90m", "@every 1d", "0 0 30 2 *"),
    "0 0 15W * *",
)


def schedule(text: str) -> Schedule:
    parsed = expression.parse_cached(text).schedule
    assert parsed is not None
    return parsed


def by_visiting(rule: Schedule, zone: Zone, start: datetime, until: datetime) -> missed.Gap | None:
    """Return the same gap by computing all fire times."""
    fires = list(fire_times(rule, zone, start, until))
    return missed.Gap(fires[0], fires[-1], len(fires)) if fires else None


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("name", ZONES)
def test_a_year_by_months(text: str, name: str) -> None:
    rule, zone = schedule(text), Zone.of(name)
    start = datetime(2011, 12, 1, 0, 7, tzinfo=UTC)
    for days in (0, 1, 2, 29, 30, 31, 65):
        until = start + timedelta(days=days, minutes=days % 7)
        assert missed.find_gap(rule, zone, start, until) == by_visiting(rule, zone, start, until), days


@given(
    text=st.sampled_from(TEXTS),
    name=st.sampled_from(ZONES),
    start=st.integers(0, 20 * 365 * 1440),
    length=st.integers(0, 10 * 1440),
)
def test_any_gap(text: str, name: str, start: int, length: int) -> None:
    begin = datetime(2010, 1, 1, tzinfo=UTC) + timedelta(minutes=start)
    until = begin + timedelta(minutes=length)
    rule, zone = schedule(text), Zone.of(name)
    assert missed.find_gap(rule, zone, begin, until) == by_visiting(rule, zone, begin, until)


def test_ten_years_are_counted_by_days() -> None:
    start = datetime(2010, 1, 1, tzinfo=UTC)
    gap = missed.find_gap(schedule("* * * * *"), Zone.of("UTC"), start, start + timedelta(days=3652))
    assert gap is not None
    assert gap.count == 3652 * 1440


def test_each_job_has_its_own_gap() -> None:
    start = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)
    berlin, hourly = Zone.of("Europe/Berlin"), schedule("@hourly")
    jobs = [
        ("a", hourly, berlin),
        ("b", hourly, Zone.of("UTC")),
        ("c", schedule("@yearly"), berlin),
        ("d", hourly, berlin),
    ]
    gaps = dict(missed.find_gaps(jobs, start, start + timedelta(hours=2)))
    assert sorted(gaps) == ["a", "b", "d"]
    assert gaps["a"] is gaps["d"]
    assert [gaps[key].count for key in "ab"] == [2, 2]


@given(
    text=st.sampled_from(TEXTS),
    name=st.sampled_from(ZONES),
    start=st.integers(0, 20 * 365 * 1440),
    length=st.integers(0, 10 * 1440),
    most=st.integers(1, 30),
)
def test_the_latest_fire_times(text: str, name: str, start: int, length: int, most: int) -> None:
    rule, zone = schedule(text), Zone.of(name)
    begin = datetime(2005, 1, 1, tzinfo=UTC) + timedelta(minutes=start)
    until = begin + timedelta(minutes=length)
    expected = [*fire_times(rule, zone, begin, until)][-most:]
    assert missed.latest_fire_times(rule, zone, begin, until, most) == expected
