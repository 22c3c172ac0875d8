"""The text chart of a day, character by character."""

from unicodedata import category

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycrond.cli.render import cell_width
from pycrond.cli.timeline import text_chart
from pycrond.cli.timeline.clusters import Cluster, JitterSuggestion, descriptions, find_clusters
from pycrond.cli.timeline.lanes import Timeline, TimeWindow, build_timeline
from pycrond.cli.timeline.text_chart import ASCII, BLOCKS, ChartSize
from pycrond.ledger.rows import SpanRow
from pycrond.schedule.timezone import Zone
from tests.cli.timeline.test_lanes import DAY, at, drawn, job, span

UTC = Zone.of("UTC")
SPANS = [
    span("backup", "02:15", "03:40"),
    span("sync", "00:00", "00:01"),
    span("sync", "06:00", "06:01", "failed"),
    span("sync", "08:00", "08:00", "skipped"),
    span("sync", "09:00", "11:00", "missed", 3),
    span("report", "05:00", "05:30", "lost"),
    span("report", "10:30", "-", "running"),
]
COMING = {"sync": ["13:00", "14:00"], "backup": ["23:00"]}


def chart(timeline: Timeline, clusters: list[Cluster] | None = None, size: ChartSize | None = None) -> str:
    lines = text_chart.lines("A day", timeline, clusters or [], UTC, size or ChartSize(80))
    return "\n".join("".join(cell.text for cell in line).rstrip() for line in lines) + "\n"


def test_a_day_in_80_columns() -> None:
    assert (
        chart(drawn(*SPANS, coming=COMING))
        == """\
A day
               00  02  04  06  08  10  12  14  16  18  20  22    STARTS  BAD
backup             ▆▆▆▆                │                     ·       2
sync           ▆           X   - ○○○○○ │ · ·                         4    1
report                   ?          ►►►►                             2

             1 █   █     █ █        █    █ █                 █
 starts in the █   █     █ █        █    █ █                 █
busiest minute █   █     █ █        █    █ █                 █
             0 █   █     █ █        █    █ █                 █
               00  02  04  06  08  10  12  14  16  18  20  22

X failed, timed out or killed   ? lost or unknown   ○ missed   - skipped
► running   ▆ ok   · to come
"""
    )


def test_the_same_in_ascii() -> None:
    text = chart(drawn(*SPANS, coming=COMING), size=ChartSize(80, None, ASCII))
    assert text.isascii()
    assert text.splitlines()[2:7] == [
        "backup             ====                |                     .       2",
        "sync           =           X   - ooooo | . .                         4    1",
        "report                   ?          >>>>                             2",
        "",
        "             1 #   #     # #        #    # #                 #",
    ]


def test_a_cluster_and_lanes_left_out() -> None:
    spans = [span(f"job-{number}", "02:00", "02:10") for number in range(41)]
    timeline = drawn(*spans, span("long", "10:00", "11:45"), span("bad", "12:00", "12:00", "failed"))
    text = chart(timeline, find_clusters(timeline.fires), ChartSize(80, 24))
    assert (
        text
        == """\
A day
               00  02  04  06  08  10  12  14  16  18  20  22    STARTS  BAD
bad                                    X                             1    1
long                               ▆▆▆▆│                             1
job-0              ▆                   │                             1
job-1              ▆                   │                             1
job-2              ▆                   │                             1
job-3              ▆                   │                             1
job-4              ▆                   │                             1
job-5              ▆                   │                             1
job-6              ▆                   │                             1
job-7              ▆                   │                             1
… and 33 more

            41     █
 starts in the     █
busiest minute     █
             0     █               ▁   ▁
               00  02  04  06  08  10  12  14  16  18  20  22

X failed, timed out or killed   ▆ ok
02:00: 41 jobs start together; jitter=15m on job-0, job-1 and 39 others would
  leave about 6 in the largest minute, 9 at most
"""
    )


def described(cluster: Cluster, titles: dict[str, str], ellipsis: str = "…") -> str:
    (sentence,) = descriptions([cluster], titles, UTC, ellipsis)
    return sentence


@pytest.mark.parametrize(
    ("jobs", "them"),
    [
        (1, "job-0"),
        (2, "job-0 and job-1"),
        (3, "job-0, job-1 and 1 other"),
        (1202, "job-0, job-1 and 1,200 others"),
    ],
)
def test_the_description_of_a_cluster(jobs: int, them: str) -> None:
    names = tuple(f"job-{number}" for number in range(jobs))
    suggestion = JitterSuggestion(900, names, 5.6, 9)
    text = described(Cluster(120, names, 3, suggestion), {name: name for name in names})
    start = f"02:00: {jobs:,} jobs start together, some of them in 3 other minutes, too; "
    assert text == f"{start}jitter=15m on {them} would leave about 6 in the largest minute, 9 at most"
    text = described(Cluster(120, names), {})
    assert text == f"02:00: {jobs:,} jobs start together; no jitter would spread them"


def test_jobs_with_names_come_first() -> None:
    rows = [job(None, "me/0123"), job("b" * 30)]
    spans = [span("0123", "02:00"), span("b" * 30, "02:00")]
    timeline = build_timeline(rows, spans, DAY, {})
    cluster = Cluster(
        120, ("me/0123", f"me/{'b' * 30}"), 0, JitterSuggestion(900, ("me/0123", f"me/{'b' * 30}"), 1, 1)
    )
    text = described(cluster, timeline.titles, "...")
    assert f"on {'b' * 15}... and 0123 would" in text


def test_a_chart_without_lanes_is_its_heading() -> None:
    assert chart(drawn()) == "A day\n"


@pytest.mark.parametrize("marks", [BLOCKS, ASCII])
def test_no_two_states_look_alike(marks: text_chart.MarkSet) -> None:
    shapes = [*marks.states.values(), marks.now]
    assert len(set(shapes)) == len(shapes)
    assert all(cell_width.width(mark) == 1 for mark in [*shapes, *marks.steps])


@given(
    st.lists(st.text(min_size=1, max_size=40), min_size=1, max_size=5, unique=True),
    st.integers(50, 220),
    st.none() | st.integers(1, 60),
)
def test_any_name_fits_and_cannot_control_the_terminal(
    names: list[str], width: int, height: int | None
) -> None:
    spans = [SpanRow(at("02:00"), at("03:00"), "succeeded", 1, 1, 1, f"me/{name}") for name in names]
    timeline = build_timeline([job(name) for name in names], spans, DAY, {})
    for line in text_chart.lines("A day", timeline, [], UTC, ChartSize(width, height)):
        text = "".join(cell.text for cell in line)
        assert cell_width.width(text.rstrip()) <= width
        assert not {category(char) for char in text} & {"Cc", "Cf", "Cs", "Zl", "Zp"}


@pytest.mark.parametrize(
    ("text", "size", "cut"), [("数据库备份", 6, "数据… "), ("e\u0301e", 3, "e\u0301e "), ("abc", 2, "a…")]
)
def test_names_are_as_wide_as_they_look(text: str, size: int, cut: str) -> None:
    assert cell_width.fit(text, size) == cut


def test_lanes_end_where_the_window_does() -> None:
    night = TimeWindow(at("00:00"), at("2026-06-11T00:00"), at("2026-06-12T00:00"))
    eve = span("a", "2026-06-09T22:00", "01:00")
    late = span("a", "23:00", "2026-06-11T09:00")
    line = chart(drawn(eve, late, window=night)).splitlines()[2]
    assert line == f"a              ▆▆{'':44}▆▆      1"
