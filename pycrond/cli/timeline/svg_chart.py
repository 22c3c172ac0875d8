"""A timeline as a self-contained SVG picture. Pure.

Each state has its own shape and a tooltip, and also a colour for light and for dark pages.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from textwrap import wrap

from pycrond import clock
from pycrond.cli.render.cell_width import cut
from pycrond.cli.timeline.clusters import Cluster, descriptions
from pycrond.cli.timeline.lanes import (
    COMING,
    LABELS,
    SHOWN_STATES,
    Lane,
    Timeline,
    foremost,
    legend,
    shown_state,
)
from pycrond.cli.timeline.scale import TimeScale
from pycrond.jobs.run import State
from pycrond.ledger.rows import SpanRow
from pycrond.schedule.timezone import Zone, instant
from pycrond.text import counted, duration, printable

WIDTH, LEFT, RIGHT, TOP = 1200, 200, 80, 58  # pixels: the picture, and the margins of its columns of time
ROW_HEIGHT = 20  # pixels
HISTOGRAM_HEIGHT = 80  # pixels
MAX_LANES = 100
MAX_SLOTS = 480  # columns of the histogram
MIN_GAP = 2.0  # pixels between two bars; closer bars are merged
CROSS_WIDTH = 10.0  # pixels; a wider failed bar has a cross
NAME_WIDTH = 25  # characters
SENTENCE_WIDTH = 170  # characters
SHAPES: Mapping[str, tuple[int, float, int]] = {  # height and least width in pixels, radius of the corners
    State.SUCCEEDED: (12, 2.0, 1),
    State.FAILED: (18, 3.0, 0),
    State.SKIPPED: (6, 5.0, 0),
    State.MISSED: (10, 10.0, 5),
    State.LOST: (14, 5.0, 0),
    COMING: (4, 2.0, 0),
}
_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"})
_SHAPE_STYLES = """
svg{font:12px system-ui,-apple-system,"Segoe UI","DejaVu Sans",sans-serif}.h{font-size:15px;font-weight:600}
.e{text-anchor:end}.m{text-anchor:middle}.now{stroke-dasharray:3 2}
.cross{stroke-width:1.5;pointer-events:none}
.skipped,.missed,.lost{stroke-width:1.5}.lost{stroke-dasharray:2 1.5}
"""
_COLOURS = (  # on light, on dark; not as CSS variables, which not every SVG viewer supports
    ("text", "fill", "#1f2328", "#e6edf3"),
    (".f,.coming", "fill", "#59636e", "#9198a1"),
    (".skipped", "stroke", "#59636e", "#9198a1"),
    (".l", "stroke", "#d1d9e0", "#3d444d"),
    (".paper,.skipped,.missed,.lost", "fill", "#ffffff", "#0d1117"),
    (".cross", "stroke", "#ffffff", "#0d1117"),
    (".succeeded", "fill", "#1a7f37", "#3fb950"),
    (".failed,.bad", "fill", "#cf222e", "#f85149"),
    (".missed,.lost,.now", "stroke", "#cf222e", "#f85149"),
    (".running,.cluster", "fill", "#9a6700", "#d29922"),
    (".starts", "fill", "#0969da", "#4493f8"),
)
_LIGHT, _DARK = ("".join(f"{row[0]}{{{row[1]}:{row[place]}}}\n" for row in _COLOURS) for place in (2, 3))
STYLE = f"{_SHAPE_STYLES}{_LIGHT}@media (prefers-color-scheme:dark){{\n{_DARK}}}\n"


def svg(heading: str, timeline: Timeline, clusters: Sequence[Cluster], zone: Zone) -> str:
    """Return the whole picture; its sentences about clusters are also its description."""
    lanes = foremost(timeline.lanes, MAX_LANES, 60)
    sentences = [
        line
        for sentence in descriptions(clusters, timeline.titles, zone, "…")
        for line in wrap(sentence, SENTENCE_WIDTH)
    ]
    left_out = len(timeline.lanes) - len(lanes)
    bottom = TOP + ROW_HEIGHT * (len(lanes) + bool(left_out)) + 20 + HISTOGRAM_HEIGHT
    height = bottom + 70 + ROW_HEIGHT * len(sentences)
    chart = _SvgChart(timeline, zone)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}"',
        f'height="{height}" role="img" aria-labelledby="title desc">',
        f'<title id="title">{escaped(heading)}</title>',
        f'<desc id="desc">{escaped(" ".join(sentences) or "No stampedes.")}</desc>',
        f"<style>{STYLE}</style>",
        f'<rect class="paper" width="{WIDTH}" height="{height}"/>',
        _text(12, 24, heading, "h"),
        *chart.hours(bottom),
        *(part for place, lane in enumerate(lanes) for part in chart.lane(lane, TOP + ROW_HEIGHT * place)),
    ]
    if left_out:
        parts.append(_text(12, bottom - HISTOGRAM_HEIGHT - 25, f"… and {left_out:,} more", "f"))
    parts += chart.histogram(clusters, bottom)
    parts += _legend(lanes, bottom + 35)
    parts += [_text(12, bottom + 55 + ROW_HEIGHT * line, text) for line, text in enumerate(sentences, 1)]
    return "\n".join([*parts, "</svg>", ""])


class _SvgChart:
    """The parts of the picture that lie in columns of time."""

    def __init__(self, timeline: Timeline, zone: Zone) -> None:
        self.timeline, self.window, self.zone = timeline, timeline.window, zone
        self.scale = TimeScale.of(timeline.window, zone, MAX_SLOTS)

    def x(self, seconds: float) -> float:
        span = self.scale.columns * self.scale.slot * 60
        share = (seconds - self.scale.origin * 60) / span
        return LEFT + (WIDTH - LEFT - RIGHT) * min(max(share, 0.0), 1.0)

    def hours(self, bottom: int) -> Iterator[str]:
        """Yield lines with labels at both ends, the headings of the numbers, and the present."""
        for column, hour in self.scale.hours(self.zone, 13):
            x = self.x(self.scale.minute(column) * 60)
            yield f'<path class="l" d="M{x:.1f} {TOP - 4}V{bottom}"/>'
            yield _text(x, TOP - 8, f"{hour:02}", "f m") + _text(x, bottom + 15, f"{hour:02}", "f m")
        yield _text(WIDTH - 34, TOP - 8, "starts", "f e") + _text(WIDTH - 6, TOP - 8, "bad", "f e")
        if self.window.start <= self.window.now < self.window.until:
            x = self.x(self.window.now)
            yield f'<path class="now" d="M{x:.1f} {TOP - 4}V{bottom}"><title>now</title></path>'

    def lane(self, lane: Lane, y: int) -> Iterator[str]:
        yield _text(12, y + 14, cut(lane.title, NAME_WIDTH).rstrip(), about=lane.title)
        yield _text(WIDTH - 34, y + 14, f"{lane.starts:,}", "e")
        if lane.failed:
            yield _text(WIDTH - 6, y + 14, f"{lane.failed:,}", "e bad")
        for state in SHOWN_STATES:
            for bar in self._merged(bar for bar in lane.bars if shown_state(bar.state) == state):
                x, end = self.x(bar.start), self.x(self.window.now if bar.end is None else bar.end)
                yield _bar(state, x, y, end - x, f"{lane.title}: {self._about(bar)}")

    def _merged(self, bars: Iterable[SpanRow]) -> list[SpanRow]:
        """Merge bars that would touch."""
        merged: list[SpanRow] = []
        for bar in bars:
            last = merged[-1] if merged else None
            if last and last.end is not None and self.x(bar.start) - self.x(last.end) < MIN_GAP:
                end = None if bar.end is None else max(last.end, bar.end)
                merged[-1] = last._replace(end=end, run=None, fires=last.fires + bar.fires)
            else:
                merged.append(bar)
        return merged

    def _about(self, bar: SpanRow) -> str:
        """Return the text of a tooltip."""
        word = LABELS[bar.state] if bar.state in {COMING, State.SUCCEEDED} else bar.state
        runs = f", {bar.fires:,} in one" if bar.fires > 1 else f", run {bar.run}" if bar.run else ""
        times = self._clock(bar.start)
        if bar.end is None:
            times += " until now"
        elif bar.end > bar.start:
            times += f" to {self._clock(bar.end)} ({duration(bar.end - bar.start)})"
        return f"{word}, {times}{runs}"

    def _clock(self, seconds: float) -> str:
        return f"{self.zone.local(clock.at(seconds)):%H:%M:%S}"

    def histogram(self, clusters: Iterable[Cluster], bottom: int) -> Iterator[str]:
        """Yield a column for each slot, as high as its busiest minute."""
        counts = self.scale.busiest(self.timeline.starts)
        top = max([1, *counts])
        clustered = {self.scale.column(cluster.minute * 60) for cluster in clusters}
        wide = (WIDTH - LEFT - RIGHT) / self.scale.columns
        middle, ceiling = bottom - HISTOGRAM_HEIGHT // 2, bottom - HISTOGRAM_HEIGHT + 10
        yield _text(12, middle, "starts in the busiest")
        yield _text(12, middle + 15, f"of {counted(self.scale.slot, 'minute')}")
        yield _text(LEFT - 6, ceiling, f"{top:,}", "f e") + _text(LEFT - 6, bottom, "0", "f e")
        for column, count in enumerate(counts):
            if count:
                high = max(1.0, HISTOGRAM_HEIGHT * count / top)
                at = self.zone.local(instant(self.scale.minute(column)))
                about = f"<title>{at:%H:%M}: {count:,} in a minute</title>"
                box = _box(LEFT + wide * column, bottom - high, max(1.0, wide - 0.4), high)
                yield f'<rect class="{"cluster" if column in clustered else "starts"}" {box}>{about}</rect>'
        yield f'<path class="l" d="M{LEFT} {bottom}H{WIDTH - RIGHT}"/>'


def _bar(state: str, x: float, y: int, wide: float, about: str) -> str:
    """Return a bar in the shape of its state: an arrow if it is running, else a box."""
    title = f"<title>{escaped(about)}</title>" if about else ""
    if state == State.RUNNING:
        wide, middle = max(wide, 6.0), y + ROW_HEIGHT / 2
        outline = f"M{x:.1f} {middle - 6}h{wide - 5:.1f}l5 6l-5 6h{5 - wide:.1f}z"
        return f'<path class="running" d="{outline}">{title}</path>'
    high, least, radius = SHAPES[state]
    box = _box(x, y + (ROW_HEIGHT - high) / 2, max(wide, least), high)
    cross = ""
    if state == State.FAILED and wide > CROSS_WIDTH:
        cross = f'<path class="cross" d="M{x + wide / 2 - 3:.1f} {y + 7}l6 6m-6 0l6-6"/>'
    return f'<rect class="{state}" {box} rx="{radius}">{title}</rect>{cross}'


def _box(x: float, y: float, wide: float, high: float) -> str:
    return f'x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{high:.1f}"'


def _legend(lanes: Iterable[Lane], y: int) -> Iterator[str]:
    x = 12.0
    for state, label in legend(lanes):
        yield _bar(state, x, y, 14.0, "") + _text(x + 22, y + 14, label)
        x += 22 + 7 * len(label) + 24


def _text(x: float, y: float, text: str, kind: str = "", about: str = "") -> str:
    title = f"<title>{escaped(about)}</title>" if about else ""
    class_ = f' class="{kind}"' if kind else ""
    return f'<text x="{x:g}" y="{y:g}"{class_}>{escaped(text)}{title}</text>'


def escaped(text: str) -> str:
    """Return a text for XML; `printable` leaves no character that XML forbids."""
    return printable(text).translate(_ENTITIES)
