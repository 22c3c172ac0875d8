"""Text for people: escaping for terminals and log lines, counts, durations, times, and cutting UTF-8."""

import math
import re
from collections.abc import Sequence
from typing import overload

from pycrond import clock

CONTROLS = {code: f"^{chr(code ^ 0x40)}" for code in (*range(0x20), 0x7F)}
"""The escapes of ASCII control characters: a table for `str.translate`."""
OCTAL = {byte: f"\\{byte:03o}" for byte in range(0x80, 0x100)}
"""The escapes of bytes that are not ASCII."""

# For Unicode these are letters and marks, but they are invisible: joiner, fillers, Mongolian selectors.
_INVISIBLE = "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0"

_ESCAPES = {
    **{code: text for code, text in CONTROLS.items() if code != 9},
    **{0xDC00 + byte: text for byte, text in OCTAL.items()},  # bytes that were not UTF-8
    **{ord(char): "".join(OCTAL[byte] for byte in char.encode()) for char in _INVISIBLE},
}

QUOTED_MOST = 40  # characters
_QUOTED_BYTE = re.compile(r"(?<!\\)((?:\\\\)*)\\udc([89a-f][0-9a-f])")
"""A byte that was not UTF-8, as repr shows it."""
_UNPRINTABLE = re.compile(r"[^ -~\t]")


def counted(number: int, noun: str, form: str = "d") -> str:
    """Return `1 job`, `2 jobs`; with the form `,` also `1,200 jobs`."""
    return f"{number:{form}} {noun}{'' if number == 1 else 's'}"


def quoted(text: str) -> str:
    r"""Return a text in quotes on one line, at most 40 characters; a byte that is not UTF-8 is ``\xNN``."""
    shown = repr(text if len(text) <= QUOTED_MOST else text[: QUOTED_MOST - 3] + "...")
    return _QUOTED_BYTE.sub(r"\1\\x\2", shown)


def visible(raw: bytes | str) -> str:
    r"""Return output of a job, or a text, as text that is safe in a log line and on a terminal.

    Printable UTF-8 and TAB stay. ASCII controls become ``^X``; bytes that are not UTF-8, C1 controls, and
    characters that are invisible, unassigned or change the writing direction become ``\ooo``, byte by byte.
    """
    if isinstance(raw, str):
        raw = _encoded(raw)
    text = raw.decode("utf-8", "surrogateescape")
    if text.isascii() and text.isprintable():
        return text
    text = text.translate(_ESCAPES)
    return text if text.replace("\t", " ").isprintable() else _UNPRINTABLE.sub(_octal, text)


def _encoded(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a lone surrogate that does not stand for a byte; JSON can contain one
        return text.encode("utf-8", "surrogatepass")


def _octal(match: re.Match[str]) -> str:
    char = match[0]
    if char.isprintable() or (char.isspace() and char not in "\x85\u2028\u2029"):
        return char
    return "".join(OCTAL[byte] for byte in char.encode())


def printable(text: str) -> str:
    """Return a command, name or reason as one line that cannot control a terminal; TAB becomes a space."""
    if text.isascii() and text.isprintable():
        return text
    return visible(text).replace("\t", " ")


def printable_all(texts: Sequence[str]) -> Sequence[str]:
    """Return each text as `printable` returns it; fast if no text needs a change."""
    joined = "".join(texts)
    return texts if joined.isascii() and joined.isprintable() else [printable(text) for text in texts]


def storable(text: str) -> str:
    r"""Return a crontab's or a path's text as UTF-8 for SQLite; bytes that are not UTF-8 become ``\xNN``."""
    if text.isascii():
        return text
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def split(text: str, size: int) -> list[str]:
    """Split a text into pieces of at most `size` UTF-8 bytes, without splitting a character. `size` is at
    least 4. An empty text is one empty piece.
    """
    data = text.encode()
    pieces, start = [], 0
    while len(data) - start > size:
        end = start + size
        while data[end] & 0xC0 == 0x80:
            end -= 1
        pieces.append(data[start:end].decode())
        start = end
    return [*pieces, data[start:].decode()]


def complete_length(data: bytes) -> int:
    """Return the number of bytes up to the last complete UTF-8 character; all if the end is not UTF-8."""
    for back, byte in enumerate(reversed(data[-4:]), 1):
        if byte & 0xC0 != 0x80:  # the first byte; its leading 1 bits count the bytes
            length = 8 - (byte ^ 0xFF).bit_length()
            return len(data) - back if back < length <= 4 else len(data)
    return len(data)


def duration(seconds: float | None) -> str:
    """Return a duration, rounded, in at most two units: `850 ms`, `2.3 s`, `45 m`, `1 h 6 m`, `-1 d 18 h`."""
    if seconds is None:
        return ""
    if not math.isfinite(seconds):
        return "?"  # a stored number that is infinite or NaN
    if seconds < 0:
        text = duration(-seconds)
        return text if text == "0 s" else f"-{text}"
    if 0.0005 <= seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    units, size = (
        ("ms", 1) if round(seconds) < 3600 else ("hm", 60) if round(seconds / 60) < 1440 else ("dh", 3600)
    )
    numbers = divmod(round(seconds / size), 24 if units == "dh" else 60)
    return " ".join(f"{number} {unit}" for number, unit in zip(numbers, units, strict=True) if number)


@overload
def rfc3339(seconds: float) -> str: ...
@overload
def rfc3339(seconds: None) -> None: ...
@overload
def rfc3339(seconds: float | None) -> str | None: ...
def rfc3339(seconds: float | None) -> str | None:
    """Return a Unix time as RFC 3339 text in UTC, with milliseconds unless they are 0; None for None."""
    if seconds is None:
        return None
    at = clock.at(seconds)
    spec = "milliseconds" if at.microsecond else "seconds"
    return at.isoformat(timespec=spec).replace("+00:00", "Z")
