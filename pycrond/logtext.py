"""What a log line says and how it looks on the wire; nothing in it can begin a second line."""

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Literal

Format = Literal["rfc3164", "rfc5424"]

SIZE = 1024
"""Bytes in a packet: what every receiver must take (RFC 3164, 4.1)."""

_CLASSIC = ["kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron"]
FACILITIES = {name: number for number, name in enumerate(_CLASSIC)}
FACILITIES |= {"authpriv": 10, "ftp": 11} | {f"local{number}": 16 + number for number in range(8)}
_LEVELS = ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"]
LEVELS = {name: number for number, name in enumerate(_LEVELS)}

# Not strftime's, which speaks the language of the locale.
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

_CONTROLS = {byte: f"^{chr(byte ^ 0x40)}" for byte in (*range(0x20), 0x7F)}
_OCTAL = {byte: f"\\{byte:03o}" for byte in range(0x80, 0x100)}
_CRONIE = _CONTROLS | _OCTAL

# Letters and marks by category, yet nothing to see: a joiner, Hangul and Khmer fillers, Mongolian selectors.
_UNSEEN = "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0"
_HIDDEN = {
    **{code: text for code, text in _CONTROLS.items() if code != 9},
    **{0xDC00 + byte: text for byte, text in _OCTAL.items()},  # bytes that were not UTF-8
    **{ord(char): "".join(_OCTAL[byte] for byte in char.encode()) for char in _UNSEEN},
}
_FOREIGN = re.compile(r"[^ -~\t]+")
_PLAIN = bytes([9, *range(0x20, 0x7F)])


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


def cron_text(command: str) -> str:
    r"""A command as cronie writes it after CMD: controls as ``^X``, TAB too, bytes from 0x80 on as ``\303``.

    Bytes of a crontab that are not UTF-8 are expected as surrogates (``surrogateescape``).
    """
    return command.encode("utf-8", "surrogateescape").decode("latin-1").translate(_CRONIE)


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


def message(user: str, event: str, detail: str) -> str:
    return f"({user}) {event} ({detail})"


def head(
    at: datetime,
    tag: str,
    pid: int,
    *,
    level: str = "info",
    facility: str = "cron",
    host: str = "",
    form: Format = "rfc3164",
) -> bytes:
    """What stands before the text. `at` is local wall time, aware for RFC 5424.

    A local socket's reader knows its own name: give a `host` only to what goes over a network.
    """
    priority = FACILITIES[facility] * 8 + LEVELS[level]
    if form == "rfc5424":
        time = at.isoformat(timespec="microseconds")
        return f"<{priority}>1 {time} {host or '-'} {tag} {pid} - - ".encode()
    time = f"{_MONTHS[at.month - 1]} {at.day:2} {at:%H:%M:%S}"
    return f"<{priority}>{time} {host + ' ' if host else ''}{tag}[{pid}]: ".encode()


def packet(before: bytes, text: str) -> bytes:
    """A message ready to be sent; `before` is a `head`. Whatever `text` holds, this is one line."""
    return before + _harmless(text).encode()


def packets(before: bytes, user: str, event: str, detail: str) -> list[bytes]:
    """``(user) EVENT (detail)`` in packets of at most `SIZE` bytes, each a whole message."""
    room = SIZE - len(packet(before, message(user, event, "")))
    return [packet(before, message(user, event, piece)) for piece in split(_harmless(detail), room)]


def output(before: bytes, user: str, lines: Iterable[bytes]) -> list[bytes]:
    """Lines that a job printed, as packets of ``(user) CMDOUT (line)``; a CR at a line's end is not shown."""
    start = packet(before, f"({user}) CMDOUT (")
    room = SIZE - len(start)
    made: list[bytes] = []
    for line in lines:
        is_plain = not line.translate(None, _PLAIN)  # as nearly all are
        shown = line if is_plain else visible(line.removesuffix(b"\r")).encode()
        if len(shown) < room:
            made.append(b"%b%b)" % (start, shown))
        else:
            made += packets(before, user, "CMDOUT", shown.decode())
    return made


def _harmless(text: str) -> str:
    return visible(text.encode("utf-8", "surrogateescape"))
