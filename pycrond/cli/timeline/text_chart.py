"""A day of jobs as lines of text: a lane a job, what starts when, and the stampedes. Pure.

A state is told by its character; the kind of a `Cell` is for whoever adds colours to that.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from textwrap import wrap
from unicodedata import combining, east_asian_width

from pycrond.cli.render.formatting import Cell
from pycrond.cli.timeline.clusters import Stampede, Suggestion
from pycrond.cli.timeline.lanes import Lane, Picture, foremost
from pycrond.cli.timeline.scale import Scale
from pycrond.schedule.schedule import Zone
from pycrond.schedule.timezone import instant
from pycrond.text import counted, visible

NAMES = 18  # characters that names keep, if they are as long, when columns are made
LABELS = 14  # characters of what stands before the histogram
COUNTS = 13  # characters of a lane's numbers, behind it
TALL = 4  # lines of the histogram
TOLD = 3  # stampedes
MOST, FEWEST = 40, 8  # lanes: where there is no end to the lines, and on the smallest terminal
LINES = 11  # that are neither lanes nor stampedes, nor the heading
Line = Sequence[Cell]


@dataclass(frozen=True, slots=True)
class Marks:
    """The characters of a picture, by state; `steps` are those of a column that grows."""

    states: Mapping[str, str]
    steps: str
    now: str
    more: str


STATES = ("coming", "succeeded", "running", "skipped", "missed", "lost", "failed")
"""As they are told apart; where several fall together the last one is shown."""
_LIKE = {"timed-out": "failed", "killed": "failed", "unknown": "lost", "claimed": "coming"}
_LIKE["waiting"] = "coming"
_KINDS = {"succeeded": "good", "running": "busy", "missed": "bad", "lost": "bad", "failed": "bad"}
LEGEND = {"succeeded": "ok", "lost": "lost or unknown", "failed": "failed, timed out or killed"}
LEGEND["coming"] = "to come"

BLOCKS = Marks(dict(zip(STATES, "·▆►-○?X", strict=True)), " ▁▂▃▄▅▆▇█", "│", "…")
ASCII = Marks(dict(zip(STATES, ".=>-o?X", strict=True)), " .:#", "|", "...")


@dataclass(frozen=True, slots=True)
class Look:
    """Where the picture is drawn."""

    width: int
    height: int | None = None
    """Of a terminal, in lines."""
    marks: Marks = BLOCKS


@dataclass(frozen=True, slots=True)
class _TextSheet:
    """Where it is drawn: a column of names, columns of time."""

    width: int
    names: int
    scale: Scale
    zone: Zone
    now: float
    marks: Marks


def lines(heading: str, picture: Picture, herds: Sequence[Stampede], zone: Zone, look: Look) -> list[Line]:
    """The whole picture."""
    drawn: list[Line] = [[Cell(line)] for line in wrap(heading, look.width, subsequent_indent="  ")]
    if not picture.lanes:
        return drawn
    titles = titles_of(picture)
    said = (told_of(herd, titles, zone, look.marks.more) for herd in herds[:TOLD])
    told = [line for text in said for line in _wrapped(text, look.width)]
    left = MOST if look.height is None else max(FEWEST, look.height - len(drawn) - LINES - len(told))
    return [
        *drawn,
        *_body(picture, herds, _sheet(picture, zone, look), left),
        *([Cell(line)] for line in told),
    ]


def _wrapped(text: str, width: int) -> list[str]:
    return wrap(text, width, subsequent_indent="  ", break_on_hyphens=False)


def _body(picture: Picture, herds: Sequence[Stampede], sheet: _TextSheet, most: int) -> Iterator[Line]:
    lanes = foremost(picture.lanes, most, sheet.scale.slot * 60)
    yield _axis(sheet, "STARTS  BAD")
    yield from (_lane(lane, sheet) for lane in lanes)
    if len(lanes) < len(picture.lanes):
        yield [Cell(f"{sheet.marks.more} and {len(picture.lanes) - len(lanes):,} more", "dim")]
    yield []
    yield from _histogram(picture, herds, sheet)
    yield _axis(sheet)
    yield []
    yield from _legend(lanes, sheet)


def _sheet(picture: Picture, zone: Zone, look: Look) -> _TextSheet:
    """Time has what room the names leave; with that in whole slots, the names have the rest."""
    widest = max((width_of(shown(lane.title)) for lane in picture.lanes), default=0)
    scale = Scale.of(picture.window, zone, look.width - min(NAMES, widest) - 1 - COUNTS)
    names = min(max(widest, LABELS), max(look.width - scale.columns - 1 - COUNTS, 1))
    return _TextSheet(look.width, names, scale, zone, picture.window.now, look.marks)


def titles_of(picture: Picture) -> dict[str, str]:
    """What jobs are called, by key; first those that have a name."""
    return {lane.key: shown(lane.title) for lane in sorted(picture.lanes, key=lambda one: one.name is None)}


def told_of(herd: Stampede, titles: Mapping[str, str], zone: Zone, more: str) -> str:
    """A stampede and what would part it, in a sentence."""
    again = f", some of them in {counted(herd.again, 'other minute')}, too" if herd.again else ""
    start = f"{zone.local(instant(herd.minute)):%H:%M}: {len(herd.jobs):,} jobs start together{again}; "
    if herd.suggestion is None:
        return start + "no jitter would part them"
    return start + _advice(herd.suggestion, titles, more)


def _advice(one: Suggestion, titles: Mapping[str, str], more: str) -> str:
    jobs = set(one.jobs)
    names = [fitted(titles[key], NAMES, more).rstrip() for key in titles if key in jobs][:2]
    others = f"{len(one.jobs) - 2:,} other{'s' if len(one.jobs) > 3 else ''}"
    them = " and ".join(names) if len(one.jobs) < 3 else f"{', '.join(names)} and {others}"
    most = f"{one.average:.0f} in the largest minute, {one.most:,} at most"
    return f"jitter={one.jitter // 60}m on {them} would leave about {most}"


def _axis(sheet: _TextSheet, ends: str = "") -> Line:
    row = [" "] * (sheet.scale.columns + 1)
    for column, hour in sheet.scale.hours(sheet.zone, 4):
        row[column : column + 2] = f"{hour:02}"
    return [Cell(f"{'':{sheet.names}} {''.join(row)[: sheet.scale.columns + 1]} {ends}".rstrip(), "dim")]


def _lane(lane: Lane, sheet: _TextSheet) -> Line:
    ranks = [-1] * sheet.scale.columns
    for bar in lane.bars:
        rank = STATES.index(like(bar.state))
        for column in sheet.scale.columns_of(bar, sheet.now):
            ranks[column] = max(ranks[column], rank)
    cells = [Cell(fitted(shown(lane.title), sheet.names, sheet.marks.more) + " ")]
    now = sheet.scale.column(sheet.now)
    for (rank, at_now), several in groupby((rank, at == now) for at, rank in enumerate(ranks)):
        word = STATES[rank] if rank >= 0 else ""
        mark = sheet.marks.states[word] if word else sheet.marks.now if at_now else " "
        cells.append(Cell(mark * len(list(several)), _KINDS.get(word, "dim")))
    failed = f" {lane.failed:4,}" if lane.failed else ""
    return [*cells, Cell(f" {lane.starts:6,}"), Cell(failed, "bad")]


def _histogram(picture: Picture, herds: Iterable[Stampede], sheet: _TextSheet) -> Iterator[Line]:
    """Columns as high as their busiest minute; whoever starts at all is seen."""
    most = sheet.scale.folded(picture.starts)
    top, fine = max(most, default=0), len(sheet.marks.steps) - 1
    highs = [-(-count * TALL * fine // max(top, 1)) for count in most]
    busy = {sheet.scale.column(herd.minute * 60) for herd in herds}
    for line, label in enumerate((f"{top:,}", "starts in the", "busiest minute", "0")):
        base = (TALL - 1 - line) * fine
        text = [sheet.marks.steps[min(max(high - base, 0), fine)] for high in highs]
        cells = [Cell(f"{label[: sheet.names]:>{sheet.names}} ")]
        for herd, several in groupby(enumerate(text), key=lambda pair: pair[0] in busy):
            cells.append(Cell("".join(mark for _, mark in several), "busy" if herd else ""))
        yield cells


def _legend(lanes: Iterable[Lane], sheet: _TextSheet) -> Iterator[Line]:
    """Of the states that are there, in as many lines as it takes."""
    seen = {like(bar.state) for lane in lanes for bar in lane.bars}
    row: list[Cell] = []
    used = 0
    for word in (word for word in reversed(STATES) if word in seen):
        text = f"{sheet.marks.states[word]} {LEGEND.get(word, word)}   "
        if used + len(text) > sheet.width and row:
            yield row
            row, used = [], 0
        row.append(Cell(text, _KINDS.get(word, "dim")))
        used += len(text)
    yield row


def shown(text: str) -> str:
    """A name as written, but for what a terminal would obey."""
    return visible(text.encode("utf-8", "surrogateescape")).replace("\t", " ")


def like(state: str) -> str:
    """The one of `STATES` that a state of the ledger is shown as."""
    return _LIKE.get(state, state)


def width_of(text: str) -> int:
    """Columns of a terminal."""
    return len(text) if text.isascii() else sum(map(_width, text))


def _width(char: str) -> int:
    return 0 if combining(char) else 2 if east_asian_width(char) in "WF" else 1


def fitted(text: str, size: int, more: str) -> str:
    """As wide as `size`: filled up, or cut."""
    if width_of(text) > size:
        text = text[: 2 * size]  # enough, and little to cut from
        while text and width_of(text) > size - len(more):
            text = text[:-1]
        text = (text + more)[:size]
    return text + " " * (size - width_of(text))
