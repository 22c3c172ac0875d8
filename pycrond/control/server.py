"""The control socket's server: its clients, and the time spent on them."""

import os

from pycrond import clock
from pycrond.control import protocol
from pycrond.host.poller import Poller

MAX_TURN_TIME = 0.02  # seconds of a turn spent on answers: a minute may be about to begin


class ControlServer:
    """Listens at a path and answers each client when its request is whole; no client blocks the loop."""

    def __init__(self, path: str, poller: Poller, answerer: protocol.Answerer) -> None:
        self._path = path
        self._poller = poller
        self._answerer = answerer
        self._spent = 0.0
        self._clients: dict[protocol.Client, None] = {}  # in order of their last activity, oldest first
        self._listener = protocol.listen(path, 0o666)  # for all users: the kernel reports their uids
        self._listener.setblocking(False)
        poller.register(self._listener, self._accept)

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:  # the client has gone, or no descriptor is free
            return
        if len(self._clients) >= protocol.MAX_CLIENTS:
            self._drop(next(iter(self._clients)))
        client = protocol.Client(connection)
        self._clients[client] = None
        self._poller.register(client, lambda: self._serve(client))

    def _serve(self, client: protocol.Client) -> None:
        if self._spent >= MAX_TURN_TIME:
            return  # the poller reports it again in the next turn
        began = clock.elapsed()
        self._clients[client] = self._clients.pop(client)
        if not client.serve(self._answerer):
            self._drop(client)
        elif client.is_answered:
            self._poller.register(client, lambda: self._serve(client), write=True)
        self._spent += clock.elapsed() - began

    def _drop(self, client: protocol.Client) -> None:
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
