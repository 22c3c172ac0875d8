"""The terminal: its width and colours, and a screen that is redrawn at intervals."""

import io
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from pycrond import clock
from pycrond.cli.render.formatting import Cell
from pycrond.cli.render.table import StyledLine, clipped, plain_text
from pycrond.errors import PycrondError
from pycrond.host import machine
from pycrond.text import printable

COLOURS = {"good": "32", "bad": "31", "busy": "33", "dim": "2", "head": "1"}
"""The ANSI code (SGR) of each kind of cell: green, red, yellow, faint, bold."""
DUMB = {"dumb", "unknown"}  # values of TERM: terminals that know no control sequences
SCREEN = ("\x1b[?1049h\x1b[?25l", "\x1b[H", "\x1b[K", "\x1b[?1049l\x1b[?25h")
"""Control sequences: open a screen without a cursor, go to its start, erase the rest of a line, close it."""


def is_terminal() -> bool:
    """Return whether the standard output is a terminal."""
    return sys.stdout.isatty()


def width() -> int:
    """Return the number of columns that a table may use."""
    return shutil.get_terminal_size().columns if is_terminal() or "COLUMNS" in os.environ else 80


def here(now: datetime | None = None) -> datetime:
    """Return the time in the reader's zone, with that zone's rules attached for later times."""
    now = now or clock.now()
    try:
        return machine.local_zone().local(now)
    except PycrondError:  # a TZ that is a rule, not a name
        return now.astimezone()


def painter() -> Callable[[StyledLine], str]:
    """Return the function that turns a line into text, with colours if the terminal has them and NO_COLOR is
    not set. From this call on, characters that the output's encoding lacks are printed as question marks.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    has_colours = is_terminal() and not os.environ.get("NO_COLOR") and not _is_dumb()
    return _coloured if has_colours else _plain


def _is_dumb() -> bool:
    return os.environ.get("TERM") in DUMB


def _coloured(line: StyledLine) -> str:
    escaped = ((printable(text), kind) for text, kind in line)
    pieces = (
        f"\x1b[{COLOURS[kind]}m{text}\x1b[0m" if text and kind in COLOURS else text for text, kind in escaped
    )
    return "".join(pieces).rstrip(" ")


def _plain(line: StyledLine) -> str:
    return printable(plain_text(line))


def show(lines: Iterable[StyledLine]) -> None:
    """Print each line; nothing if there are none."""
    text = "\n".join(map(painter(), lines))
    if text:
        print(text)  # noqa: T201 -- the lines are escaped by their painter


def watch(draw: Callable[[os.terminal_size], Sequence[StyledLine]], seconds: float) -> None:
    """Show `draw(size)` on the alternate screen, again every `seconds`, until interrupted."""
    paint = painter()
    opening, home, erase, closing = ("", "\n", "", "") if _is_dumb() else SCREEN
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that `finally` restores the screen
    try:
        sys.stdout.write(opening)
        while True:
            size = shutil.get_terminal_size()
            lines = [paint(line) for line in framed(_drawn(draw, size), *size)]
            sys.stdout.write(home + "\n".join(line + erase for line in lines))
            sys.stdout.flush()
            time.sleep(seconds)
    finally:
        sys.stdout.write(closing)
        sys.stdout.flush()


def _drawn(
    draw: Callable[[os.terminal_size], Sequence[StyledLine]], size: os.terminal_size
) -> Sequence[StyledLine]:
    try:
        return draw(size)
    except PycrondError as error:  # the error may be over at the next redraw
        return [[Cell(f"pycrond: {error}", "bad")]]


def framed(lines: Sequence[StyledLine], columns: int, rows: int) -> list[StyledLine]:
    """Return exactly `rows` lines, none wider than `columns`; the last one counts the lines left out."""
    if len(lines) > rows:
        lines = [*lines[: rows - 1], [Cell(f"… {len(lines) - rows + 1} more lines", "dim")]]
    return [clipped(line, columns) for line in lines] + [[]] * (rows - len(lines))
