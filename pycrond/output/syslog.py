"""Hands messages to syslog, whose reader may stand still, and knows which of them he has taken.

That send() succeeds says only that the kernel has a message; a reader that is killed takes the unread with
it. So each is kept until a reader who still lives a moment later has it, else sent again: at least once,
first arrivals in order.
"""

# ruff: noqa: A002 - `format` is the setting's name
import contextlib
import os
import socket
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Literal

from pycrond.output.syslog_socket import SyslogSocket, places, writable

CONSOLE = "/dev/console"
_Format = Literal["rfc3164", "rfc5424"]
_KEPT = 1 << 20  # bytes under way at most; what a fast reader takes between two looks, 10 ms apart, is less
_LONGEST = 8192  # bytes of a packet; one that no socket takes would be in the way of all others for ever
_SOON, _LATER = 0.01, 1.0  # seconds
_MOMENT = 0.002  # seconds of a turn in which a reader may make room


class SyslogClient:
    """One syslog address, the connection to it, and the messages under way.

    The loop calls `open` once, then each turn `tend`, `send` while it `has_room`, `taken`; then it looks at
    `fileno`, to wait until that is writable while `wants_write` is true (and only then: a dead connection
    always is), but not longer than `retry_in`. A lost connection's number stays open until the next `tend`,
    to be unregistered in peace. Nothing but the constructor raises. Nothing blocks, but that a reader has up
    to 2 ms of a turn to make room.
    """

    def __init__(
        self, address: str, *, format: _Format = "rfc3164", console: bool = False, perror: int | None = None
    ) -> None:
        """`address` is a socket's path, ``udp://host[:514]`` or ``tcp://host:port``, IPv6 in brackets; a name
        is looked up here, once. Over tcp `format` says how messages are told apart: a line each, or (rfc5424)
        their length first. For `console` (LOG_CONS) and `perror` (LOG_PERROR's descriptor) see `copy`.
        """
        self._places = places(address)
        self._end = None if format == "rfc5424" else b"\n"
        self._console, self._perror = console, perror
        self._link: SyslogSocket | None = None
        self._dead = contextlib.ExitStack()  # closes lost connections
        self._kept: list[bytes] = []  # not known to be taken
        self._size = 0  # bytes of them
        self._under_way = self._gone = 0  # how many of them are sent; how many had left the queue by _gone_at
        self._tokens: deque[tuple[int, object]] = deque()  # and how many messages there were up to each, ever
        self._taken = 0  # messages, ever
        self._now = self._sent_at = self._look_at = self._gone_at = self._reconnect_at = 0.0
        self._give_up = 0.0

    def open(self) -> None:
        """Connect, or begin to; that nobody listens is no error."""
        for family, kind, place in tuple(self._places):
            self._places.append(self._places.pop(0))
            with contextlib.suppress(OSError), contextlib.ExitStack() as failed:
                self._link = SyslogSocket(failed.enter_context(socket.socket(family, kind)), place, self._end)
                failed.pop_all()
                return

    def close(self) -> None:
        """What is under way is for the next process to send: all that `taken` never named."""
        self._lose()
        self._dead.close()

    def fileno(self) -> int | None:
        return self._link.sock.fileno() if self._link else None

    @property
    def reachable(self) -> bool:
        """Somebody listened when last looked; whether he reads is another matter."""
        return self._link is not None and self._link.ready

    @property
    def wants_write(self) -> bool:
        return self._link is not None and self._link.wants_write

    def retry_in(self) -> float | None:
        """Seconds from the last `tend` until the next is wanted; None while nothing waits."""
        if not self._kept:
            return None
        return max(0.0, (self._look_at if self._link else self._reconnect_at) - self._now)

    def tick(self, elapsed: float) -> None:
        """Reconnect, finish what was begun, send again what was lost; `elapsed`: by `clock`."""
        self._dead.close()
        self._now, self._give_up = elapsed, elapsed + _MOMENT
        if elapsed >= self._look_at:
            self._look_at = elapsed + min(elapsed - self._sent_at, _LATER)
        if self._link is None and self._kept and elapsed >= self._reconnect_at:
            self._reconnect_at = elapsed + _LATER
            self.open()
        self._ask(SyslogSocket.finish)
        self._write()

    @property
    def has_room(self) -> bool:
        """All that was handed over is on its way, and that is not too much."""
        return self._under_way == len(self._kept) and self._size < _KEPT

    def send(self, packets: Iterable[bytes], token: object) -> None:
        """Hand messages over while it `has_room`, to get the token from `taken` when all of them are taken.

        A packet has no newline in it: `logtext.packet` sees to that.
        """
        new = [packet[:_LONGEST] for packet in packets]
        self._kept += new
        self._size += sum(map(len, new))
        self._tokens.append((self._taken + len(self._kept), token))
        self._sent_at, self._look_at = self._now, self._now + _SOON
        self._write()

    def _write(self) -> None:
        begun = self._ask(SyslogSocket.write, self._kept[self._under_way :], self._give_up) or 0
        self._under_way += begun  # from 0 on where the connection was lost meanwhile

    def taken(self) -> list[object]:
        """The tokens, in order, of the messages now known to be taken.

        A local reader has read them, a tcp peer's kernel has acknowledged them, udp ones have left; and at
        another look, 10 ms or more later, the other end still lived: it had the time to write them down.
        """
        if not self._kept or self._now - self._gone_at < _SOON:
            return []
        untaken = self._ask(SyslogSocket.untaken) or 0
        left = self._under_way
        while left and untaken > 0:
            left -= 1
            untaken -= len(self._kept[left])
        sure = min(left, self._gone)
        self._size -= sum(map(len, self._kept[:sure]))
        del self._kept[:sure]
        self._under_way -= sure
        self._taken += sure
        self._gone, self._gone_at = left - sure, self._now
        tokens = []
        while self._tokens and self._tokens[0][0] <= self._taken:
            tokens.append(self._tokens.popleft()[1])
        return tokens

    def copy(self, packet: bytes, *, console: bool = False) -> None:
        """Show a message to people too, to be called once for each: to `perror`, and with `console` to the
        machine's console while syslog cannot be reached. What cannot be written at once is dropped.
        """
        line = packet.partition(b">")[2].removeprefix(b"1 ")
        if self._perror is not None:
            _show(f"/proc/self/fd/{self._perror}", line + b"\n", self._perror)
        if console and self._console and not self.reachable:
            _show(CONSOLE, line + b"\r\n")

    def _ask(self, call: Callable[..., Any], *given: object) -> Any:
        """Call a method of the link; None if there is none, or no longer."""
        try:
            return call(self._link, *given) if self._link else None
        except OSError:
            self._lose()

    def _lose(self) -> None:
        if self._link:
            self._dead.callback(self._link.sock.close)
        self._link = None
        self._under_way = self._gone = 0


def _show(path: str, line: bytes, shared: int = -1) -> None:
    """Write at once or not at all. What is shared is opened anew: O_NONBLOCK would be for all who share."""
    with contextlib.suppress(OSError):
        descriptor = -1
        if not os.path.isfile(path):  # it never makes us wait, and has one offset for all who share
            with contextlib.suppress(OSError):  # a socket, somebody else's terminal
                descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
        with os.fdopen(os.dup(shared) if descriptor < 0 else descriptor, "wb", buffering=0) as file:
            if writable(file.fileno()):
                file.write(line)
