"""The control socket: newline-delimited JSON, one request and one answer for each connection.

Every user may connect (mode 0666); the kernel reports the client's uid (SO_PEERCRED). A slow or silent client
does not block the daemon, which reads only data that has arrived and sends only what the socket accepts. It
drops a client whose request is too long or too slow, and one client of a user that has too many of them.
"""

import base64
import contextlib
import json
import os
import socket
import struct
from collections.abc import Callable, Iterator
from typing import Any

from pycrond.host import safe_paths

MIN_REQUEST = 65536  # bytes that a request may have, whatever the settings
MAX_REQUEST = 16 << 20  # bytes that a request may have if crontabs have no limit
MAX_ANSWER = 4 << 20  # bytes
MAX_UNSENT_OF_USER = 4 << 20  # bytes of unsent answers of a user; with more, its requests wait
MAX_CLIENTS = 200
MAX_CLIENTS_OF_USER = 16  # root and the daemon's own user are not limited
Answerer = Callable[[dict[str, Any], int], dict[str, Any]]
"""Returns the answer to a request of a uid. The text of a PycrondError becomes the answer's `error`."""


@contextlib.contextmanager
def short_path(path: str) -> Iterator[str]:
    """Yield a name of at most 108 bytes, the limit of a socket's address, for a path of any length.

    Raises UnsafePathError if another user could put a socket there, OSError if the directory does not exist.
    """
    with safe_paths.place(path) as entry:
        yield f"/proc/self/fd/{entry.directory}/{entry.name}"


def peer_uid(connection: socket.socket) -> int:
    """Return the uid of the process at the other end, as the kernel reports it."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("iII"))
    return int(struct.unpack("iII", credentials)[1])


def listen(path: str, mode: int) -> socket.socket:
    """Return a listening socket at `path`. It replaces a dead daemon's socket: the caller holds the lock."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with short_path(path) as short:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(short)
        os.fchmod(listener.fileno(), mode & 0o600)  # bind creates the file with this mode, whatever the umask
        listener.bind(short)
        os.chmod(short, mode)
    listener.listen(128)
    return listener


def request_limit(max_crontab_size: int) -> int:
    """Return the maximum bytes of a request, for crontabs of at most `max_crontab_size` KiB; 0: no limit."""
    return max(MIN_REQUEST, max_crontab_size * 1024 * 4 // 3 + 4096) if max_crontab_size else MAX_REQUEST


def encode(message: dict[str, Any]) -> bytes:
    """Return a message as a line of JSON; bytes are encoded in base64."""
    return json.dumps(message, default=lambda value: base64.b64encode(value).decode()).encode() + b"\n"
