"""Lanes made of rows and fire times: their figures, the choice among them, and the columns of time."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycrond.cli.timeline.lanes import Lane, Timeline, TimeWindow, build_timeline, foremost, foreseen
from pycrond.cli.timeline.scale import SLOTS, TimeScale
from pycrond.ledger.rows import JobRow, SpanRow
from pycrond.schedule.timezone import Zone
from tests.cli.render.test_formatting import RUN

BERLIN = Zone.of("Europe/Berlin")


def at(text: str) -> float:
    """Return a time in UTC; without a date, of 2026-06-10."""
    text = text if "T" in text else f"2026-06-10T{text}"
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


DAY = TimeWindow(at("00:00"), at("2026-06-11T00:00"), at("12:00:20"))


def job(name: str | None, key: str = "") -> JobRow:
    return JobRow(
        key or f"me/{name}", name, "me", "/etc/jobs", 1, "* * * * *", None, "UTC", f"run {name}", "{}"
    )


def span(name: str, start: str, end: str | None = None, state: str = "succeeded", fires: int = 1) -> SpanRow:
    """Return a bar; without an end it takes no time, with the end `-` it is running."""
    stop = None if end == "-" else at(end or start)
    return SpanRow(at(start), stop, state, 7, fires, 1, f"me/{name}")


def drawn(
    *spans: SpanRow,
    coming: Mapping[str, Sequence[str]] | None = None,
    window: TimeWindow = DAY,
    paused: Mapping[str, float] | None = None,
) -> Timeline:
    coming = coming or {}
    names = dict.fromkeys([bar.key.removeprefix("me/") for bar in spans] + list(coming))
    ahead = {f"me/{name}": [at(time) for time in times] for name, times in coming.items()}
    known = foreseen(ahead, paused or {}, window.now)
    return build_timeline([job(name) for name in names], chain(spans, known), window, {})


@pytest.mark.parametrize(
    ("bar", "starts", "failed", "longest"),
    [
        (span("a", "01:00", "01:10"), 1, 0, 600),
        (span("a", "01:00", "01:10", "failed"), 1, 1, 600),
        (span("a", "01:00", "01:10", "timed-out"), 1, 1, 600),
        (span("a", "01:00", "01:10", "killed"), 1, 1, 600),
        (span("a", "01:00", "01:10", "lost"), 1, 0, 600),
        (span("a", "11:00", "-", "running"), 1, 0, 3620),
        (span("a", "2026-06-09T23:00", "01:00"), 0, 0, 7200),  # it began the day before
        (span("a", "01:00", "01:00", "skipped"), 0, 0, 0),
        (span("a", "01:00", "09:00", "missed", 8), 0, 0, 0),
        (span("a", "01:00", "09:00", "failed", 8), 8, 8, 0),  # folded: the duration of each is unknown
        (span("a", "12:05", "12:05", "waiting"), 1, 0, 0),
    ],
)
def test_the_figures_of_a_lane(bar: SpanRow, starts: int, failed: int, longest: float) -> None:
    (lane,) = drawn(bar).lanes
    assert (lane.starts, lane.failed, lane.longest) == (starts, failed, longest)


def test_starts_are_counted_by_the_minute() -> None:
    by_hand = span("b", "01:00:20")._replace(scheduled=0)
    folded = span("c", "01:00", "02:00", fires=9)
    timeline = drawn(span("a", "01:00:05"), span("a", "01:01"), by_hand, folded, coming={"d": ["13:00"]})
    minute = int(at("01:00") // 60)
    later = int(at("13:00") // 60)
    assert dict(timeline.starts) == {minute: 2, minute + 1: 1, later: 1}
    assert dict(timeline.fires) == {minute: ["me/a"], minute + 1: ["me/a"], later: ["me/d"]}
    assert (timeline.total, timeline.failed) == (2 + 1 + 9 + 1, 0)


def test_fires_unknown_to_the_ledger_are_missed_or_coming() -> None:
    (lane,) = drawn(coming={"a": ["11:00", "13:00"]}).lanes
    assert [(bar.state, bar.run) for bar in lane.bars] == [("missed", None), ("coming", None)]


def test_fires_of_a_paused_job_are_skipped() -> None:
    until = {"me/a": at("14:00"), "me/b": inf}
    timeline = drawn(coming={"a": ["11:00", "13:59", "14:00"], "b": ["23:00"]}, paused=until)
    assert [[bar.state for bar in lane.bars] for lane in timeline.lanes] == [
        ["missed", "skipped", "coming"],
        ["skipped"],
    ]
    assert timeline.total == 1


def test_a_job_that_is_gone_has_a_lane_and_a_job_without_bars_has_none() -> None:
    spans = [span("old", "01:00"), span("0123456789ab", "02:00")]
    gone = [
        RUN._replace(key="me/old", name="old"),
        RUN._replace(key="me/0123456789ab", name=None, command="/opt/sync.sh -a"),
    ]
    timeline = build_timeline([job("idle")], spans, DAY, {run.key: run for run in gone})
    assert [(lane.name, lane.title) for lane in timeline.lanes] == [("old", "old"), (None, "sync.sh~0123")]


def test_all_lanes_or_the_most_important() -> None:
    spans = [span("often", f"{hour:02}:00") for hour in range(9)]
    spans += [span("once", "03:00"), span("long", "01:00", "05:00"), span("short", "01:00", "01:04")]
    spans += [span("bad", "03:00", "03:00", "failed")]
    lanes = drawn(*spans).lanes

    def names(lanes: Sequence[Lane]) -> list[str | None]:
        return [lane.name for lane in lanes]

    assert names(foremost(lanes, 5, 300)) == ["often", "once", "long", "short", "bad"]
    assert names(foremost(lanes, 4, 300)) == ["bad", "long", "often", "once"]
    assert names(foremost(lanes, 4, 60)) == ["bad", "long", "short", "often"]  # now four minutes are visible


@pytest.mark.parametrize(
    ("room", "slot", "columns"),
    [(47, 60, 24), (48, 30, 48), (71, 30, 48), (72, 20, 72), (144, 10, 144), (1440, 1, 1440), (3, 240, 3)],
)
def test_slots_are_as_short_as_the_room_allows(room: int, slot: int, columns: int) -> None:
    scale = TimeScale.of(DAY, Zone.of("UTC"), room)
    assert (scale.slot, scale.columns) == (slot, columns)


@pytest.mark.parametrize(
    ("start", "until", "hours"),
    [
        ("2026-06-09T22:00", "2026-06-10T22:00", [0, 3, 6, 9, 12, 15, 18, 21]),
        ("2026-03-28T23:00", "2026-03-29T22:00", [0, 3, 6, 9, 12, 15, 18, 21]),  # 23 hours
        ("2026-10-24T22:00", "2026-10-25T23:00", [0, 3, 6, 9, 12, 15, 18, 21]),  # 25 hours
        ("2026-06-10T12:07", "2026-06-11T12:07", [15, 18, 21, 0, 3, 6, 9, 12]),  # the next 24 hours
    ],
)
def test_hours_are_local(start: str, until: str, hours: list[int]) -> None:
    scale = TimeScale.of(TimeWindow(at(start), at(until), 0), BERLIN, 50)
    labels = list(scale.hours(BERLIN, 5))
    assert [hour for _, hour in labels] == hours
    for column, hour in labels:
        tick = scale.origin + column * scale.slot
        assert BERLIN.wall(datetime.fromtimestamp(tick * 60, UTC)) // 60 % 24 == hour


@given(st.integers(0, 1439), st.integers(0, 1439), st.integers(10, 300))
def test_each_start_has_its_column(first: int, minute: int, room: int) -> None:
    start = at("00:00") + first * 60
    scale = TimeScale.of(TimeWindow(start, start + 86_400, start), BERLIN, room)
    tick = int(start // 60) + minute
    assert sum(scale.busiest({tick: 3})) == 3
    assert scale.columns <= room or scale.slot == SLOTS[-1]
    assert scale.busiest({tick: 3})[scale.column(tick * 60)] == 3


def test_a_slot_shows_its_busiest_minute() -> None:
    scale = TimeScale.of(DAY, Zone.of("UTC"), 24)
    first = int(DAY.start // 60)
    assert scale.busiest({first: 2, first + 59: 5, first + 60: 1, first - 1: 99})[:3] == [5, 1, 0]
