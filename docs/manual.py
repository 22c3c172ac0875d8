"""Writes the descriptions of a job's options into man/pycrond.crontab.5.

    .venv/bin/python docs/manual.py [--check]

The text comes from pycrond/cli/option_texts.py and replaces the lines between two comments in the page.
With --check nothing is written, and the exit status is 1 if the page differs from the table.
"""

import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

from pycrond.cli.option_text import OptionText
from pycrond.cli.option_texts import TEXTS

PAGE = Path(__file__).parent.parent / "man" / "pycrond.crontab.5"
BEGIN = '.\\" Options: begin (written by docs/manual.py)\n'
END = '.\\" Options: end\n'
WIDTH = 110  # columns


def main() -> int:
    """Write the page, or compare it."""
    page = PAGE.read_text()
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    lines = [line for name, text in TEXTS.items() for line in entry(name, text)]
    updated = before + BEGIN + "".join(f"{line}\n" for line in lines) + END + after
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(updated)
    elif updated != page:
        print(f"{PAGE.name} differs from the table of options; run docs/manual.py", file=sys.stderr)
        return 1
    return 0


def entry(name: str, text: OptionText) -> Iterator[str]:
    """Yield the lines of an item of an mdoc list."""
    yield f".It Cm {name}= Ns {'Ar' if text.form.isupper() else 'Cm'} {text.form}"
    for number, paragraph in enumerate(text.paragraphs):
        if number:
            yield ".Pp"
        for sentence in re.split(r"(?<=\.) (?=[A-Z`])", paragraph.replace("\\", r"\e")):
            yield from macros(sentence)


def macros(sentence: str) -> Iterator[str]:
    """Yield the lines of a sentence; each word in backquotes becomes a macro on a line of its own."""
    for text, opening, word, closing in re.findall(
        r"((?:[^`(]|\((?!`))+)|(\(?)`([^`]*)`([.,:;)]*)", sentence
    ):
        if text.strip():
            yield from textwrap.wrap(text.strip(), WIDTH)
        elif word:
            yield " ".join(
                (f".{macro(word)}", *opening, re.sub(r"(?<!\S)([.:,])(?!\S)", r"\\&\1", word), *closing)
            )


def macro(word: str) -> str:
    """Return the macro for a variable, for an option, a command or its argument, or for another literal."""
    if re.fullmatch(r"[A-Z_]{5,}", word):
        return "Ev"
    return "Cm" if re.fullmatch(r"[a-z =-]+", word) else "Li"


if __name__ == "__main__":
    sys.exit(main())
