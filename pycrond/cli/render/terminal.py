"""The terminal: how wide it is, what its colours mean, and pictures that are drawn anew in place."""

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
from pycrond.cli.render.table import Line, clipped
from pycrond.errors import PycrondError
from pycrond.host import machine

STYLES = {"good": "green", "bad": "red", "busy": "yellow", "dim": "dim", "head": "bold"}
Painter = Callable[[Line], str]


def is_terminal() -> bool:
    return sys.stdout.isatty()


def width() -> int:
    """Columns there are for a table."""
    return shutil.get_terminal_size().columns if is_terminal() or "COLUMNS" in os.environ else 80


def here(now: datetime | None = None) -> datetime:
    """Now, by the clocks around, also for times beyond their next change."""
    now = now or clock.now()
    try:
        return machine.zone(machine.zone_name(os.environ)).local(now)
    except PycrondError:  # a TZ that is a rule, not a name
        return now.astimezone()


def painter() -> Painter:
    """From a line to text: with colours on a terminal that has them, unless NO_COLOR is set. What the
    terminal's encoding does not have is a question mark from now on.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    if not is_terminal() or os.environ.get("NO_COLOR"):
        return _plain
    from rich.color import ColorSystem
    from rich.console import Console
    from rich.style import Style

    if Console().color_system is None:
        return _plain
    styles = {kind: Style.parse(text) for kind, text in STYLES.items()}

    def paint(line: Line) -> str:
        return "".join(
            styles[kind].render(text, color_system=ColorSystem.STANDARD) if kind in styles else text
            for text, kind in line
        )

    return paint


def _plain(line: Line) -> str:
    return "".join(text for text, _ in line).rstrip(" ")


def show(lines: Iterable[Line]) -> None:
    """Each on a line of its own."""
    text = "\n".join(map(painter(), lines))
    if text:
        print(text)


def watch(picture: Callable[[int], Sequence[Line]], seconds: float) -> None:
    """Draws it every so many seconds, for a width, on a screen of its own, until interrupted."""
    from rich.console import Console
    from rich.control import Control
    from rich.segment import ControlType

    home, erase = str(Control.home()), str(Control((ControlType.ERASE_IN_LINE, 0)))
    paint = painter()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the screen is put back
    with Console().screen(hide_cursor=True):
        while True:
            size = shutil.get_terminal_size()
            lines = [paint(line) for line in framed(_drawn(picture, size.columns), *size)]
            sys.stdout.write(home + "\n".join(line + erase for line in lines))
            sys.stdout.flush()
            time.sleep(seconds)


def _drawn(picture: Callable[[int], Sequence[Line]], columns: int) -> Sequence[Line]:
    try:
        return picture(columns)
    except PycrondError as error:  # it may come back
        return [[Cell(f"pycrond: {error}", "bad")]]


def framed(lines: Sequence[Line], columns: int, rows: int) -> list[Line]:
    """Exactly so many lines, none wider; the last one says how many there is no room for."""
    if len(lines) > rows:
        lines = [*lines[: rows - 1], [Cell(f"… {len(lines) - rows + 1} more lines", "dim")]]
    return [clipped(line, columns) for line in lines] + [[]] * (rows - len(lines))
