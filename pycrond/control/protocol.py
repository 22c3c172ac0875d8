"""The control socket: newline-delimited JSON, one request and one answer a connection.

Anyone may connect (mode 0666); who it is, the kernel says (SO_PEERCRED). A slow or silent client holds
nobody up: it is only read from when it has written, gets an answer as it takes it, and is dropped when it
says too much, or when another one wants its place.
"""

import contextlib
import json
import os
import socket
import struct
from collections.abc import Callable, Iterator
from typing import Any

from pycrond.errors import NotRunningError, PycrondError

REQUEST_MOST = 65536  # bytes
CLIENTS_MOST = 200
Answerer = Callable[[dict[str, Any], int], dict[str, Any]]
"""From a request and the uid that makes it to the answer; PycrondError's text becomes its `error`."""


@contextlib.contextmanager
def short_path(path: str) -> Iterator[str]:
    """A name of at most 108 bytes, all that a socket's address may have, for a path of any length."""
    folder = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{os.path.basename(path)}"
    finally:
        os.close(folder)


def listen(path: str, mode: int) -> socket.socket:
    """A listening socket at `path`; whatever is there is from a daemon that died, for we hold the lock."""
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
    """One request to the daemon and its answer; raises what the daemon answers as an error."""
    with connect(path, timeout) as client:
        try:
            client.sendall(json.dumps(request).encode() + b"\n")
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


class Client:
    """A connection on the daemon's side: first it is listened to, then it gets its answer."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self._connection = connection
        self._said = b""
        self._rest = b""
        _, self.uid, _ = struct.unpack(
            "iII", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("iII"))
        )

    def fileno(self) -> int:
        return self._connection.fileno()

    @property
    def is_answered(self) -> bool:
        """Whether it has an answer, and has not taken all of it yet."""
        return bool(self._rest)

    def serve(self, answerer: Answerer) -> bool:
        """Take what it says and answer when that is a whole line, or give it more of its answer; False once
        the connection is done with.
        """
        try:
            return self._send() if self._rest else self._listen(answerer)
        except BlockingIOError:
            return True
        except OSError:
            return False

    def _listen(self, answerer: Answerer) -> bool:
        said = self._connection.recv(REQUEST_MOST)
        self._said += said
        if b"\n" not in self._said:
            return bool(said) and len(self._said) < REQUEST_MOST
        answer = self._answer(self._said.partition(b"\n")[0], answerer)
        self._said = b""
        self._rest = json.dumps(answer).encode() + b"\n"
        return self._send()

    def _send(self) -> bool:
        self._rest = self._rest[self._connection.send(self._rest) :]
        return bool(self._rest)

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
