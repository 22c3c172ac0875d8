"""The control socket: newline-delimited JSON, one request and one answer for each connection.

Anyone may connect (mode 0666); the kernel reports the client's uid (SO_PEERCRED). A slow or silent client
blocks nobody: the daemon reads only what has arrived, sends only what the socket takes, and drops a client
whose request is too long, or the one that was silent longest when there are too many.
"""

import base64
import contextlib
import dataclasses
import json
import os
import socket
import struct
from collections.abc import Callable, Iterator
from typing import Any

from pycrond.errors import NotRunningError, PycrondError

MAX_REQUEST = 65536  # bytes
MAX_CLIENTS = 200
Answerer = Callable[[dict[str, Any], int], dict[str, Any]]
"""From a request and the uid that makes it to the answer; PycrondError's text becomes its `error`."""


@contextlib.contextmanager
def short_path(path: str) -> Iterator[str]:
    """A name of at most 108 bytes, the limit of a socket's address, for a path of any length."""
    directory = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{os.path.basename(path)}"
    finally:
        os.close(directory)


def listen(path: str, mode: int) -> socket.socket:
    """A listening socket at `path`. It replaces the socket of a dead daemon: the caller holds the lock."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with short_path(path) as short:
        listener.bind(short)
        os.chmod(path, mode)
    listener.listen(128)
    return listener


def connect(path: str, timeout: float) -> socket.socket:
    """A connection; raises NotRunningError where nobody listens."""
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    client.settimeout(timeout)
    try:
        with short_path(path) as short:
            client.connect(short)
    except OSError as error:
        client.close()
        raise NotRunningError(f"pycrond is not running (nobody listens at {path})") from error
    return client


def ask(path: str, request: dict[str, Any], timeout: float = 60.0) -> dict[str, Any]:
    """Send a request to the daemon and return its answer; raises the error that it answers."""
    with connect(path, timeout) as client:
        try:
            client.sendall(_line(request))
            with client.makefile("rb") as lines:
                line = lines.readline()
        except (ConnectionResetError, BrokenPipeError):
            line = b""
        except OSError as error:
            raise PycrondError(f"the daemon does not answer: {error}") from error
    if not line:
        raise NotRunningError("the daemon ended before it answered")
    answer: dict[str, Any] = json.loads(line)
    if "error" in answer:
        raise PycrondError(answer["error"])
    return answer


def _line(message: dict[str, Any]) -> bytes:
    return json.dumps(message, default=_plain).encode() + b"\n"


def _plain(value: Any) -> Any:
    """The form in JSON of bytes (base64) and of a dataclass (a list of its fields)."""
    return base64.b64encode(value).decode() if isinstance(value, bytes) else dataclasses.astuple(value)


class Client:
    """A connection on the daemon's side: it sends a request, then receives the answer."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self._connection = connection
        self._request = b""
        self._unsent = b""
        _, self.uid, _ = struct.unpack(
            "iII", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("iII"))
        )

    def fileno(self) -> int:
        return self._connection.fileno()

    @property
    def is_answered(self) -> bool:
        """Tell whether the client waits for the rest of an answer."""
        return bool(self._unsent)

    def serve(self, answerer: Answerer) -> bool:
        """Read what has arrived and answer a whole line, or send more of the answer; False at the end."""
        try:
            return self._send() if self._unsent else self._receive(answerer)
        except BlockingIOError:
            return True
        except OSError:
            return False

    def _receive(self, answerer: Answerer) -> bool:
        data = self._connection.recv(MAX_REQUEST)
        self._request += data
        if b"\n" not in self._request:
            return bool(data) and len(self._request) < MAX_REQUEST
        answer = self._answer(self._request.partition(b"\n")[0], answerer)
        self._request = b""
        self._unsent = _line(answer)
        return self._send()

    def _send(self) -> bool:
        self._unsent = self._unsent[self._connection.send(self._unsent) :]
        return bool(self._unsent)

    def _answer(self, line: bytes, answerer: Answerer) -> dict[str, Any]:
        try:
            request = json.loads(line)
        except (ValueError, RecursionError) as error:
            return {"error": f"not JSON: {error}"}
        if not isinstance(request, dict):
            return {"error": "a request is an object"}
        try:
            return answerer(request, self.uid)
        except PycrondError as error:
            return {"error": str(error)}

    def close(self) -> None:
        self._connection.close()
