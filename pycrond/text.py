"""Text for people: what a terminal or a log line can show, counts, times and durations."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime

_CONTROLS = {byte: f"^{chr(byte ^ 0x40)}" for byte in (*range(0x20), 0x7F)}

_OCTAL = {byte: f"\\{byte:03o}" for byte in range(0x80, 0x100)}

# Letters and marks by category, yet nothing to see: a joiner, Hangul and Khmer fillers, Mongolian selectors.
_UNSEEN = "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0"

_HIDDEN = {
    **{code: text for code, text in _CONTROLS.items() if code != 9},
    **{0xDC00 + byte: text for byte, text in _OCTAL.items()},  # bytes that were not UTF-8
    **{ord(char): "".join(_OCTAL[byte] for byte in char.encode()) for char in _UNSEEN},
}

_FOREIGN = re.compile(r"[^ -~\t]+")


def counted(number: int, noun: str) -> str:
    """`1 job`, `2 jobs`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def visible(raw: bytes) -> str:
    r"""What a job printed, as text that a log line and a terminal can show.

    Printable UTF-8 and TAB stay. ASCII controls become ``^X``; bytes that are not UTF-8, C1 controls, and
    characters that are unseen, unassigned or turn the writing direction become ``\ooo``, byte by byte.
    """
    text = raw.decode("utf-8", "surrogateescape")
    if text.isascii() and text.isprintable():
        return text
    return _FOREIGN.sub(_without_format, text.translate(_HIDDEN))


def _without_format(run: re.Match[str]) -> str:
    text = run[0]
    return text if text.isprintable() else "".join(map(_escaped, text))


def _escaped(char: str) -> str:
    if char.isprintable() or (char.isspace() and char not in "\x85\u2028\u2029"):
        return char
    return "".join(_OCTAL[byte] for byte in char.encode())


def split(text: str, size: int) -> list[str]:
    """Pieces of at most `size` UTF-8 bytes, at least 4, none ending inside a character; of nothing, one."""
    data = text.encode()
    pieces, start = [], 0
    while len(data) - start > size:
        end = start + size
        while data[end] & 0xC0 == 0x80:
            end -= 1
        pieces.append(data[start:end].decode())
        start = end
    return [*pieces, data[start:].decode()]


def whole(data: bytes) -> int:
    """How many bytes of it end with a whole character, where they are UTF-8; all where they are not."""
    for back in range(1, min(4, len(data)) + 1):
        lead = data[-back]
        if lead & 0xC0 != 0x80:  # not a byte within a character
            length = (
                2 if lead >> 5 == 0b110 else 3 if lead >> 4 == 0b1110 else 4 if lead >> 3 == 0b11110 else 1
            )
            return len(data) - back if length > back else len(data)
    return len(data)


def distance(seconds: float) -> str:
    """A length of time in its largest unit: `40 s`, `3 m`, `5 h`, `12 d`."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size * 2 or (unit != "h" and seconds >= size):
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds)} s"


def shown(text: str) -> str:
    """Commands, names and reasons as written, but for what a terminal would obey."""
    if text.isascii() and text.isprintable():
        return text
    return visible(text.encode("utf-8", "surrogateescape")).replace("\t", " ")


def shown_all(texts: Sequence[str]) -> Sequence[str]:
    """Each of them as `shown`."""
    whole = "".join(texts)
    return texts if whole.isascii() and whole.isprintable() else [shown(text) for text in texts]


def rfc3339(seconds: float | None) -> str | None:
    """RFC 3339 in UTC, to the millisecond where it is not whole; None stays None."""
    if seconds is None:
        return None
    at = datetime.fromtimestamp(seconds, UTC)
    spec = "milliseconds" if at.microsecond else "seconds"
    return at.isoformat(timespec=spec).replace("+00:00", "Z")


def storable(text: str) -> str:
    r"""SQLite keeps UTF-8: bytes of a crontab or a path that are not become \xNN."""
    if text.isascii():
        return text
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
