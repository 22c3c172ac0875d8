"""The control socket's clients: who has connected, and what they get for an answer."""

import os

from pycrond import control
from pycrond.poller import Poller


class Answering:
    """Listens at a path and answers each client when its request is whole; none holds the loop up."""

    def __init__(self, path: str, poller: Poller, answerer: control.Answerer) -> None:
        self._path = path
        self._poller = poller
        self._answerer = answerer
        self._clients: set[control.Client] = set()
        self._listener = control.listen(path, 0o666)  # anyone: the kernel tells who it is
        self._listener.setblocking(False)
        poller.register(self._listener, self._accept)

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:  # it has gone away, or there are no descriptors left
            return
        if len(self._clients) >= control.CLIENTS_MOST:
            connection.close()
            return
        client = control.Client(connection)
        self._clients.add(client)
        self._poller.register(client, lambda: self._serve(client))

    def _serve(self, client: control.Client) -> None:
        if not client.serve(self._answerer):
            self._poller.unregister(client)
            self._clients.discard(client)
            client.close()

    def close(self) -> None:
        """Nobody is answered any more, and the path is gone."""
        self._poller.unregister(self._listener)
        self._listener.close()
        os.unlink(self._path)
