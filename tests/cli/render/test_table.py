"""Tables: with any text no line is wider than the terminal, and the important columns stay."""

import unicodedata
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from pycrond.cli.render import cell_width
from pycrond.cli.render.formatting import Cell
from pycrond.cli.render.table import StyledLine, TableColumn, clipped, columns_of, lay_out, plain_text
from pycrond.text import printable


def plain(lines: Sequence[StyledLine]) -> list[str]:
    return [plain_text(line) for line in lines]


# Widths, in columns of a terminal.


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("", 0),
        ("abc", 3),
        ("grün", 4),
        ("gru\u0308n", 4),
        ("備份", 4),
        ("\uff46", 2),
        ("🙂", 2),
        ("❤\ufe0f", 2),
        ("⭐\ufe0f", 2),
        (" \ufe0f", 1),
        ("0\u0300\ufe0f", 2),
        ("❤\ufe0f\ufe0f", 2),
        ("\ufe0fa", 1),
        ("…", 1),
    ],
)
def test_width(text: str, columns: int) -> None:
    assert cell_width.width(text) == columns == cell_len(text)


@pytest.mark.parametrize(
    ("text", "size", "fitted"),
    [
        ("abc", 3, "abc"),
        ("abc", 5, "abc  "),
        ("abc", 2, "a…"),
        ("abc", 1, "…"),
        ("abc", 0, ""),
        ("備份資料", 8, "備份資料"),
        ("備份資料", 7, "備份資…"),
        ("備份資料", 6, "備份… "),
        ("e\u0301e\u0301e\u0301", 2, "e\u0301…"),
    ],
)
def test_fit(text: str, size: int, fitted: str) -> None:
    assert cell_width.fit(text, size) == fitted
    assert cell_width.fit_all([text, ""], size) == [fitted, " " * size]


# Any characters, and often characters of no width or of two columns.
TEXTS = st.text(
    st.one_of(
        # rich knows a newer Unicode than Python 3.11, in which some characters became wide.
        st.characters(codec="utf-8").filter(lambda char: cell_len(char) <= cell_width.width(char)),
        st.sampled_from("ab\u0301\u0308備份\uff46🙂❤\ufe0f\u200d\u1160한ㅎ\t\n\x1b"),
    )
)


@given(TEXTS.map(printable), st.integers(0, 40))
def test_a_fitted_text_has_its_size(text: str, size: int) -> None:
    for right in (False, True):
        fitted = cell_width.fit(text, size, right=right)
        assert cell_width.width(fitted) == size
        assert cell_len(fitted) <= size


@given(
    st.lists(st.tuples(TEXTS, TEXTS, TEXTS), min_size=1, max_size=5),
    st.integers(1, 200),
    st.lists(st.tuples(st.integers(0, 3), st.integers(1, 30), st.booleans()), min_size=3, max_size=3),
    TEXTS,
)
def test_each_line_fits_with_any_texts(
    rows: list[tuple[str, ...]], width: int, kinds: list[tuple[int, int, bool]], below: str
) -> None:
    columns = [
        TableColumn("HEAD", [Cell(text) for text in texts], kind[0] if place else 0, *kind[1:])
        for place, (texts, kind) in enumerate(zip(zip(*rows, strict=True), kinds, strict=True))
    ]
    lines = plain(lay_out(columns, width, {0: [Cell(below), Cell("more")]}))
    assert len(lines) == len(rows) + 2
    assert all(cell_len(line) <= width for line in lines)
    assert not any(unicodedata.category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for char in "".join(lines))


@given(TEXTS, st.integers(1, 60))
def test_a_line_is_clipped(text: str, width: int) -> None:
    assert all(cell_len(line) <= width for line in plain([clipped([Cell(text), Cell(text)], width)]))


# The choice of columns.


def table(width: int, *rows: tuple[str, ...]) -> list[str]:
    return plain(lay_out(columns_of([[Cell(text) for text in row] for row in rows]), width))


def test_columns_are_aligned() -> None:
    assert table(80, ("A", "LONG"), ("bbbb", "c"), ("", "d")) == ["A     LONG", "bbbb  c", "      d"]


def test_a_long_text_is_cut() -> None:
    lines = table(80, ("NAME", "NEXT"), ("x" * 200, "12:00 in 3 m"))
    assert lines[1] == "x" * 65 + "…  12:00 in 3 m"


def test_two_long_texts_are_both_cut() -> None:
    lines = table(80, ("N", "T", "REASON"), ("x" * 200, "12:00", "y" * 300))
    assert sorted(map(len, lines[1].split())) == [5, 35, 36]
    assert len(lines[1]) == 80


@pytest.mark.parametrize(
    ("width", "lines"),
    [
        (40, ["NAME            A         B    C", "a long name     aaaaaaaa  bbb  1"]),
        (27, ["NAME         A         B", "a long name  aaaaaaaa  bbb"]),
        (24, ["NAME         B  C", "a long name  bbb  1"]),
        (15, ["NAME        B", "a long na…  bbb"]),
        (6, ["NAME …", "a lon…"]),
    ],
)
def test_columns_of_high_rank_are_left_out_first(width: int, lines: list[str]) -> None:
    columns = [
        TableColumn("NAME", [Cell("a long name")], least=10),
        TableColumn("A", [Cell("aaaaaaaa")], rank=1),
        TableColumn("EMPTY", [Cell("")], rank=1),
        TableColumn("B", [Cell("bbb")]),
        TableColumn("C", [Cell("1")], rank=2, right=True),
    ]
    shown = plain(lay_out(columns, width))
    assert all(len(line) <= width for line in shown)
    assert [" ".join(line.split()) for line in shown] == [" ".join(line.split()) for line in lines]


def test_a_line_below_a_row() -> None:
    column = TableColumn("N", [Cell("one", "bad"), Cell("two")])
    assert lay_out([column], 12, {0: [Cell("why it is so", "dim")]}) == [
        [("N", "head")],
        [("one", "bad")],
        [("    ", ""), ("why it …", "dim")],
        [("two", "")],
    ]
