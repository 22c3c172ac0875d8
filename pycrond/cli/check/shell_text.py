"""Mistakes in the text of commands: words that only bash knows, and typographic characters. Pure."""

import re
from collections.abc import Iterator

from pycrond.crontab.characters import LOOK_ALIKE, named

PLAIN_SHELLS = frozenset({"dash", "posh"})
"""Shells, by the names of their programs, that do not know the words of bash."""
_QUOTED = re.compile(r"""\\.|'[^']*'|"(?:\\.|[^"\\])*"|(?<![^\s;&|()])\#.*""", re.DOTALL)
_COMMAND = r"(?:^|[;&|(]|(?<!\S)(?:then|do|else|if|elif|while|until|!|\{))[ \t]*"
_BASH = re.compile(
    rf"{_COMMAND}(?P<word>source|\[\[|declare|typeset|shopt|pushd|popd|mapfile|readarray|function)(?=[ \t]|$)"
    r"|(?P<sign>&>>?|\|&|<<<|(?<=[ \t])[<>]\((?!\()|\{\w+\.\.\w+\}|\$RANDOM\b|\$\(\([ \t]*RANDOM\b)"
    r"|(?<!\[)\[[ \t][^\];&|]*[ \t](?P<equal>==)(?=[ \t])"
)
_REMEDIES = {
    "source": "write '.'",
    "[[": "write [",
    "&>": "write >FILE 2>&1",
    "&>>": "write >>FILE 2>&1",
    "==": "write =",
}


def bash_words(command: str, shell: str) -> Iterator[tuple[int, str]]:
    """Yield the offset and the message for each word of bash outside quotes; `shell` is the plain shell."""
    text = _QUOTED.sub(lambda match: "_" * len(match[0]), command)
    for match in _BASH.finditer(text):
        word = match[match.lastgroup or 0]
        remedy = _REMEDIES.get(word, "set SHELL=/bin/bash above the entry")
        message = f"{word} is a word of bash, but {shell} runs the command: {remedy}"
        yield match.start(match.lastgroup or 0), message


def look_alikes(command: str) -> Iterator[tuple[int, str]]:
    """Yield the offset and message of the first typographic character outside quotes; a dash counts only
    where an option begins.
    """
    text = "" if command.isascii() else _QUOTED.sub(lambda match: "_" * len(match[0]), command)
    for match in LOOK_ALIKE.finditer(text):
        is_dash = "\u2010" <= match[0] <= "\u2014" or match[0] in "\u00ad\u2212"
        if not is_dash or re.search(r"(?:^|[ \t])-?\Z", text[: match.start()]):
            yield match.start(), f"{named(match[0])} is part of a word here"
            return
