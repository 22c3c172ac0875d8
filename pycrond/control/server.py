"""The control socket's clients: who has connected, and what they get for an answer."""

import os

from pycrond import clock
from pycrond.control import protocol
from pycrond.host.poller import Poller

TURN_MOST = 0.02  # seconds of a turn spent on answers: a minute may be about to begin


class ControlServer:
    """Listens at a path and answers each client when its request is whole; none holds the loop up."""

    def __init__(self, path: str, poller: Poller, answerer: protocol.Answerer) -> None:
        self._path = path
        self._poller = poller
        self._answerer = answerer
        self._spent = 0.0
        self._clients: dict[protocol.Client, None] = {}  # the one that has been silent longest first
        self._listener = protocol.listen(path, 0o666)  # anyone: the kernel tells who it is
        self._listener.setblocking(False)
        poller.register(self._listener, self._accept)

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:  # it has gone away, or there are no descriptors left
            return
        if len(self._clients) >= protocol.CLIENTS_MOST:
            self._drop(next(iter(self._clients)))
        client = protocol.Client(connection)
        self._clients[client] = None
        self._poller.register(client, lambda: self._serve(client))

    def _serve(self, client: protocol.Client) -> None:
        if self._spent >= TURN_MOST:
            return  # it is there in the next turn too
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
        """A new turn: there is time for answers again."""
        self._spent = 0.0

    def close(self) -> None:
        """Nobody is answered any more, and the path is gone."""
        self._poller.unregister(self._listener)
        self._listener.close()
        os.unlink(self._path)
