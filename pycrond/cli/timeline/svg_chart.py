"""A day of jobs as a picture in SVG that needs nothing else. Pure.

A state is told by the shape of its bars, and by a tooltip; colours come to that, for light and dark.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from textwrap import wrap

from pycrond.cli.render import formatting
from pycrond.cli.timeline import text_chart
from pycrond.cli.timeline.clusters import Stampede
from pycrond.cli.timeline.lanes import COMING, Lane, Picture, Window, foremost
from pycrond.cli.timeline.scale import Scale
from pycrond.ledger.rows import SpanRow
from pycrond.schedule.schedule import Zone
from pycrond.schedule.timezone import instant
from pycrond.text import counted

WIDTH, LEFT, RIGHT, TOP = 1200, 200, 80, 58
ROW = 20
LANES = 100
HEIGHT = 80  # of the histogram
SLOTS = 480  # of the histogram
THINNEST = 2.0  # pixels of a bar
CROSSED = 10.0  # pixels of one that failed and has room for a cross
SHAPES = {  # height, least width, roundness
    "succeeded": (12, 2.0, 1),
    "failed": (18, 3.0, 0),
    "skipped": (6, 5.0, 0),
    "missed": (10, 10.0, 5),
    "lost": (14, 5.0, 0),
    "coming": (4, 2.0, 0),
}
_ESCAPED = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"})
_FIXED = """
svg{font:12px system-ui,-apple-system,"Segoe UI","DejaVu Sans",sans-serif}.h{font-size:15px;font-weight:600}
.e{text-anchor:end}.m{text-anchor:middle}.now{stroke-dasharray:3 2}
.cross{stroke-width:1.5;pointer-events:none}
.skipped,.missed,.lost{stroke-width:1.5}.lost{stroke-dasharray:2 1.5}
"""
_COLOURS = (  # on light, on dark; not as variables, which not every program that shows SVG knows
    ("text", "fill", "#1f2328", "#e6edf3"),
    (".f,.coming", "fill", "#59636e", "#9198a1"),
    (".skipped", "stroke", "#59636e", "#9198a1"),
    (".l", "stroke", "#d1d9e0", "#3d444d"),
    (".paper,.skipped,.missed,.lost", "fill", "#ffffff", "#0d1117"),
    (".cross", "stroke", "#ffffff", "#0d1117"),
    (".succeeded", "fill", "#1a7f37", "#3fb950"),
    (".failed,.bad", "fill", "#cf222e", "#f85149"),
    (".missed,.lost,.now", "stroke", "#cf222e", "#f85149"),
    (".running,.herd", "fill", "#9a6700", "#d29922"),
    (".starts", "fill", "#0969da", "#4493f8"),
)
_LIGHT, _DARK = ("".join(f"{row[0]}{{{row[1]}:{row[place]}}}\n" for row in _COLOURS) for place in (2, 3))
STYLE = f"{_FIXED}{_LIGHT}@media (prefers-color-scheme:dark){{\n{_DARK}}}\n"


def svg(heading: str, picture: Picture, herds: Sequence[Stampede], zone: Zone) -> str:
    """The whole picture; what it says in words is its description."""
    lanes = foremost(picture.lanes, LANES, 60)
    sheet = _SvgSheet(Scale.of(picture.window, zone, SLOTS), picture.window, zone)
    titles = text_chart.titles_of(picture)
    said = [
        line
        for herd in herds[: text_chart.TOLD]
        for line in wrap(text_chart.told_of(herd, titles, zone, "…"), 170)
    ]
    left = len(picture.lanes) - len(lanes)
    under = TOP + ROW * (len(lanes) + bool(left))
    height = under + HEIGHT + 90 + ROW * len(said)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}"',
        f'height="{height}" role="img" aria-labelledby="title desc">',
        f'<title id="title">{escaped(heading)}</title>',
        f'<desc id="desc">{escaped(" ".join(said) or "No stampedes.")}</desc>',
        f"<style>{STYLE}</style>",
        f'<rect class="paper" width="{WIDTH}" height="{height}"/>',
        _text(12, 24, heading, "h"),
        *sheet.hours(under + 20 + HEIGHT),
        *(part for place, lane in enumerate(lanes) for part in sheet.lane(lane, TOP + ROW * place)),
    ]
    if left:
        parts.append(_text(12, under - 5, f"… and {left:,} more", "f"))
    parts += sheet.histogram(picture, herds, under + 20)
    parts += _legend(lanes, under + HEIGHT + 55)
    parts += [_text(12, under + HEIGHT + 75 + ROW * (line + 1), text) for line, text in enumerate(said)]
    return "\n".join([*parts, "</svg>", ""])


@dataclass(frozen=True, slots=True)
class _SvgSheet:
    """Where times lie on the picture."""

    scale: Scale
    window: Window
    zone: Zone

    def x(self, seconds: float) -> float:
        whole = self.scale.columns * self.scale.slot * 60
        share = (seconds - self.scale.origin * 60) / whole
        return LEFT + (WIDTH - LEFT - RIGHT) * min(max(share, 0.0), 1.0)

    def hours(self, bottom: int) -> Iterator[str]:
        """Lines and labels, above and below; the present."""
        for column, hour in self.scale.hours(self.zone, 13):
            x = self.x((self.scale.origin + column * self.scale.slot) * 60)
            yield f'<path class="l" d="M{x:.1f} {TOP - 4}V{bottom}"/>'
            yield _text(x, TOP - 8, f"{hour:02}", "f m") + _text(x, bottom + 15, f"{hour:02}", "f m")
        yield _text(WIDTH - 34, TOP - 8, "starts", "f e") + _text(WIDTH - 6, TOP - 8, "bad", "f e")
        if self.window.start <= self.window.now < self.window.until:
            x = self.x(self.window.now)
            yield f'<path class="now" d="M{x:.1f} {TOP - 4}V{bottom}"><title>now</title></path>'

    def lane(self, lane: Lane, y: int) -> Iterator[str]:
        name = text_chart.shown(lane.title)
        yield _text(12, y + 14, text_chart.fitted(name, 25, "…").rstrip(), about=name)
        yield _text(WIDTH - 34, y + 14, f"{lane.starts:,}", "e")
        if lane.failed:
            yield _text(WIDTH - 6, y + 14, f"{lane.failed:,}", "e bad")
        for state in text_chart.STATES:  # what matters more lies above
            for bar in self._merged(bar for bar in lane.bars if text_chart.like(bar.state) == state):
                end = self.window.now if bar.end is None else bar.end
                x = self.x(bar.start)
                about = f"{name}: {self._about(bar)}"
                yield _bar(state, x, y, self.x(end) - x, about)

    def _merged(self, bars: Iterable[SpanRow]) -> Iterator[SpanRow]:
        """Bars that would touch are one."""
        last: SpanRow | None = None
        for bar in bars:
            if last and last.end is not None and self.x(bar.start) - self.x(last.end) < THINNEST:
                end = None if bar.end is None else max(last.end, bar.end)
                last = last._replace(end=end, run=None, several=last.several + bar.several)
                continue
            if last:
                yield last
            last = bar
        if last:
            yield last

    def _about(self, bar: SpanRow) -> str:
        """What a tooltip says."""
        word = "ok" if bar.state == "succeeded" else "to come" if bar.state == COMING else bar.state
        several = f", {bar.several:,} in one" if bar.several > 1 else f", run {bar.run}" if bar.run else ""
        times = self._clock(bar.start)
        if bar.end is None:
            times += " until now"
        elif bar.end > bar.start:
            times += f" to {self._clock(bar.end)} ({formatting.took(bar.end - bar.start)})"
        return f"{word}, {times}{several}"

    def _clock(self, seconds: float) -> str:
        return f"{self.zone.local(datetime.fromtimestamp(seconds, UTC)):%H:%M:%S}"

    def histogram(self, picture: Picture, herds: Iterable[Stampede], y: int) -> Iterator[str]:
        """The busiest minute of each slot."""
        most = self.scale.folded(picture.starts)
        top = max([1, *most])
        busy = {self.scale.column(herd.minute * 60) for herd in herds}
        wide = (WIDTH - LEFT - RIGHT) / self.scale.columns
        yield _text(12, y + HEIGHT // 2, "starts in the busiest")
        yield _text(12, y + HEIGHT // 2 + 15, f"of {counted(self.scale.slot, 'minute')}")
        yield _text(LEFT - 6, y + 10, f"{top:,}", "f e") + _text(LEFT - 6, y + HEIGHT, "0", "f e")
        for column, count in enumerate(most):
            if count:
                high = max(1.0, HEIGHT * count / top)
                at = self.zone.local(instant(self.scale.origin + column * self.scale.slot))
                about = f"<title>{at:%H:%M}: {count:,} in a minute</title>"
                box = _box(LEFT + wide * column, y + HEIGHT - high, max(1.0, wide - 0.4), high)
                yield f'<rect class="{"herd" if column in busy else "starts"}" {box}>{about}</rect>'
        yield f'<path class="l" d="M{LEFT} {y + HEIGHT}H{WIDTH - RIGHT}"/>'


def _bar(state: str, x: float, y: int, wide: float, about: str) -> str:
    """A state's own shape: as high as the row, half of it, hollow, pointed."""
    title = f"<title>{escaped(about)}</title>" if about else ""
    if state == "running":
        wide, middle = max(wide, 6.0), y + ROW / 2
        ends = f"M{x:.1f} {middle - 6}h{wide - 5:.1f}l5 6l-5 6h{5 - wide:.1f}z"
        return f'<path class="running" d="{ends}">{title}</path>'
    high, least, round_ = SHAPES[state]
    box = _box(x, y + (ROW - high) / 2, max(wide, least), high)
    cross = ""
    if state == "failed" and wide > CROSSED:
        middle = x + wide / 2
        cross = f'<path class="cross" d="M{middle - 3:.1f} {y + 7}l6 6m-6 0l6-6"/>'
    return f'<rect class="{state}" {box} rx="{round_}">{title}</rect>{cross}'


def _box(x: float, y: float, wide: float, high: float) -> str:
    return f'x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{high:.1f}"'


def _legend(lanes: Iterable[Lane], y: int) -> Iterator[str]:
    seen = {text_chart.like(bar.state) for lane in lanes for bar in lane.bars}
    x = 12.0
    for state in text_chart.STATES:
        if state in seen:
            words = text_chart.LEGEND.get(state, state)
            yield _bar(state, x, y, 14.0, "") + _text(x + 22, y + 14, words)
            x += 22 + 7 * len(words) + 24


def _text(x: float, y: float, text: str, kind: str = "", about: str = "") -> str:
    told = f"<title>{escaped(about)}</title>" if about else ""
    named = f' class="{kind}"' if kind else ""
    return f'<text x="{x:g}" y="{y:g}"{named}>{escaped(text)}{told}</text>'


def escaped(text: str) -> str:
    """What XML may hold; no character of `shown` is one that it may not."""
    return text_chart.shown(text).translate(_ESCAPED)
