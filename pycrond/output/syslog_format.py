"""What a log line says and how it looks on the wire; nothing in it can begin a second line."""

import os
from collections.abc import Iterable
from datetime import datetime
from typing import Literal

from pycrond.settings import Settings
from pycrond.text import CONTROLS, OCTAL, split, visible

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

_CRONIE = CONTROLS | OCTAL

_PLAIN = bytes([9, *range(0x20, 0x7F)])


def cron_text(command: str) -> str:
    r"""A command as cronie writes it after CMD: controls as ``^X``, TAB too, bytes from 0x80 on as ``\303``.

    Bytes of a crontab that are not UTF-8 are expected as surrogates (``surrogateescape``).
    """
    return command.encode("utf-8", "surrogateescape").decode("latin-1").translate(_CRONIE)


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


class SyslogHeader:
    """The part before the text of every message: priority, time, tag, and over a network the host."""

    def __init__(self, settings: Settings) -> None:
        self._form: Format = "rfc5424" if settings.syslog_format == "rfc5424" else "rfc3164"
        self._facility = settings.syslog_facility
        self._host = os.uname().nodename if "://" in settings.syslog else ""

    def format(self, tag: str, pid: int, now: datetime, level: str = "info") -> bytes:
        """The header with the local time of `now`."""
        at = now.astimezone()
        return head(at, tag, pid, level=level, facility=self._facility, host=self._host, form=self._form)


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
