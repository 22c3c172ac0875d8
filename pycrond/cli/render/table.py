"""Tables that fit a terminal: which columns there is room for, which are cut, and what stands below a row."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pycrond.cli.render import cell_width
from pycrond.cli.render.formatting import NARROWEST, Cell
from pycrond.text import shown, shown_all

INDENT = "    "
Line = Sequence[tuple[str, str]]
"""The pieces of a line, one after the other: cells, or what is as good and sooner made."""


class Column(NamedTuple):
    """A head and a cell for each row."""

    head: str
    cells: Sequence[Cell]
    rank: int = 0
    """0: always there. The higher, the sooner it gives way to others; empty ones have no place at all."""
    least: int = 1 << 16
    """It may be cut to so many columns of the terminal for the sake of others."""
    right: bool = False
    gap: int = 2
    """Spaces after it."""


class _Sized(NamedTuple):
    column: Column
    texts: Sequence[str]
    natural: int

    @property
    def least(self) -> int:
        return min(self.column.least, self.natural)


def lay_out(columns: Sequence[Column], width: int, below: Mapping[int, Line] | None = None) -> list[Line]:
    """Lines that are at most `width` wide: the head, and each row with what stands indented below it."""
    chosen = _chosen([_sized(one) for one in columns], width)
    sizes = _sizes(chosen, width)
    padded = [
        cell_width.fit_all(one.texts, size, right=one.column.right)
        for one, size in zip(chosen, sizes, strict=True)
    ]
    kinds = [["head", *(kind for _, kind in one.column.cells)] for one in chosen]
    gaps = [" " * one.column.gap for one in chosen]
    wide = _needed(chosen, sizes) > width
    lines: list[Line] = []
    for number, (texts, row) in enumerate(
        zip(zip(*padded, strict=True), zip(*kinds, strict=True), strict=True)
    ):
        line = _joined(texts, row, gaps)
        lines.append(clipped(line, width) if wide else line)
        if below and number - 1 in below:
            lines.append(clipped([Cell(INDENT), *below[number - 1]], width))
    return lines


def _sized(column: Column) -> _Sized:
    texts = shown_all([column.head, *(text for text, _ in column.cells)])
    return _Sized(column, texts, cell_width.widest(texts))


def _chosen(columns: Sequence[_Sized], width: int) -> list[_Sized]:
    """Those that there is room for when each is as narrow as it may be."""
    kept = {place for place, one in enumerate(columns) if not one.column.rank}
    used = _needed(
        [columns[place] for place in sorted(kept)], [columns[place].least for place in sorted(kept)]
    )
    optional = (place for place, one in enumerate(columns) if one.column.rank and any(one.texts[1:]))
    for place in sorted(optional, key=lambda place: columns[place].column.rank):
        one = columns[place]
        if used + one.least + one.column.gap <= width:
            used += min(one.natural, 2 * one.least) + one.column.gap  # what comes after it leaves it as much
            kept.add(place)
    return [columns[place] for place in sorted(kept)]


def _sizes(columns: Sequence[_Sized], width: int) -> list[int]:
    """The widest of those that may be cut gives way first; where that is not enough, the widest of all."""
    sizes = [min(one.natural, width) for one in columns]
    for floors in ([one.least for one in columns], [min(one.natural, NARROWEST) for one in columns]):
        while (over := _needed(columns, sizes) - width) > 0:
            room = [size if size > floor else 0 for size, floor in zip(sizes, floors, strict=True)]
            if not (most := max(room)):
                break
            place = room.index(most)
            others = max((size for number, size in enumerate(room) if number != place), default=0)
            sizes[place] = max(floors[place], min(most - 1, max(others, most - over)))
    return sizes


def _needed(columns: Sequence[_Sized], sizes: Sequence[int]) -> int:
    return sum(sizes) + sum(one.column.gap for one in columns[:-1])


def _joined(texts: Sequence[str], kinds: Sequence[str], gaps: Sequence[str]) -> Line:
    """A row as pieces, without spaces at its end."""
    last = len(texts) - 1
    while last and (not texts[last] or texts[last].isspace()):
        last -= 1
    line = [(text + gap, kind) for text, kind, gap in zip(texts[:last], kinds, gaps, strict=False)]
    line.append((texts[last].rstrip(" "), kinds[last]))
    return line


def clipped(line: Line, width: int) -> Line:
    """A line that goes no further than `width`, made fit for a terminal."""
    pieces = []
    for text, kind in line:
        kept = cell_width.cut(shown(text), width)
        width -= cell_width.width(kept)
        pieces.append((kept, kind))
    return pieces


def table(rows: Sequence[Sequence[Cell]], width: int) -> list[Line]:
    """Rows of cells, the first one the head; every column is there, the widest are cut."""
    return lay_out(
        [Column(column[0].text, column[1:], least=NARROWEST) for column in zip(*rows, strict=True)], width
    )


def plain(lines: Sequence[Line]) -> list[str]:
    """Without their meaning."""
    return ["".join(text for text, _ in line).rstrip(" ") for line in lines]
