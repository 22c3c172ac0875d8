"""Colours, and the screen of `list --watch`."""

import signal
import time

import pytest

from pycrond.cli.render import terminal
from pycrond.cli.render.formatting import Cell

LINE = [Cell("! ", "bad"), Cell("backup  "), Cell("", "dim"), Cell("exit 1", "bad"), Cell("  ")]
PLAIN, COLOURED = "! backup  exit 1", "\x1b[31m! \x1b[0mbackup  \x1b[31mexit 1\x1b[0m"


@pytest.mark.parametrize(
    ("is_terminal", "environment", "text"),
    [
        (True, {"TERM": "xterm-256color"}, COLOURED),
        (True, {"TERM": "linux", "NO_COLOR": ""}, COLOURED),
        (True, {}, COLOURED),
        (True, {"TERM": "xterm", "NO_COLOR": "1"}, PLAIN),
        (True, {"TERM": "dumb"}, PLAIN),
        (True, {"TERM": "unknown"}, PLAIN),
        (False, {"TERM": "xterm"}, PLAIN),
    ],
)
def test_colours(
    is_terminal: bool, environment: dict[str, str], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TERM", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(terminal, "is_terminal", lambda: is_terminal)
    assert terminal.painter()(LINE) == text


@pytest.mark.parametrize(
    ("term", "screen"),
    [
        ("xterm", ("\x1b[?1049h\x1b[?25l\x1b[Hone\x1b[K\n", "\x1b[K\x1b[?1049l\x1b[?25h")),
        ("dumb", ("\none\n", "\n")),
    ],
)
@pytest.mark.parametrize("ending", [KeyboardInterrupt, SystemExit])
def test_watch_restores_the_screen(
    term: str,
    screen: tuple[str, str],
    ending: type[BaseException],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupted(seconds: float) -> None:
        raise ending

    monkeypatch.setenv("TERM", term)
    monkeypatch.setattr(time, "sleep", interrupted)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with pytest.raises(ending):
        terminal.watch(lambda width: [[Cell("one")], [Cell("two")]], 1.0)
    text = capsys.readouterr().out
    assert text.startswith(screen[0])
    assert text.endswith(screen[1])
