"""Hands messages to syslog without ever waiting for it, and knows which of them its reader has taken.

That send() succeeds only says that the kernel has a message: a reader that is killed takes what it has not
read with it. So a message is kept until the kernel says that it has left the queue, and sent again over the
next connection otherwise. Every message arrives at least once, and first arrivals are in order.
"""

import contextlib
import fcntl
import os
import re
import select
import socket
import stat
import struct
import termios
from collections import deque
from typing import Any, Literal

from pycrond.errors import PycrondError

CONSOLE = "/dev/console"

_KEPT = 1000  # messages under way at most; a local reader's queue is far shorter
_LONGEST = 8192  # bytes of a packet; one that no socket takes would be in the way of all others for ever
_FIRST_PAUSE, _LAST_PAUSE, _RECONNECT = 0.01, 1.0, 1.0
_NETWORK = re.compile(r"(udp|tcp)://(?:\[([^\[\]]+)\]|([^\[\]:/]+))(?::([0-9]{1,5}))?/?")


class Syslogger:
    """One syslog address, the connection to it, and the messages under way.

    The loop calls `open` once, then each turn `tend`, `send` until it says False, `taken`; then it looks at
    `fileno`, to wait until that is writable while `wants_write` is true (and only then: a dead connection
    always is), but not longer than `retry_in`. A lost connection's number stays open until the next `tend`,
    to be unregistered in peace. Nothing blocks, and nothing but the constructor and `open` raises.
    """

    def __init__(
        self,
        address: str,
        *,
        format: Literal["rfc3164", "rfc5424"] = "rfc3164",  # noqa: A002 - the setting's name
        console: bool = False,
        perror: int | None = None,
    ) -> None:
        """`address` is a socket's path, ``udp://host[:514]`` or ``tcp://host:port``, IPv6 in brackets.

        Over tcp `format` decides how messages are told apart: a line each, or (rfc5424) their length first.
        `console` is LOG_CONS, `perror` the descriptor of LOG_PERROR: see `copy`. Raises PycrondError.
        """
        self._address = _parsed(address)
        self._end = None if format == "rfc5424" else b"\n"
        self._console, self._perror = console, perror
        self._places: deque[tuple[int, int, Any]] = deque()
        self._link: _Link | None = None
        self._dead: _Link | None = None
        self._kept: list[tuple[bytes, object]] = []  # not known to be taken; the first _under_way are sent
        self._under_way = 0
        self._refused = False
        self._now = self._look_at = self._reconnect_at = 0.0
        self._pause = _FIRST_PAUSE
        self._gone, self._gone_at = 0, 0.0

    def open(self) -> None:
        """Look the host's name up (once, and it may take time), and connect; nobody listening is no error.

        Raises PycrondError if the host has no address.
        """
        self._places.extend(_places(*self._address))
        self._connect()

    def close(self) -> None:
        """Forget what is under way: what `taken` never named is for the next process to send."""
        self._bury()
        self._lose()
        self._bury()
        self._kept.clear()

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
        if not self._kept and not self._refused:
            return None
        return max(0.0, (self._look_at if self._link else self._reconnect_at) - self._now)

    def tend(self, elapsed: float) -> None:
        """Reconnect, finish what was begun, send again what a lost connection had.

        `elapsed` is in seconds of any clock that does not go back.
        """
        self._bury()
        self._now = elapsed
        if elapsed >= self._look_at:
            self._pause = min(2 * self._pause, _LAST_PAUSE)
            self._look_at = elapsed + self._pause
        if self._link is None and (self._kept or self._refused) and elapsed >= self._reconnect_at:
            self._reconnect_at = elapsed + _RECONNECT
            self._connect()
        try:
            if self._link:
                self._link.finish()
        except OSError:
            self._lose()
        while self._under_way < len(self._kept) and self._write(self._kept[self._under_way][0]):
            self._under_way += 1
        self._refused = self._refused and not self.reachable

    def send(self, packet: bytes, token: object) -> bool:
        """Hand one message over. False: not now; keep it, and offer it again after the next `tend`.

        `taken` will give the `token` back. The packet has no newline in it (`logtext.packet` sees to that).
        """
        behind = self._under_way < len(self._kept)
        self._refused = behind or len(self._kept) >= _KEPT or not self._write(packet)
        if not self._refused:
            self._kept.append((packet, token))
            self._under_way += 1
            self._pause = _FIRST_PAUSE
            self._look_at = self._now + self._pause
        return not self._refused

    def taken(self) -> list[object]:
        """The tokens, in order, of messages now known to be taken.

        A local reader has read them, a tcp peer's kernel has acknowledged them, udp ones have left.
        """
        if not (self._kept or self._refused) or self._now - self._gone_at < _FIRST_PAUSE:
            return []
        gone = self._look()
        sure = min(gone, self._gone)
        tokens = [token for _, token in self._kept[:sure]]
        del self._kept[:sure]
        self._under_way -= sure
        self._gone, self._gone_at = gone - sure, self._now
        return tokens

    def _look(self) -> int:
        """How many of the messages under way have left the queue."""
        try:
            untaken = self._link.untaken() if self._link else 0
        except OSError:
            self._lose()
        first = self._under_way
        while self._link and first and untaken > 0:
            first -= 1
            untaken -= len(self._link.framed(self._kept[first][0]))
        return first

    def copy(self, packet: bytes, *, console: bool = False) -> None:
        """Show a message to people too; call it once for a message, after its first `send`.

        It goes to `perror` if there is one; with `console`, and LOG_CONS set, to the machine's console if
        syslog cannot be reached. What cannot be written at once is dropped.
        """
        line = packet.partition(b">")[2].removeprefix(b"1 ")
        if self._perror is not None:
            _show(self._perror, line + b"\n")
        if console and self._console and not self.reachable:
            _write_at_once(CONSOLE, line + b"\r\n")

    def _connect(self) -> None:
        for family, kind, place in tuple(self._places):
            self._places.rotate(-1)
            with contextlib.suppress(OSError):
                self._link = _Link(socket.socket(family, kind), place, self._end)
                return

    def _write(self, packet: bytes) -> bool:
        try:
            return self._link is not None and self._link.write(packet)
        except OSError:
            self._lose()
            return False

    def _lose(self) -> None:
        self._link, self._dead = None, self._link
        self._under_way = self._gone = 0

    def _bury(self) -> None:
        if self._dead:
            self._dead.sock.close()
        self._dead = None


class _Link:
    """One connection; its calls raise OSError once it is lost."""

    def __init__(self, sock: socket.socket, place: Any, end: bytes | None) -> None:
        """Over tcp `end` follows each message; where it is None, the message's length leads."""
        local, stream = sock.family == socket.AF_UNIX, sock.type == socket.SOCK_STREAM
        self.sock, self.ready = sock, False
        self._place, self._rest, self._full = place, b"", False
        self._end = b"" if not stream else b"\0" if local else end  # libc ends with NUL on a local stream
        sock.setblocking(False)
        try:
            self._file = _identity(place) if local and not stream else None
            with contextlib.suppress(BlockingIOError):
                sock.connect(place)
            self.finish()
        except OSError:
            sock.close()
            raise

    @property
    def wants_write(self) -> bool:
        return self._full or not self.ready or bool(self._rest)

    def finish(self) -> None:
        self._full = False
        if not self.ready and _writable(self.sock.fileno()):
            if code := self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                raise OSError(code, os.strerror(code))
            if self.sock.getsockname() == self.sock.getpeername():  # tcp can do so where nobody listens
                raise ConnectionRefusedError
            self.ready = True
        if self._rest:
            with contextlib.suppress(BlockingIOError):
                self._rest = self._rest[self.sock.send(self._rest) :]

    def write(self, packet: bytes) -> bool:
        if self.wants_write:
            return False
        frame = self.framed(packet)
        try:
            self._rest = frame[self.sock.send(frame) :]
        except BlockingIOError:
            self._full = True
        return not self._full

    def untaken(self) -> int:
        """No fewer bytes than the reader has not yet taken."""
        counted = fcntl.ioctl(self.sock, termios.TIOCOUTQ, bytes(4))  # SIOCOUTQ by its other name
        # A dead reader has no queue either: so look, after the count, whether he lives. A stream says so; for
        # datagrams connect again: a socket file is bound only once, so the same file is the same reader.
        with contextlib.suppress(BlockingIOError):
            if not self.sock.recv(4096):
                raise ConnectionResetError
        if self._file:
            self.sock.connect(self._place)
            if _identity(self._place) != self._file:
                raise ConnectionResetError
        return int(struct.unpack("i", counted)[0]) + len(self._rest)

    def framed(self, packet: bytes) -> bytes:
        packet = packet[:_LONGEST]
        return packet + self._end if self._end is not None else b"%d %b" % (len(packet), packet)


def _parsed(address: str) -> tuple[str, str, int]:
    if address.startswith("/") and len(os.fsencode(address)) < 108 and "\0" not in address:
        return "unix", address, 0
    if found := _NETWORK.fullmatch(address):
        scheme, v6, name, port = found.groups()
        number = int(port or {"udp": 514}.get(scheme, 0))
        if 0 < number < 65536:
            return scheme, v6 or name, number
    raise PycrondError(f"bad syslog address '{address}' (/a/socket, udp://host[:port] or tcp://host:port)")


def _places(scheme: str, host: str, port: int) -> list[tuple[int, int, Any]]:
    if scheme == "unix":
        return [(socket.AF_UNIX, socket.SOCK_DGRAM, host), (socket.AF_UNIX, socket.SOCK_STREAM, host)]
    kind = socket.SOCK_STREAM if scheme == "tcp" else socket.SOCK_DGRAM
    try:
        return [(family, kind, place) for family, _, _, _, place in socket.getaddrinfo(host, port, type=kind)]
    except (OSError, UnicodeError) as error:
        raise PycrondError(f"cannot find syslog host {host}: {error.args[-1]}") from error


def _identity(path: str) -> tuple[int, int, int]:
    found = os.stat(path)
    return found.st_dev, found.st_ino, found.st_mtime_ns  # inode numbers are soon used again


def _writable(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return bool(poll.poll(0))


def _show(descriptor: int, line: bytes) -> None:
    """Write to what others share: O_NONBLOCK would be theirs too, so a pipe or terminal is opened anew."""
    with contextlib.suppress(OSError):
        plain = stat.S_ISREG(os.fstat(descriptor).st_mode)
        if (plain or not _write_at_once(f"/proc/self/fd/{descriptor}", line)) and _writable(descriptor):
            os.write(descriptor, line)


def _write_at_once(path: str, line: bytes) -> bool:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:  # nothing there, a socket, somebody else's terminal
        return False
    with contextlib.suppress(OSError), os.fdopen(descriptor, "wb", buffering=0) as file:
        file.write(line)
    return True
