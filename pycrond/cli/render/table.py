"""Tables that fit a terminal: choosing and cutting columns, and the details printed below a row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pycrond.cli.render import cell_width
from pycrond.cli.render.formatting import Cell
from pycrond.text import printable, printable_all

INDENT = "    "
MIN_WIDTH = 12  # characters that every column keeps, unless its texts are shorter
StyledLine = Sequence[tuple[str, str]]
"""The pieces of a line, each a text and its kind: cells, or plain tuples, which are made faster."""


@dataclass(slots=True, eq=False)
class TableColumn:
    """A heading and a cell for each row."""

    heading: str
    cells: Sequence[Cell]
    rank: int = 0
    """0: always shown. Of the other columns, the lowest ranks are shown first, but no empty ones."""
    least: int = 1 << 16
    """The column may be cut to this width if space is short."""
    right: bool = False
    """Align to the right."""
    gap: int = 2
    """Spaces after the column."""
    texts: Sequence[str] = field(init=False)
    """The heading and the cells, printable."""
    natural: int = field(init=False)
    """The width of the widest text."""

    def __post_init__(self) -> None:
        self.texts = printable_all([self.heading, *(text for text, _ in self.cells)])
        self.natural = cell_width.widest(self.texts)
        self.least = min(self.least, self.natural)


def lay_out(
    columns: Sequence[TableColumn], width: int, below: Mapping[int, StyledLine] | None = None
) -> list[StyledLine]:
    """Return lines of at most `width` columns: the headings, and each row with its line `below`."""
    shown = _shown_columns(columns, width)
    sizes = _sizes(shown, width)
    padded = [
        cell_width.fit_all(column.texts, size, right=column.right)
        for column, size in zip(shown, sizes, strict=True)
    ]
    kinds = [["head", *(kind for _, kind in column.cells)] for column in shown]
    gaps = [" " * column.gap for column in shown]
    too_wide = _total(shown, sizes) > width
    lines: list[StyledLine] = []
    rows = zip(zip(*padded, strict=True), zip(*kinds, strict=True), strict=True)
    for number, (texts, row_kinds) in enumerate(rows, -1):
        line = _joined(texts, row_kinds, gaps)
        lines.append(clipped(line, width) if too_wide else line)
        if below and number in below:
            lines.append(clipped([(INDENT, ""), *below[number]], width))
    return lines


def columns_of(rows: Sequence[Sequence[Cell]]) -> list[TableColumn]:
    """Return the columns of a table given as rows, the headings first; the widest ones may be cut."""
    return [TableColumn(cells[0].text, cells[1:], least=MIN_WIDTH) for cells in zip(*rows, strict=True)]


def _shown_columns(columns: Sequence[TableColumn], width: int) -> list[TableColumn]:
    """Return the columns that fit if each is as narrow as it may be, in their order."""
    shown = [column for column in columns if not column.rank]
    used = _total(shown, [column.least for column in shown])
    for column in sorted(columns, key=lambda column: column.rank):
        if column.rank and any(column.texts[1:]) and used + column.least + column.gap <= width:
            # Count up to twice the least width, so that columns of higher ranks do not squeeze this one.
            used += min(column.natural, 2 * column.least) + column.gap
            shown.append(column)
    return [column for column in columns if column in shown]


def _sizes(columns: Sequence[TableColumn], width: int) -> list[int]:
    """Cut the widest columns first: down to their least width, then, if necessary, all to `MIN_WIDTH`."""
    sizes = [min(column.natural, width) for column in columns]
    for floors in (
        [column.least for column in columns],
        [min(column.natural, MIN_WIDTH) for column in columns],
    ):
        for _ in range(_total(columns, sizes) - width):
            room = [size if size > floor else 0 for size, floor in zip(sizes, floors, strict=True)]
            if not any(room):
                break
            sizes[room.index(max(room))] -= 1
    return sizes


def _total(columns: Sequence[TableColumn], sizes: Sequence[int]) -> int:
    return sum(sizes) + sum(column.gap for column in columns[:-1])


def _joined(texts: Sequence[str], kinds: Sequence[str], gaps: Sequence[str]) -> StyledLine:
    """Return a row as a line without spaces at its end."""
    last = len(texts) - 1
    while last and (not texts[last] or texts[last].isspace()):
        last -= 1
    line = [(text + gap, kind) for text, kind, gap in zip(texts[:last], kinds, gaps, strict=False)]
    line.append((texts[last].rstrip(" "), kinds[last]))
    return line


def clipped(line: StyledLine, width: int) -> StyledLine:
    """Return a line cut to `width` columns, with control characters escaped."""
    pieces = []
    for text, kind in line:
        kept = cell_width.cut(printable(text), width)
        width -= cell_width.width(kept)
        pieces.append((kept, kind))
    return pieces


def plain_text(line: StyledLine) -> str:
    """Return the text of a line, without colours and trailing spaces."""
    return "".join(text for text, _ in line).rstrip(" ")
