"""The SVG chart: valid with any name, self-contained, a tooltip for each bar."""

import re
from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from pycrond.cli.timeline.clusters import Cluster, find_clusters
from pycrond.cli.timeline.lanes import SHOWN_STATES, Timeline, build_timeline
from pycrond.cli.timeline.svg_chart import STYLE, svg
from pycrond.ledger.rows import SpanRow
from pycrond.schedule.timezone import Zone
from pycrond.text import printable
from tests.cli.timeline.test_lanes import DAY, at, drawn, job, span
from tests.cli.timeline.test_text_chart import COMING, SPANS

BERLIN = Zone.of("Europe/Berlin")
SVG = "{http://www.w3.org/2000/svg}"


def parsed(timeline: Timeline, clusters: list[Cluster] | None = None, heading: str = "A day") -> ET.Element:
    return ET.fromstring(svg(heading, timeline, clusters or [], BERLIN))


def tooltips(root: ET.Element, kind: str) -> list[str]:
    shapes = (element for element in root.iter() if element.get("class") == kind)
    return [title.text or "" for shape in shapes if (title := shape.find(f"{SVG}title")) is not None]


def test_each_bar_has_a_tooltip() -> None:
    root = parsed(drawn(*SPANS, coming=COMING))
    assert tooltips(root, "succeeded") == [
        "backup: ok, 04:15:00 to 05:40:00 (1 h 25 m), run 7",
        "sync: ok, 02:00:00 to 02:01:00 (1 m), run 7",
    ]
    assert tooltips(root, "failed") == ["sync: failed, 08:00:00 to 08:01:00 (1 m), run 7"]
    assert tooltips(root, "missed") == ["sync: missed, 11:00:00 to 13:00:00 (2 h), 3 in one"]
    assert tooltips(root, "running") == ["report: running, 12:30:00 until now, run 7"]
    assert tooltips(root, "coming")[0] == "backup: to come, 01:00:00"
    assert tooltips(root, "now") == ["now"]
    assert len(tooltips(root, "starts")) == 8


def test_the_picture_is_self_contained_and_described() -> None:
    spans = [span(f"job-{number}", "02:00", "02:10") for number in range(41)]
    timeline = drawn(*spans)
    text = svg("A day", timeline, find_clusters(timeline.fires), BERLIN)
    assert not re.search(r"<script|href|url\(|@import|<!|https?://(?!www.w3.org/2000/svg)", text)
    root = ET.fromstring(text)
    assert root.get("role") == "img"
    title, description = root.findtext(f"{SVG}title"), root.findtext(f"{SVG}desc")
    assert title == "A day"
    assert description is not None
    assert description.startswith("04:00: 41 jobs start together; jitter=15m on job-0, job-1 and 39 others")
    assert {element.get("id") for element in root} >= {"title", "desc"}
    assert root.get("aria-labelledby") == "title desc"


def test_each_state_has_a_style_on_light_and_on_dark() -> None:
    light, _, dark = STYLE.partition("@media (prefers-color-scheme:dark)")
    for state in (*SHOWN_STATES, "starts", "cluster", "now", "text", "paper"):
        for style in (light, dark):
            assert re.search(rf"(^|[.,]){state}[,{{]", style, re.MULTILINE), state


def test_bars_that_would_touch_are_merged() -> None:
    spans = [span("a", f"{hour:02}:{minute:02}") for hour in range(12) for minute in range(60)]
    assert tooltips(parsed(drawn(*spans)), "succeeded") == [
        "a: ok, 02:00:00 to 13:59:00 (11 h 59 m), 720 in one"
    ]
    spans = [span("a", f"{hour:02}:{minute:02}") for hour in range(12) for minute in (0, 30)]
    assert len(tooltips(parsed(drawn(*spans)), "succeeded")) == 24


def test_of_many_lanes_the_most_important() -> None:
    spans = [span(f"job-{number}", "02:00") for number in range(150)]
    root = parsed(drawn(*spans, span("bad", "03:00", "03:00", "failed")))
    texts = [element.text for element in root.iter(f"{SVG}text")]
    assert "bad" in texts
    assert "… and 51 more" in texts


def test_nothing_is_drawn_outside() -> None:
    eve = span("a", "2026-06-09T22:00", "2026-06-11T09:00")
    (box,) = (
        element
        for element in parsed(drawn(eve)).iter()
        if element.get("class") == "succeeded" and len(element)
    )
    assert (float(box.get("x", 0)), float(box.get("width", 0))) == (200, 920)


@given(st.lists(st.text(min_size=1, max_size=60), min_size=1, max_size=4, unique=True), st.text(max_size=60))
def test_any_name_gives_valid_xml(names: list[str], heading: str) -> None:
    spans = [SpanRow(at("02:00"), at("03:00"), "succeeded", 1, 1, 1, f"me/{name}") for name in names]
    rows = [job(name) for name in names]
    rows[0] = rows[0]._replace(name=None, command=names[0])
    cluster = Cluster(120, tuple(bar.key for bar in spans))
    root = parsed(build_timeline(rows, spans, DAY, {}), [cluster], heading)
    assert len(tooltips(root, "succeeded")) == len(names)
    titles = {text.partition(": ok,")[0] for text in tooltips(root, "succeeded")}
    assert titles >= {printable(name).replace("\r", "") for name in names[1:] if ": ok," not in name}
