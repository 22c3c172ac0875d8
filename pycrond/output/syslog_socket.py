"""A connection to syslog's reader: it sends messages and counts the unread bytes."""

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
from pycrond.output.syslog_format import JOURNAL, Format
from pycrond.settings import JOURNAL_SOCKET

_KINDS = {"udp": socket.SOCK_DGRAM, "tcp": socket.SOCK_STREAM}
_NETWORK = re.compile(r"(udp|tcp)://(?:\[([^\[\]]+)\]|([^\[\]:/]+))(?::([0-9]{1,5}))?/?")


class SyslogSocket:
    """A socket that is connected, or connecting. Its methods raise OSError when the connection is lost."""

    def __init__(self, sock: socket.socket, address: Any, form: Format) -> None:
        is_local, is_stream = sock.family == socket.AF_UNIX, sock.type == socket.SOCK_STREAM
        self.sock, self.ready, self._address, self._rest = sock, False, address, b""
        # The end of each message; None: its length precedes it. On a local stream libc uses NUL.
        stream_end = b"\0" if is_local else None if form == "rfc5424" else b"\n"
        self._terminator = stream_end if is_stream else b"\n" if form == "journal" else b""
        self._file = _identity(address) if is_local and not is_stream else None
        sock.setblocking(False)
        if is_stream and not is_local:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_SYNCNT, 3)  # give up after 15 s, not two minutes
        with contextlib.suppress(BlockingIOError):
            sock.connect(address)
        self.finish()

    @property
    def wants_write(self) -> bool:
        return not self.ready or bool(self._rest)

    def write(self, packets: Iterable[bytes], give_up: float) -> int:
        """Send messages; return the number of messages begun. `finish` sends the rest of the last.

        The queue of a local reader holds few datagrams, and an active reader makes room in less time than a
        turn of the loop takes. So wait for room until `give_up` (`clock.elapsed`).
        """
        begun = 0
        for packet in packets:
            if self.wants_write:
                break
            begun += 1
            end = self._terminator
            self._rest = b"%d %b" % (len(packet), packet) if end is None else packet + end
            try:
                self._rest = self._rest[self.sock.send(self._rest) :]
            except BlockingIOError:
                if writable(self.sock.fileno(), give_up - clock.elapsed()):
                    self.finish()
        return begun

    def finish(self) -> None:
        """Continue to connect, or to send the rest of a message, without waiting."""
        with contextlib.suppress(BlockingIOError):
            if not self.ready and writable(self.sock.fileno()):
                if code := self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                    raise OSError(code, os.strerror(code))
                if self.sock.getsockname() == self.sock.getpeername():  # tcp may connect a socket to itself
                    raise ConnectionRefusedError
                self.ready = True
            if self.ready and self._rest:
                self._rest = self._rest[self.sock.send(self._rest) :]

    def unread_size(self) -> int:
        """Return an upper bound of the bytes that the reader has not read yet."""
        counted = fcntl.ioctl(self.sock, termios.TIOCOUTQ, bytes(4))  # SIOCOUTQ by its other name
        # The queue of a dead reader is empty too. So check, after the count, that the reader still lives: a
        # stream reports its end; for datagrams connect again. A socket file is bound only once, so the same
        # file is the same reader.
        with contextlib.suppress(BlockingIOError):
            if not self.sock.recv(4096):
                raise ConnectionResetError
        if self._file:
            self.sock.connect(self._address)
            if _identity(self._address) != self._file:
                raise ConnectionResetError
        return int(struct.unpack("i", counted)[0]) + len(self._rest)


def resolve(address: str) -> list[tuple[int, int, Any]]:
    """Return the sockets to try for a setting's address: family, type, and the argument of connect()."""
    if journal := journal_socket(address):
        return [(socket.AF_UNIX, socket.SOCK_DGRAM, journal)]
    if address.startswith("/") and len(os.fsencode(address)) < 108 and "\0" not in address:
        return [(socket.AF_UNIX, kind, address) for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM)]
    network = _NETWORK.fullmatch(address)
    scheme, v6, name, port_text = network.groups() if network else ("", "", "", "")
    port = int(port_text or (514 if scheme == "udp" else 0))
    if not 0 < port < 65536:
        raise PycrondError(
            f"bad syslog address '{address}' (a path, udp://host[:port], tcp://host:port or journal)"
        )
    try:
        results = socket.getaddrinfo(v6 or name, port, type=_KINDS[scheme])
    except (OSError, UnicodeError) as error:
        raise PycrondError(f"cannot find syslog host {v6 or name}: {error.args[-1]}") from error
    return [(family, kind, place) for family, kind, _, _, place in results]


def journal_socket(address: str) -> str:
    """Return the path of journald's socket by a setting's address; empty for an address of syslog."""
    scheme, _, path = address.partition(":")
    return (path or JOURNAL_SOCKET) if scheme == JOURNAL and path[:1] in {"", "/"} else ""


def _identity(path: str) -> tuple[int, int, int]:
    status = os.stat(path)
    return status.st_dev, status.st_ino, status.st_mtime_ns  # inode numbers are reused soon


def writable(descriptor: int, wait: float = 0.0) -> bool:
    """Return whether there is room to write, now or within `wait` seconds."""
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return bool(poll.poll(max(0.0, wait) * 1000))
