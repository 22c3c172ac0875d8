"""A connection of the control socket on the daemon's side: one request, then one answer."""

import json
import socket
from typing import Any

from pycrond.control.protocol import MAX_ANSWER, MIN_REQUEST, Answerer, encode, peer_uid
from pycrond.errors import PycrondError


class Connection:
    """A client that sends a request and then receives the answer. No call waits for the client."""

    def __init__(self, connection: socket.socket, max_request: int, deadline: float) -> None:
        """`max_request` is the maximum number of bytes of a request."""
        connection.setblocking(False)
        self.deadline = deadline
        """The time at which the server drops the connection, by clock.elapsed."""
        self._connection = connection
        self._max_request = max_request
        self._request = bytearray()
        self._unsent = memoryview(b"")
        self.uid = peer_uid(connection)

    def fileno(self) -> int:
        return self._connection.fileno()

    @property
    def is_whole(self) -> bool:
        """True if the whole request has arrived, or so much of it that it is refused."""
        return b"\n" in self._request or self._is_too_long

    @property
    def _is_too_long(self) -> bool:
        return b"\n" not in self._request and len(self._request) >= self._max_request

    @property
    def unsent(self) -> int:
        """The number of bytes of the answer that are not sent yet."""
        return len(self._unsent)

    def receive(self) -> bool:
        """Read the data that has arrived; return False if the request cannot become complete."""
        try:
            data = self._connection.recv(MIN_REQUEST)
        except BlockingIOError:
            return True
        except OSError:
            return False
        self._request += data
        return self.is_whole or bool(data)

    def answer(self, answerer: Answerer) -> bool:
        """Answer a whole request; return False if no part of the answer is left to send."""
        if self._is_too_long:
            answer = {"error": f"the request is too long: it may have {self._max_request} bytes"}
        else:
            answer = _answer(bytes(self._request.partition(b"\n")[0]), self.uid, answerer)
        self._request = bytearray()
        data = encode(answer)
        if len(data) > MAX_ANSWER:
            message = f"the answer has {len(data)} bytes, at most {MAX_ANSWER} are sent; ask for less"
            data = encode({"error": message})
        self._unsent = memoryview(data)
        return self.send()

    def send(self) -> bool:
        """Send what the socket accepts; return False if nothing is left to send, or if the client is gone."""
        try:
            self._unsent = self._unsent[self._connection.send(self._unsent) :]
        except BlockingIOError:
            return True
        except OSError:
            return False
        return bool(self._unsent)

    def close(self) -> None:
        self._connection.close()


def _answer(line: bytes, uid: int, answerer: Answerer) -> dict[str, Any]:
    try:
        request = json.loads(line)
    except (ValueError, RecursionError) as error:
        return {"error": f"not JSON: {error}"}
    if not isinstance(request, dict):
        return {"error": "a request is an object"}
    try:
        return answerer(request, uid)
    except PycrondError as error:
        return {"error": str(error)}
