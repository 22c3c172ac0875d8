"""The syntax of a crontab's lines that are no entries: assignments and options."""

import re
import shlex
from collections.abc import Iterator, Mapping

_BLANK = r"[ \t\r\v\f]"
_ASSIGNMENT = re.compile(
    rf"""
    (?: '(?P<single>[^'=]*+) (?:'{_BLANK}*+)?+      # as in cron, the = ends a name even within quotes
      | "(?P<double>[^"=]*+) (?:"{_BLANK}*+)?+
      | (?!['"]) (?P<bare>[^=\ \t\r\v\f]*+) {_BLANK}*+
    )
    = {_BLANK}*+ (?P<value>.*+)
    """,
    re.VERBOSE | re.DOTALL,
)
_QUOTED = re.compile(rf"""(?:'([^']*+)'|"([^"]*+)"){_BLANK}*+""")
_TWO_WORDS = re.compile(r"[A-Za-z_]\w*+[ \t]++[A-Za-z_]\w*+[ \t]*+=")
_SHELL = re.compile(r"(?:export|set|setenv|declare|let)[ \t]+[^ \t=]+[ \t=]")


def parse_assignment(text: str) -> tuple[str, str] | None:
    """Return the name and the value of an assignment without leading blanks; None if the text is not one."""
    match = _ASSIGNMENT.match(text)
    if not match:
        return None
    name = next(part for part in match.group("single", "double", "bare") if part is not None)
    value = match["value"]
    if value[:1] not in {"'", '"'}:
        return name, value.rstrip(" \t\r\v\f")
    quoted = _QUOTED.fullmatch(value)
    return (name, quoted[1] if quoted[1] is not None else quoted[2]) if quoted else None


def explain_bad_assignment(text: str) -> tuple[int, str] | None:
    """Return the offset and the message of an error if a text was clearly meant as an assignment."""
    match = _SHELL.match(text)
    if match:
        return 0, f"'{match[0].split()[0]}' is shell syntax: an assignment in a crontab is NAME=VALUE"
    match = _TWO_WORDS.match(text)
    if match:
        return 0, "there are two words before the '=': put a name with a blank in quotes"
    match = _ASSIGNMENT.match(text)
    if match:  # its value begins with a quote, or it would be an assignment
        message = "a value that begins with a quote must end with it, at the end of the line"
        return match.start("value"), message
    return None


VARIABLE = re.compile(r"\$(?:\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*))", re.ASCII)


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Return a text with ``$NAME`` and ``${NAME}`` replaced; a variable that is not set is empty."""
    return VARIABLE.sub(lambda match: variables.get(match[1] or match[2], ""), text)


_GAP = re.compile(r"[ \t\r\n]*+")
_WORD = re.compile(r"""(?:[^ \t\r\n'"\\]|\\.|'[^']*+'|"(?:\\.|[^"\\])*+")*+""", re.DOTALL)
_QUOTING = re.compile(r"['\"\\]")


def split_options(text: str, start: int) -> Iterator[tuple[int, str, str | None]]:
    """Yield the offset, the name and the value, if any, of each word, split as `shlex` splits.
    Raises ValueError for a quote that is not closed.
    """
    start = _end(_GAP, text, start)
    while start < len(text):
        end = _end(_WORD, text, start)
        if end < len(text) and text[end] not in " \t\r\n":
            raise ValueError("a quote is not closed, or a backslash ends the line")
        word = text[start:end]
        if _QUOTING.search(word):
            (word,) = shlex.split(word)
        name, equals, value = word.partition("=")
        yield start, name, value if equals else None
        start = _end(_GAP, text, end)


def _end(pattern: re.Pattern[str], text: str, start: int) -> int:
    """Return the end of a match, which may be empty, at `start`."""
    match = pattern.match(text, start)
    return match.end() if match else start
