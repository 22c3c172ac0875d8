"""The control socket's server: its clients, and the time spent on them."""

import json
import os
import socket
import struct
from typing import Any

from pycrond import clock
from pycrond.control.protocol import MAX_CLIENTS, MAX_REQUEST, Answerer, encode, listen
from pycrond.errors import PycrondError
from pycrond.host.poller import Poller

MAX_TURN_TIME = 0.02  # seconds of a turn spent on answers: a minute may be about to begin


class Connection:
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
        self._unsent = encode(answer)
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


class ControlServer:
    """Listens at a path and answers each client when its request is whole; no client blocks the loop."""

    def __init__(self, path: str, poller: Poller, answerer: Answerer) -> None:
        self._path = path
        self._poller = poller
        self._answerer = answerer
        self._spent = 0.0
        self._clients: dict[Connection, None] = {}  # in order of their last activity, oldest first
        self._listener = listen(path, 0o666)  # for all users: the kernel reports their uids
        self._listener.setblocking(False)
        poller.register(self._listener, self._accept)

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:  # the client has gone, or no descriptor is free
            return
        if len(self._clients) >= MAX_CLIENTS:
            self._drop(next(iter(self._clients)))
        client = Connection(connection)
        self._clients[client] = None
        self._poller.register(client, lambda: self._serve(client))

    def _serve(self, client: Connection) -> None:
        if self._spent >= MAX_TURN_TIME:
            return  # the poller reports it again in the next turn
        began = clock.elapsed()
        self._clients[client] = self._clients.pop(client)
        if not client.serve(self._answerer):
            self._drop(client)
        elif client.is_answered:
            self._poller.register(client, lambda: self._serve(client), write=True)
        self._spent += clock.elapsed() - began

    def _drop(self, client: Connection) -> None:
        self._poller.unregister(client)
        del self._clients[client]
        client.close()

    def new_turn(self) -> None:
        """Begin a new turn."""
        self._spent = 0.0

    def close(self) -> None:
        """Stop listening and remove the socket's path."""
        self._poller.unregister(self._listener)
        self._listener.close()
        os.unlink(self._path)
