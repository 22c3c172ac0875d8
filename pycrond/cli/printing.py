"""Tables and problems printed by commands."""

from collections.abc import Iterable, Sequence
from typing import TextIO

from pycrond.cli.render import table, terminal
from pycrond.cli.render.formatting import Cell
from pycrond.errors import Problem


def print_table(rows: Sequence[Sequence[Cell]]) -> None:
    """Print a table: plain into a pipe; on a terminal with colours, and no wider than it."""
    terminal.show(table.lay_out(table.columns_of(rows), terminal.width()))


def print_problems(problems: Iterable[Problem], stream: TextIO) -> None:
    """Print problems, one a line, as file:line:column."""
    for problem in problems:
        print(problem, file=stream)
