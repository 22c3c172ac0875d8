"""Format of the messages to syslog: each is one line, whatever text it contains."""

import os
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Literal

from pycrond.settings import FACILITIES, Settings
from pycrond.text import CONTROLS, OCTAL, split, visible

Format = Literal["rfc3164", "rfc5424", "journal"]

MAX_PACKET_SIZE = 1024
"""Bytes; every receiver must accept a packet of this size (RFC 3164, 4.1)."""

MAX_DELAY = 120.0
"""Seconds after which a message is late."""

JOURNAL = "journal"
"""The address of journald, or the part before ``:`` and the path of its socket."""

JOURNAL_TEXT = "MESSAGE="

_LEVELS = ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"]
LEVELS = {name: number for number, name in enumerate(_LEVELS)}

# Not from strftime, which uses the language of the locale.
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

_CRONIE = CONTROLS | OCTAL

_PLAIN = bytes([9, *range(0x20, 0x7F)])


def cron_text(command: str) -> str:
    r"""Return a command as cronie logs it: controls, also TAB, as ``^X``, bytes from 0x80 on as ``\303``.

    Bytes of a crontab that are not UTF-8 are surrogates in `command` (``surrogateescape``).
    """
    return command.encode("utf-8", "surrogateescape").decode("latin-1").translate(_CRONIE)


def message(user: str, event: str, detail: str) -> str:
    return f"({user}) {event} ({detail})"


def format_header(
    at: datetime,
    tag: str,
    pid: int,
    *,
    level: str = "info",
    facility: str = "cron",
    host: str = "",
    form: Format = "rfc3164",
) -> bytes:
    """Return the part of a message before its text. `at` is local wall time, aware for RFC 5424.

    `host` is only for a network address: the reader of a local socket adds its own.
    """
    priority = FACILITIES[facility] * 8 + LEVELS[level]
    if form == "rfc5424":
        time = at.isoformat(timespec="microseconds")
        return f"<{priority}>1 {time} {host or '-'} {tag} {pid} - - ".encode()
    time = f"{_MONTHS[at.month - 1]} {at.day:2} {at:%H:%M:%S}"
    return f"<{priority}>{time} {host + ' ' if host else ''}{tag}[{pid}]: ".encode()


def journal_header(tag: str, pid: int, level: str, facility: str, fields: Mapping[str, object]) -> bytes:
    """Return the part of a message to journald before its text: lines NAME=value, and ``MESSAGE=``.

    The format is journald's own, documented as its native protocol. The values must have one line.
    """
    known = {
        "PRIORITY": LEVELS[level],
        "SYSLOG_FACILITY": FACILITIES[facility],
        "SYSLOG_IDENTIFIER": tag,
        "SYSLOG_PID": pid,
    }
    lines = [f"{name}={visible(str(value))}\n" for name, value in {**known, **fields}.items()]
    return "".join([*lines, JOURNAL_TEXT]).encode("utf-8", "backslashreplace")


class SyslogHeader:
    """The headers of all messages, from the settings: priority, time, host (over a network), tag and pid.
    Late messages to a local reader also end with the time: by default rsyslogd and journald ignore the time
    in the header.
    """

    def __init__(self, settings: Settings) -> None:
        self._form = settings_format(settings)
        self._facility = settings.syslog_facility
        self._host = os.uname().nodename if "://" in settings.syslog else ""

    def format(
        self,
        tag: str,
        pid: int,
        at: datetime,
        level: str = "info",
        fields: Mapping[str, object] | None = None,
    ) -> bytes:
        """Return a header with the time `at` in local time, for journald with `fields`."""
        if self._form == "journal":
            return journal_header(tag, pid, level, self._facility, fields or {})
        local = at.astimezone()
        return format_header(
            local, tag, pid, level=level, facility=self._facility, host=self._host, form=self._form
        )

    def late_end(self, at: datetime, now: datetime) -> str:
        """Return the end of a late message, ` at=2031-03-01T14:00:00Z`; empty for one in time. No text of a
        job can forge it, because all other messages end with a parenthesis.
        """
        if self._host or (now - at).total_seconds() <= MAX_DELAY:
            return ""
        return f" at={at.astimezone().isoformat(timespec='seconds')}"


def settings_format(settings: Settings) -> Format:
    """Return the format of messages to the address in the settings."""
    if settings.syslog.partition(":")[0] == JOURNAL:
        return "journal"
    return "rfc5424" if settings.syslog_format == "rfc5424" else "rfc3164"


def readable(packet: bytes) -> bytes:
    """Return a message for people: without its priority, or without journald's fields."""
    if packet.startswith(b"PRIORITY="):
        return packet.partition(JOURNAL_TEXT.encode())[2]
    return packet.partition(b">")[2].removeprefix(b"1 ")


def packet(header: bytes, text: str) -> bytes:
    """Return a message ready to be sent, in one line whatever `text` contains."""
    return header + visible(text).encode()


def packets(header: bytes, user: str, event: str, detail: str, end: str = "") -> list[bytes]:
    """Return ``(user) EVENT (detail)`` and `end`, split if it is too long: each packet is a whole message."""
    room = MAX_PACKET_SIZE - len(packet(header, message(user, event, "") + end))
    return [packet(header, message(user, event, piece) + end) for piece in split(visible(detail), room)]


def output_packets(header: bytes, user: str, lines: Iterable[bytes], end: str = "") -> list[bytes]:
    """Return the lines that a job printed as ``(user) CMDOUT (line)`` and `end`, without the CR at a line's
    end.
    """
    start, last = packet(header, f"({user}) CMDOUT ("), f"){end}".encode()
    room = MAX_PACKET_SIZE - len(start) - len(last)
    result: list[bytes] = []
    for line in lines:
        is_plain = not line.translate(None, _PLAIN)  # as nearly all lines are
        shown = line if is_plain else visible(line.removesuffix(b"\r")).encode()
        if len(shown) <= room:
            result.append(b"%b%b%b" % (start, shown, last))
        else:
            result += packets(header, user, "CMDOUT", shown.decode(), end)
    return result
