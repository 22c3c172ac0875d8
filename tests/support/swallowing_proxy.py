"""A proxy in front of PostgreSQL that swallows bytes, holds them back, or cuts connections."""

import contextlib
import os
import select
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NAME = ".s.PGSQL.5432"
SIZE = 1 << 16


class _Pair:
    """A client's connection and its connection to the server."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client = client
        self.server = server
        self.held = b""  # requests that are held back

    def close(self) -> None:
        self.client.close()
        self.server.close()


class Proxy:
    """A unix socket whose connections lead to a server."""

    def __init__(self, directory: Path, server: Path) -> None:
        self.directory = directory
        self.swallows_replies = False
        self.holds_requests = False
        self.replies = 0
        """Bytes of replies that have arrived."""
        self.connections = 0
        """The number of accepted connections."""
        self._server = str(server / NAME)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(directory / NAME))
        self._listener.listen()
        self._wake, self._woken = os.pipe()
        self._pairs: list[_Pair] = []
        self._is_over = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def conninfo(self, original: str) -> str:
        """Return a conninfo that leads through the proxy."""
        parameters = dict(part.split("=", 1) for part in original.split())
        return " ".join(
            f"{name}={value}" for name, value in {**parameters, "host": str(self.directory)}.items()
        )

    @property
    def held(self) -> int:
        """Bytes of requests that are held back."""
        return sum(len(pair.held) for pair in self._pairs)

    def cut(self) -> None:
        """Close all connections."""
        with self._lock:
            for pair in self._pairs:
                pair.close()
            self._pairs = []
        os.write(self._woken, b"x")

    def drop_clients(self) -> list[tuple[socket.socket, bytes]]:
        """Close the clients' connections; return those to the server, with the requests that were held back."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
            for pair in pairs:
                pair.client.close()
        os.write(self._woken, b"x")
        return [(pair.server, pair.held) for pair in pairs]

    def close(self) -> None:
        self._is_over = True
        self.cut()
        self._thread.join()
        self._listener.close()
        os.close(self._wake)
        os.close(self._woken)

    def _run(self) -> None:
        while not self._is_over:
            with self._lock:
                pairs = [*self._pairs]
                ends = [end for pair in pairs for end in (pair.client, pair.server)]
                watched: list[Any] = [self._wake, self._listener, *ends]
            with contextlib.suppress(OSError, ValueError):
                ready, _, _ = select.select(watched, [], [])
                if self._wake in ready:
                    os.read(self._wake, SIZE)
                with self._lock:
                    self._serve(ready, pairs)

    def _serve(self, ready: list[Any], pairs: list[_Pair]) -> None:
        for pair in pairs:
            if pair in self._pairs and not self._carry(pair, ready):
                pair.close()
                self._pairs.remove(pair)
        if self._listener in ready:
            client, _ = self._listener.accept()
            server = socket.socket(socket.AF_UNIX)
            server.connect(self._server)
            self._pairs.append(_Pair(client, server))
            self.connections += 1

    def _carry(self, pair: _Pair, ready: list[Any]) -> bool:
        try:
            if pair.client in ready:
                data = pair.client.recv(SIZE)
                if not data:
                    return False
                if self.holds_requests:
                    pair.held += data
                else:
                    pair.server.sendall(data)
            if pair.server in ready:
                data = pair.server.recv(SIZE)
                if not data:
                    return False
                self.replies += len(data)
                if not self.swallows_replies:
                    pair.client.sendall(data)
        except OSError:
            return False
        return True


@contextlib.contextmanager
def proxy(server: Path) -> Iterator[Proxy]:
    """Yield a proxy in front of the server with this socket directory."""
    with tempfile.TemporaryDirectory(prefix="px-", dir="/tmp") as directory:
        started = Proxy(Path(directory), server)
        try:
            yield started
        finally:
            started.close()
