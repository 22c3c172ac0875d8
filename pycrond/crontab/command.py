"""The command of an entry, up to the first unescaped ``%``, and its standard input after it."""

import re

_COMMAND = re.compile(r"(?:[^%\\]|\\.)*+\\?+", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_PERCENT = re.compile(r"\\?%")


def command_end(text: str, start: int = 0) -> int:
    """Return the offset of the ``%`` that ends the command beginning at `start`, or the end of the text."""
    match = _COMMAND.match(text, start)  # it may be empty
    return match.end() if match else start


def split_command(text: str, dialect: str) -> tuple[str, str]:
    """Return the shell's command and its standard input: the text after the first ``%`` without a backslash.
    In Debian's dialect a backslash in the command also escapes a backslash.
    """
    escapable = "%\\" if dialect == "debian" else "%"
    end = command_end(text)
    command = _ESCAPED.sub(lambda pair: pair[1] if pair[1] in escapable else pair[0], text[:end])
    stdin = _PERCENT.sub(lambda match: "%" if match[0] == "\\%" else "\n", text[end + 1 :])
    if stdin and not stdin.endswith("\n"):
        stdin += "\n"
    return command, stdin
