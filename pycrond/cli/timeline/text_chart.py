"""A timeline as lines of text: a lane for each job, a histogram of starts, and the clusters. Pure.

Each state has its own character; the kind of a `Cell` is for colours.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from textwrap import wrap
from typing import NamedTuple

from pycrond.cli.render.cell_width import fit, widest
from pycrond.cli.render.formatting import KINDS, Cell
from pycrond.cli.timeline.clusters import Cluster, descriptions
from pycrond.cli.timeline.lanes import SHOWN_STATES, Lane, Timeline, foremost, legend, shown_state
from pycrond.cli.timeline.scale import TimeScale
from pycrond.schedule.timezone import Zone

NAMES_WIDTH = 18  # columns kept for long names before time gets the rest
LABELS_WIDTH = 14  # columns of the longest label beside the histogram
COUNTS_WIDTH = 13  # columns of a lane's numbers
HISTOGRAM_HEIGHT = 4  # lines
UNLIMITED_LANES, MIN_LANES = 40, 8  # if the output has no height, and on the smallest terminal
OTHER_LINES = 11  # besides the heading, the lanes and the sentences about clusters


class MarkSet(NamedTuple):
    """The characters of a chart; `steps` draw a column of the histogram, from empty to full."""

    states: Mapping[str, str]
    steps: str
    now: str
    ellipsis: str


BLOCKS = MarkSet(dict(zip(SHOWN_STATES, "·▆►-○?X", strict=True)), " ▁▂▃▄▅▆▇█", "│", "…")
ASCII = MarkSet(dict(zip(SHOWN_STATES, ".=>-o?X", strict=True)), " .:#", "|", "...")


class ChartSize(NamedTuple):
    """The space for a chart, in columns and, on a terminal, lines; and the characters it can show."""

    width: int
    height: int | None = None
    marks: MarkSet = BLOCKS


def lines(
    heading: str, timeline: Timeline, clusters: Sequence[Cluster], zone: Zone, size: ChartSize
) -> list[Sequence[Cell]]:
    """Return the whole chart; its heading if there are no lanes."""
    texts = wrap(heading, size.width, subsequent_indent="  ")
    head: list[Sequence[Cell]] = [[Cell(text)] for text in texts]
    if not timeline.lanes:
        return head
    foot = [
        [Cell(text)]
        for sentence in descriptions(clusters, timeline.titles, zone, size.marks.ellipsis)
        for text in wrap(sentence, size.width, subsequent_indent="  ", break_on_hyphens=False)
    ]
    most = UNLIMITED_LANES
    if size.height is not None:
        most = max(MIN_LANES, size.height - len(head) - OTHER_LINES - len(foot))
    return [*head, *_TextChart(timeline, zone, size).body(clusters, most), *foot]


class _TextChart:
    """The layout: a column of names, columns of time, and the numbers."""

    def __init__(self, timeline: Timeline, zone: Zone, size: ChartSize) -> None:
        """Give the names up to `NAMES_WIDTH`, time whole slots of the other columns, the names the rest."""
        names = widest([lane.title for lane in timeline.lanes])
        self.timeline, self.zone, self.marks, self.width = timeline, zone, size.marks, size.width
        self.scale = TimeScale.of(
            timeline.window, zone, size.width - min(NAMES_WIDTH, names) - 1 - COUNTS_WIDTH
        )
        self.names = min(max(names, LABELS_WIDTH), max(size.width - self.scale.columns - 1 - COUNTS_WIDTH, 1))

    def body(self, clusters: Sequence[Cluster], most: int) -> Iterator[Sequence[Cell]]:
        """Yield at most `most` lanes, between hours and histogram."""
        lanes = foremost(self.timeline.lanes, most, self.scale.slot * 60)
        yield self._hours("STARTS  BAD")
        yield from map(self._lane, lanes)
        if len(lanes) < len(self.timeline.lanes):
            yield [Cell(f"{self.marks.ellipsis} and {len(self.timeline.lanes) - len(lanes):,} more", "dim")]
        yield []
        yield from self._histogram(clusters)
        yield self._hours()
        yield []
        yield from self._legend(lanes)

    def _hours(self, ends: str = "") -> Sequence[Cell]:
        row = [" "] * (self.scale.columns + 1)
        for column, hour in self.scale.hours(self.zone, 4):
            row[column : column + 2] = f"{hour:02}"
        return [Cell(f"{'':{self.names}} {''.join(row)[: self.scale.columns + 1]} {ends}".rstrip(), "dim")]

    def _lane(self, lane: Lane) -> Sequence[Cell]:
        ranks = [-1] * self.scale.columns
        for bar in lane.bars:
            rank = SHOWN_STATES.index(shown_state(bar.state))
            for column in self.scale.columns_of(bar, self.timeline.window.now):
                ranks[column] = max(ranks[column], rank)
        name = fit(lane.title, self.names, ellipsis=self.marks.ellipsis)
        cells = [Cell(f"{name} ")]
        now = self.scale.column(self.timeline.window.now)
        for (rank, is_now), group in groupby((rank, column == now) for column, rank in enumerate(ranks)):
            state = SHOWN_STATES[rank] if rank >= 0 else ""
            mark = self.marks.states[state] if state else self.marks.now if is_now else " "
            cells.append(Cell(mark * len(list(group)), KINDS.get(state, "dim")))
        failed = f" {lane.failed:4,}" if lane.failed else ""
        return [*cells, Cell(f" {lane.starts:6,}"), Cell(failed, "bad")]

    def _histogram(self, clusters: Sequence[Cluster]) -> Iterator[Sequence[Cell]]:
        """Yield columns as high as their busiest minute, at least one step if anything starts."""
        counts = self.scale.busiest(self.timeline.starts)
        top, full = max(counts, default=0), len(self.marks.steps) - 1
        heights = [-(-count * HISTOGRAM_HEIGHT * full // max(top, 1)) for count in counts]
        clustered = {self.scale.column(cluster.minute * 60) for cluster in clusters}
        for line, label in enumerate((f"{top:,}", "starts in the", "busiest minute", "0")):
            base = (HISTOGRAM_HEIGHT - 1 - line) * full
            steps = [self.marks.steps[min(max(height - base, 0), full)] for height in heights]
            cells = [Cell(f"{label[: self.names]:>{self.names}} ")]
            for is_cluster, group in groupby(enumerate(steps), key=lambda pair: pair[0] in clustered):
                cells.append(Cell("".join(step for _, step in group), "busy" if is_cluster else ""))
            yield cells

    def _legend(self, lanes: Sequence[Lane]) -> Iterator[Sequence[Cell]]:
        row: list[Cell] = []
        used = 0
        for state, label in reversed(legend(lanes)):
            text = f"{self.marks.states[state]} {label}"
            if used + len(text) + 3 > self.width and row:
                yield row
                row, used = [], 0
            row += [Cell(text, KINDS.get(state, "dim")), Cell("   ")]
            used += len(text) + 3
        yield row
