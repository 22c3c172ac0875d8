"""The manual pages as text, for `pycrond help`: parts, macros, wrapping."""

from pathlib import Path

import pytest

from pycrond.cli.main import main
from pycrond.cli.render import mdoc

MAN = Path(__file__).parents[3] / "man"
PAGE = """\
.Sh SIGNALS
Before.
.Bl -tag -width Ds
.It Dv SIGTERM
.It Dv SIGINT
Stop.
.Bl -tag -width Ds
.It Fl Fl inner
Within.
.El
.It Dv SIGHUP
Reload.
.El
.Sh FILES
None.
"""


def test_a_page_is_sections_and_entries() -> None:
    found = {part.head: (part.section, part.lines) for part in mdoc.parts(PAGE)}
    assert list(found) == ["SIGNALS", "SIGTERM", "SIGINT", "--inner", "SIGHUP", "FILES"]
    assert found["SIGTERM"] == found["SIGINT"]  # several heads share one body
    assert "Within." in found["SIGINT"][1]
    assert found["--inner"] == ("SIGNALS", ("Within.",))
    assert found["FILES"] == ("FILES", ("None.",))


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("Fl Fl json ,", "--json,"),
        ("Op Fl Fl state Ar S Ns Op , Ns Ar S ...", "[--state S[,S ...]]"),
        ("Ev XDG_DATA_HOME Pq Pa ~/.local/share", "XDG_DATA_HOME (~/.local/share)"),
        ("Xr pycrond.crontab 5 .", "pycrond.crontab(5)."),
        ("Nm", "pycrond"),
        ("Nm mandoc", "mandoc"),
        ('Li "0 4 * * *" .', "0 4 * * *."),
        (r"Li \&.", "."),
    ],
)
def test_macros_become_words(source: str, text: str) -> None:
    assert mdoc.flat(source) == text


def test_text_is_wrapped_and_what_is_literal_is_not() -> None:
    lines = [
        "One two",
        ".Em three",
        "four.",
        ".Bd -literal",
        "a   b",
        ".Ed",
        ".Bl",
        ".It Cm x",
        "Deep.",
        ".El",
    ]
    assert list(mdoc.rendered(lines, 16, "  ")) == [
        "  One two three",
        "  four.",
        "      a   b",
        "  x",
        "      Deep.",
    ]


@pytest.mark.parametrize("page", ["pycrond.8", "pycrond.crontab.5"])
def test_no_macro_is_left_in_our_pages(page: str) -> None:
    parts = list(mdoc.parts((MAN / page).read_text()))
    assert len(parts) > 40
    macros = {"Op", "Fl", "Ar", "Cm", "Pa", "Ev", "Xr", "Li", "Ns", "Pq", "Nm", "Dv", "Sx"}
    for part in parts:
        for line in [part.head, *mdoc.rendered(part.lines, 80)]:
            assert not macros.intersection(line.split()), line


def test_help_finds_what_a_word_is_about(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["help", "kill"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("kill RUN | JOB    [pycrond(8), COMMANDS]\n")
    assert "SIGKILL    [pycrond(8), SIGNALS]" in text
    assert main(["help", "exit", "status"]) == 0
    assert capsys.readouterr().out.startswith("EXIT STATUS    [pycrond(8), EXIT STATUS]\n")
    assert main(["help", "timout"]) == 1
    assert "did you mean timeout" in capsys.readouterr().err


def test_without_a_word_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["help"]) == 0
    commands = capsys.readouterr().out.splitlines()[1].split()[1:]
    assert {"start", "list", "why", "setup", "help"} <= set(commands)
    assert len(commands) == len(set(commands))
