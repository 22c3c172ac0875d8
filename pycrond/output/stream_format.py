"""Formats of the messages on standard output: text, JSON and logfmt, one message on each line.

Output is formatted in blocks, because a job may print a million lines.
"""

import json
import os
import re
import select
from abc import ABC, abstractmethod
from base64 import b64encode
from collections.abc import Iterator, Mapping
from datetime import datetime

from pycrond import clock
from pycrond.output.run_log import EXIT_LEVELS, Begin, End, Lines, Piece, Progress, RunLog
from pycrond.output.syslog_messages import exit_text
from pycrond.output.target import Batch, Message
from pycrond.text import visible

_PRINTABLE = bytes([9, 10, *range(0x20, 0x7F)])
_NEEDS_ESCAPE = re.compile(r'["\\]|[^ -~\n]')
_BARE = re.compile(r"[\w.:+@/~-]+", re.ASCII)


class StreamFormat(ABC):
    """A format of messages; each line of a run gets a start and an end."""

    read_size = 8192
    """The bytes of output formatted at once."""

    @abstractmethod
    def message(self, message: Message, _now: datetime) -> list[bytes]:
        """Return a message of the daemon."""

    @abstractmethod
    def _event(self, log: RunLog, piece: Begin | End) -> str: ...

    @abstractmethod
    def _lines(self, log: RunLog, at: str, stream: str, lines: bytes, *, is_partial: bool) -> bytes:
        """Return the messages of lines (without the last newline) of a run and stream, read at a time."""

    def batches(self, log: RunLog, piece: Piece, end: Progress, _now: datetime) -> Iterator[Batch]:
        """Yield a piece of a run's log in parts that a pipe accepts as a whole or not at all; only a longer
        line is a part by itself.
        """
        if not isinstance(piece, Lines):
            yield Batch([self._event(log, piece).encode("utf-8", "backslashreplace")], end)
            return
        text = b"".join(
            self._lines(log, _time(at), stream, group.removesuffix(b"\n"), is_partial=piece.is_partial)
            for at, stream, group in piece.groups
        )
        rest, start = piece.data, 0
        while len(text) - start > select.PIPE_BUF:
            stop = text.rfind(b"\n", start, start + select.PIPE_BUF) + 1 or text.find(b"\n", start) + 1
            if stop == len(text):
                break
            part = text[start:stop]
            rest = rest.split(b"\n", part.count(b"\n"))[-1]
            yield Batch([part], Progress(end.sent - len(rest), end.stage))
            start = stop
        yield Batch([text[start:]], end)


class TextFormat(StreamFormat):
    """``TIME JOB[RUN] (USER) STREAM: LINE`` and ``TIME JOB[RUN] (USER) EVENT (DETAIL)``."""

    def message(self, message: Message, _now: datetime) -> list[bytes]:
        head = f"{_time(message.at.timestamp())} pycrond[{os.getpid()}] ({message.user}) {message.event}"
        return [f"{visible(head)} ({visible(message.detail)})\n".encode()]

    def _event(self, log: RunLog, piece: Begin | End) -> str:
        if isinstance(piece, Begin):
            event = f"CMD ({visible(log.command)})"
        else:
            event = f"EXIT ({visible(exit_text(log.name, piece.outcome, piece.duration))})"
        return f"{_start(log, _time(piece.at))} {event}\n"

    def _lines(self, log: RunLog, at: str, stream: str, lines: bytes, *, is_partial: bool) -> bytes:
        del is_partial  # the next line continues it
        if lines.translate(None, _PRINTABLE):
            lines = "\n".join(visible(line.removesuffix(b"\r")) for line in lines.split(b"\n")).encode()
        start = f"{_start(log, at)} {stream}: ".encode()
        return b"%b%b\n" % (start, lines.replace(b"\n", b"\n" + start))


class _FieldsFormat(StreamFormat):
    """Lines of named fields, whose texts are strings as in JSON."""

    @abstractmethod
    def _object(self, fields: Mapping[str, object]) -> str:
        """Return a line of fields, without its newline."""

    @abstractmethod
    def _around(self, fields: Mapping[str, object], more: Mapping[str, object]) -> tuple[bytes, bytes]:
        """Return the texts before and after a line in quotes: the fields before it, and those after it."""

    def message(self, message: Message, _now: datetime) -> list[bytes]:
        fields = {
            "time": _time(message.at.timestamp()),
            "level": message.level,
            "user": message.user,
            "pid": os.getpid(),
            "event": message.event,
            "message": message.detail,
        }
        return [f"{self._object(fields)}\n".encode()]

    def _event(self, log: RunLog, piece: Begin | End) -> str:
        fields = {**_fields(log, _time(piece.at)), "pid": log.pid}
        if isinstance(piece, Begin):
            return self._object({**fields, "event": "CMD", "command": log.command}) + "\n"
        outcome = piece.outcome
        more = {
            "level": EXIT_LEVELS.get(outcome.state, "warning"),
            "event": "EXIT",
            "state": str(outcome.state),
            "exit_status": outcome.exit_status,
            "signal": outcome.signal,
            "duration_s": None if piece.duration is None else round(piece.duration, 3),
            "cpu_s": None if outcome.cpu_s is None else round(outcome.cpu_s, 3),
            "max_rss_kb": outcome.max_rss_kb,
            "reason": outcome.cause.text or None,
        }
        return self._object({**fields, **more}) + "\n"

    def _lines(self, log: RunLog, at: str, stream: str, lines: bytes, *, is_partial: bool) -> bytes:
        fields = {**_fields(log, at), "stream": stream}
        more: dict[str, object] = {"partial": True} if is_partial else {}
        before, after = self._around(fields, more)
        try:
            text = _escaped(lines)
        except UnicodeDecodeError:
            return b"".join(self._line(fields, more, line) for line in lines.split(b"\n"))
        return b"%b%b%b" % (before, text.replace(b"\n", after + before), after)

    def _line(self, fields: Mapping[str, object], more: Mapping[str, object], line: bytes) -> bytes:
        """Return a single line; bytes that are not UTF-8 are escaped, and are in a field for programs."""
        try:
            text = _escaped(line)
        except UnicodeDecodeError:
            more = {**more, "line_base64": b64encode(line).decode()}
            text = _escaped(line.decode("utf-8", "backslashreplace").encode())
        before, after = self._around(fields, more)
        return before + text + after


class JsonFormat(_FieldsFormat):
    """Lines with one object each; unknown values are left out."""

    def _object(self, fields: Mapping[str, object]) -> str:
        pairs = (f'"{name}":{_value(value)}' for name, value in fields.items() if value is not None)
        return f"{{{','.join(pairs)}}}"

    def _around(self, fields: Mapping[str, object], more: Mapping[str, object]) -> tuple[bytes, bytes]:
        end = f",{self._object(more)[1:]}" if more else "}"
        return f'{self._object(fields)[:-1]},"line":"'.encode(), f'"{end}\n'.encode()


class LogfmtFormat(_FieldsFormat):
    """Pairs NAME=VALUE, separated by blanks; values that are not plain words are strings as in JSON."""

    def _object(self, fields: Mapping[str, object]) -> str:
        return " ".join(f"{name}={_bare(value)}" for name, value in fields.items() if value is not None)

    def _around(self, fields: Mapping[str, object], more: Mapping[str, object]) -> tuple[bytes, bytes]:
        end = f" {self._object(more)}" if more else ""
        return f'{self._object(fields)} line="'.encode(), f'"{end}\n'.encode()


FORMATS: Mapping[str, type[StreamFormat]] = {"text": TextFormat, "json": JsonFormat, "logfmt": LogfmtFormat}
"""The formats by the values of the setting `log-format`."""


def _time(seconds: float) -> str:
    """Return a time with milliseconds and the offset of the local zone."""
    return clock.at(seconds).astimezone().isoformat(timespec="milliseconds")


def _start(log: RunLog, at: str) -> str:
    return f"{at} {visible(log.name)}[{log.run}] ({visible(log.user)})"


def _fields(log: RunLog, at: str) -> dict[str, object]:
    return {"time": at, "level": "info", "job": log.name, "run": log.run, "user": log.user}


def _value(value: object) -> str:
    return f'"{_string(value)}"' if isinstance(value, str) else json.dumps(value)


def _bare(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if _BARE.fullmatch(text) else f'"{_string(text)}"'


def _string(text: str) -> str:
    try:
        return _escaped(text.encode()).decode().replace("\n", "\\n")
    except UnicodeEncodeError:  # bytes of a crontab that are not UTF-8
        return _string(visible(text))


def _escaped(text: bytes) -> bytes:
    """Return lines escaped as in strings of JSON, with their newlines; raise UnicodeDecodeError for bytes
    that are not UTF-8. Invisible characters and changes of the writing direction are escaped, too.
    """
    if text.translate(None, _PRINTABLE):
        return _NEEDS_ESCAPE.sub(_escape, text.decode()).encode()
    for char, escape in ((b"\\", b"\\\\"), (b'"', b'\\"'), (b"\t", b"\\t")):
        if char in text:
            text = text.replace(char, escape)
    return text


def _escape(match: re.Match[str]) -> str:
    char = match[0]
    if char.isprintable() and visible(char) == char and char not in '"\\':
        return char
    return json.dumps(char)[1:-1]
