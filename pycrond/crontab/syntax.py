"""What a crontab's lines hold besides a schedule: assignments, options, the command and its input."""

import re
import shlex
from collections.abc import Iterator

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
    """Name and value; None where the text is none. It has no blanks before it."""
    found = _ASSIGNMENT.match(text)
    if not found:
        return None
    name = next(part for part in found.group("single", "double", "bare") if part is not None)
    value = found["value"]
    if value[:1] not in {"'", '"'}:
        return name, value.rstrip(" \t\r\v\f")
    quoted = _QUOTED.fullmatch(value)
    return (name, quoted[1] if quoted[1] is not None else quoted[2]) if quoted else None


def explain_bad_assignment(text: str) -> tuple[int, str] | None:
    """Where and why a text that was surely meant as an assignment is none."""
    found = _SHELL.match(text)
    if found:
        return 0, f"'{found[0].split()[0]}' is the shell's: an assignment in a crontab is NAME=VALUE"
    found = _TWO_WORDS.match(text)
    if found:
        return 0, "two words stand before the '=': a name with a blank in it is quoted"
    found = _ASSIGNMENT.match(text)
    if found:  # with a quoted value, or it would be one
        message = "a value that begins with a quote ends with the same quote, and the line with it"
        return found.start("value"), message
    return None


_GAP = re.compile(r"[ \t\r\n]*+")
_WORD = re.compile(r"""(?:[^ \t\r\n'"\\]|\\.|'[^']*+'|"(?:\\.|[^"\\])*+")*+""", re.DOTALL)
_QUOTING = re.compile(r"['\"\\]")


def split_options(text: str, start: int) -> Iterator[tuple[int, str, str | None]]:
    """Where each word begins, its name and, if there is one, its value, split as by `shlex`.
    Raises ValueError where a quote is not closed.
    """
    start = _end(_GAP, text, start)
    while start < len(text):
        end = _end(_WORD, text, start)
        if end < len(text) and text[end] not in " \t\r\n":
            raise ValueError("a quote or a backslash stands open")
        word = text[start:end]
        if _QUOTING.search(word):
            (word,) = shlex.split(word)
        name, equals, value = word.partition("=")
        yield start, name, value if equals else None
        start = _end(_GAP, text, end)


def _end(pattern: re.Pattern[str], text: str, start: int) -> int:
    """Where what a pattern matches ends; it may be nothing."""
    found = pattern.match(text, start)
    return found.end() if found else start


_COMMAND = re.compile(r"(?:[^%\\]|\\.)*+\\?+", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_PERCENT = re.compile(r"\\?%")


def split_command(text: str, dialect: str) -> tuple[str, str]:
    """What the shell is given and what it reads: all that follows the first ``%`` without a backslash.
    In Debian's dialect a backslash in the command escapes a backslash, too.
    """
    escapable = "%\\" if dialect == "debian" else "%"
    end = _end(_COMMAND, text, 0)
    command = _ESCAPED.sub(lambda pair: pair[1] if pair[1] in escapable else pair[0], text[:end])
    given = _PERCENT.sub(lambda found: "%" if found[0] == "\\%" else "\n", text[end + 1 :])
    if given and not given.endswith("\n"):
        given += "\n"
    return command, given
