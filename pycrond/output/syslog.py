"""Reliable sending to syslog, whose reader may be stopped, killed or replaced.

A successful send() means only that the kernel has a message; when the reader is killed, the unread messages
are lost. So each message is kept until the reader has read it and is still alive a moment later; otherwise it
is sent again. Messages arrive at least once; their first arrivals are in order.
"""

# ruff: noqa: A002 - `format` is the setting's name
import contextlib
import os
import socket
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from pycrond.output.syslog_format import Format, readable
from pycrond.output.syslog_socket import SyslogSocket, resolve, writable

CONSOLE = "/dev/console"
_MAX_PENDING_SIZE = 1 << 20  # bytes sent and not read; a fast reader reads less between two checks
_MAX_PACKET_SIZE = 8192  # bytes; a packet that no socket accepts would block all later messages
_MIN_CHECK_INTERVAL = 0.01  # seconds between two checks of the reader's progress
_MAX_CHECK_INTERVAL = 1.0  # seconds; also between two attempts to connect
_SEND_TIMEOUT = 0.002  # seconds in a turn of the loop that a reader has to make room


class SyslogClient:
    """The connection to a syslog address, and the messages that may not have been read.

    The loop uses it as `target.Target` says, and waits for `fileno` only while `wants_write`: a dead
    connection is always writable. A lost connection's descriptor stays open until the next `tick`, so that
    the loop can unregister it. Only the constructor raises. Nothing blocks, except that a reader has up to
    2 ms of a turn to make room.
    """

    def __init__(self, address: str, *, format: Format = "rfc3164") -> None:
        """`address` is a socket's path, ``udp://host[:514]`` or ``tcp://host:port``, IPv6 in brackets; a host
        name is looked up here, once. With the `format` ``journal`` it is ``journal`` or ``journal:`` and a
        path. Over tcp each message ends with a newline, or (rfc5424) begins with its length.
        """
        self._addresses = resolve(address)
        self._format = format
        self._connection: SyslogSocket | None = None
        self._lost = contextlib.ExitStack()  # closes lost connections
        self._pending: list[bytes] = []  # messages that may not have been read
        self._pending_size = 0  # bytes
        self._sent = 0  # the number of pending messages that are sent
        self._read = 0  # the number of these that had been read at the last check
        self._tokens: deque[tuple[int, object]] = deque()  # each with the count of all messages up to it
        self._acknowledged = 0  # the count of all acknowledged messages
        # Times by clock.elapsed()
        self._now = self._sent_at = self._check_at = self._checked_at = self._reconnect_at = 0.0
        self._give_up = 0.0

    def open(self) -> None:
        """Connect, or begin to connect; an absent reader is not an error."""
        for family, kind, address in tuple(self._addresses):
            self._addresses.append(self._addresses.pop(0))
            with contextlib.suppress(OSError), contextlib.ExitStack() as failed:
                sock = failed.enter_context(socket.socket(family, kind))
                self._connection = SyslogSocket(sock, address, self._format)
                failed.pop_all()
                return

    def close(self) -> None:
        """Disconnect. The next process sends the messages that were not acknowledged."""
        self._lose()
        self._lost.close()

    def fileno(self) -> int | None:
        return self._connection.sock.fileno() if self._connection else None

    @property
    def reachable(self) -> bool:
        """True while there is a connection; its reader may be stopped nevertheless."""
        return self._connection is not None and self._connection.ready

    @property
    def wants_write(self) -> bool:
        return self._connection is not None and self._connection.wants_write

    def retry_in(self) -> float | None:
        """Return the seconds from the last `tick` to the next; None if no message waits."""
        if not self._pending:
            return None
        return max(0.0, (self._check_at if self._connection else self._reconnect_at) - self._now)

    def tick(self, elapsed: float) -> None:
        """Reconnect, finish a partly sent message, resend lost messages. `elapsed` is `clock.elapsed()`."""
        self._lost.close()
        self._now, self._give_up = elapsed, elapsed + _SEND_TIMEOUT
        if elapsed >= self._check_at:
            self._check_at = elapsed + min(elapsed - self._sent_at, _MAX_CHECK_INTERVAL)
        if self._connection is None and self._pending and elapsed >= self._reconnect_at:
            self._reconnect_at = elapsed + _MAX_CHECK_INTERVAL
            self.open()
        self._call(SyslogSocket.finish)
        self._write()

    @property
    def can_send(self) -> bool:
        """True while all earlier messages are sent, and not too many of them are unread."""
        return self._sent == len(self._pending) and self._pending_size < _MAX_PENDING_SIZE

    def send(self, packets: Iterable[bytes], token: object) -> None:
        """Send messages; only while `can_send`. `pop_acknowledged` returns the token when all are read.

        A packet contains no newline: `syslog_format.packet` makes sure of it.
        """
        new = [packet[:_MAX_PACKET_SIZE] for packet in packets]
        self._pending += new
        self._pending_size += sum(map(len, new))
        self._tokens.append((self._acknowledged + len(self._pending), token))
        self._sent_at, self._check_at = self._now, self._now + _MIN_CHECK_INTERVAL
        self._write()

    def _write(self) -> None:
        begun = self._call(SyslogSocket.write, self._pending[self._sent :], self._give_up) or 0
        self._sent += begun  # counted from 0 if the connection was lost meanwhile

    def pop_acknowledged(self) -> list[object]:
        """Return the tokens of messages that are now known to be read, in order.

        A local reader has read them, a tcp peer's kernel has acknowledged them, udp packets have left; and
        the reader still lived at another check, 10 ms or more later: it had the time to store them.
        """
        if not self._pending or self._now - self._checked_at < _MIN_CHECK_INTERVAL:
            return []
        unread = self._call(SyslogSocket.unread_size) or 0
        read = self._sent
        while read and unread > 0:
            read -= 1
            unread -= len(self._pending[read])
        certain = min(read, self._read)
        self._pending_size -= sum(map(len, self._pending[:certain]))
        del self._pending[:certain]
        self._sent -= certain
        self._acknowledged += certain
        self._read, self._checked_at = read - certain, self._now
        tokens = []
        while self._tokens and self._tokens[0][0] <= self._acknowledged:
            tokens.append(self._tokens.popleft()[1])
        return tokens

    def show_on_console(self, packets: Iterable[bytes]) -> None:
        """Write messages to the console if syslog cannot be reached (LOG_CONS). Messages that the
        console does not accept at once are dropped.
        """
        if self.reachable:
            return
        with contextlib.suppress(OSError):
            descriptor = os.open(CONSOLE, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
            with os.fdopen(descriptor, "wb", buffering=0) as file:
                for packet in packets:
                    if writable(file.fileno()):
                        file.write(readable(packet) + b"\r\n")

    def _call(self, method: Callable[..., Any], *arguments: object) -> Any:
        """Call a method of the connection; return None if there is none, or if it was lost."""
        try:
            return method(self._connection, *arguments) if self._connection else None
        except OSError:
            self._lose()

    def _lose(self) -> None:
        if self._connection:
            self._lost.callback(self._connection.sock.close)
        self._connection = None
        self._sent = self._read = 0
