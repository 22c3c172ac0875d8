"""One connection to syslog's reader: how a message gets into it, and how much of it he has not taken yet."""

import contextlib
import fcntl
import os
import re
import select
import socket
import struct
import termios
from collections.abc import Iterable
from typing import Any

from pycrond import clock
from pycrond.errors import PycrondError

_KINDS = {"udp": socket.SOCK_DGRAM, "tcp": socket.SOCK_STREAM}
_NETWORK = re.compile(r"(udp|tcp)://(?:\[([^\[\]]+)\]|([^\[\]:/]+))(?::([0-9]{1,5}))?/?")


class SyslogSocket:
    """One connection; its calls raise OSError once it is lost."""

    def __init__(self, sock: socket.socket, place: Any, end: bytes | None) -> None:
        """Over tcp `end` follows each message; where it is None, the message's length leads."""
        local, stream = sock.family == socket.AF_UNIX, sock.type == socket.SOCK_STREAM
        self.sock, self.ready, self._place, self._rest = sock, False, place, b""
        self._end = b"" if not stream else b"\0" if local else end  # libc ends with NUL on a local stream
        self._file = _identity(place) if local and not stream else None
        sock.setblocking(False)
        if stream and not local:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_SYNCNT, 3)  # give up after 15 s, not two minutes
        with contextlib.suppress(BlockingIOError):
            sock.connect(place)
        self.finish()

    @property
    def wants_write(self) -> bool:
        return not self.ready or bool(self._rest)

    def write(self, packets: Iterable[bytes], give_up: float) -> int:
        """How many of them it has begun to send; of the last a part may be left for `finish`.

        A local reader's queue holds few datagrams, and one who is at work makes room in less time than a turn
        of the loop takes: so he is waited for, until `give_up` by the clock.
        """
        begun = 0
        for packet in packets:
            if self.wants_write:
                break
            begun += 1
            self._rest = b"%d %b" % (len(packet), packet) if self._end is None else packet + self._end
            try:
                self._rest = self._rest[self.sock.send(self._rest) :]
            except BlockingIOError:
                if writable(self.sock.fileno(), give_up - clock.elapsed()):
                    self.finish()
        return begun

    def finish(self) -> None:
        """Go on with what was begun: to connect, or to send; a datagram goes whole."""
        with contextlib.suppress(BlockingIOError):
            if not self.ready and writable(self.sock.fileno()):
                if code := self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                    raise OSError(code, os.strerror(code))
                if self.sock.getsockname() == self.sock.getpeername():  # tcp can do so where nobody listens
                    raise ConnectionRefusedError
                self.ready = True
            if self.ready and self._rest:
                self._rest = self._rest[self.sock.send(self._rest) :]

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


def places(address: str) -> list[tuple[int, int, Any]]:
    if address.startswith("/") and len(os.fsencode(address)) < 108 and "\0" not in address:
        return [(socket.AF_UNIX, kind, address) for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM)]
    network = _NETWORK.fullmatch(address)
    scheme, v6, name, port = network.groups() if network else ("", "", "", "")
    number = int(port or (514 if scheme == "udp" else 0))
    if not 0 < number < 65536:
        raise PycrondError(f"bad syslog address '{address}' (a path, udp://host[:port] or tcp://host:port)")
    try:
        found = socket.getaddrinfo(v6 or name, number, type=_KINDS[scheme])
    except (OSError, UnicodeError) as error:
        raise PycrondError(f"cannot find syslog host {v6 or name}: {error.args[-1]}") from error
    return [(family, kind, place) for family, kind, _, _, place in found]


def _identity(path: str) -> tuple[int, int, int]:
    found = os.stat(path)
    return found.st_dev, found.st_ino, found.st_mtime_ns  # inode numbers are soon used again


def writable(descriptor: int, wait: float = 0.0) -> bool:
    """Whether there is room to write now, or within `wait` seconds."""
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return bool(poll.poll(max(0.0, wait) * 1000))
