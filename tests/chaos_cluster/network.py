"""The network between nodes and database servers: a gate for each pair, which can be shut in several ways.

A gate is a unix socket that leads to a server's. What a shut gate holds back goes through when it is opened, as
on a network that loses no bytes, even if its sender has hung up meanwhile; or the connections are cut.
"""

import asyncio
import contextlib
import threading
from asyncio import StreamReader, StreamWriter
from collections.abc import Callable
from pathlib import Path
from typing import Any

NAME = ".s.PGSQL.5432"
SIZE = 1 << 16
REQUESTS, REPLIES = "requests", "replies"


class Gate:
    """A socket in `directory` that leads to the server whose socket is in `server`."""

    def __init__(self, directory: Path, server: Path) -> None:
        self.directory = directory
        self._server = str(server / NAME)
        self._listener: asyncio.Server | None = None
        self._is_open = {REQUESTS: asyncio.Event(), REPLIES: asyncio.Event()}
        for event in self._is_open.values():
            event.set()
        self._writers: set[StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def listen(self) -> None:
        if self._listener is None:
            self._listener = await asyncio.start_unix_server(self._serve, self.directory / NAME)

    async def refuse(self) -> None:
        """Cut all connections, and refuse others until `listen`."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
            (self.directory / NAME).unlink(missing_ok=True)
        self.cut()

    async def hold(self, *directions: str) -> None:
        """Carry nothing in these directions."""
        for direction in directions:
            self._is_open[direction].clear()

    async def release(self, *, cut: bool) -> None:
        """Carry everything again; with `cut` what was held back is lost with its connections."""
        if cut:
            self.cut()
        for event in self._is_open.values():
            event.set()

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        for task in self._tasks:
            task.cancel()

    async def _serve(self, client: StreamReader, to_client: StreamWriter) -> None:
        self._writers.add(to_client)
        try:
            server, to_server = await asyncio.open_unix_connection(self._server)
        except OSError:
            to_client.close()
            self._writers.discard(to_client)
            return
        self._writers.add(to_server)
        pumps = [
            asyncio.create_task(self._carry(client, to_server, REQUESTS)),
            asyncio.create_task(self._carry(server, to_client, REPLIES)),
        ]
        self._tasks.update(pumps)
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
                self._tasks.discard(pump)
            for writer in (to_client, to_server):
                writer.close()
                self._writers.discard(writer)

    async def _carry(self, source: StreamReader, target: StreamWriter, direction: str) -> None:
        """Carry bytes until one end hangs up; that, too, is known at the other end only if the gate is open."""
        with contextlib.suppress(OSError):
            is_over = False
            while not is_over:
                data = await source.read(SIZE)
                await self._is_open[direction].wait()
                target.write(data)
                await target.drain()
                is_over = not data


class Network:
    """All gates, in a thread of their own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="network")
        self._thread.start()
        self._gates: list[Gate] = []

    def gate(self, directory: Path, server: Path) -> Gate:
        """Return a new gate, which is open."""
        gate = Gate(directory, server)
        self._gates.append(gate)
        self.do(gate.listen)
        return gate

    def do(self, act: Callable[..., Any], *arguments: Any, **options: Any) -> None:
        """Call a coroutine function in the thread, and wait for its end."""
        asyncio.run_coroutine_threadsafe(act(*arguments, **options), self._loop).result(30)

    def close(self) -> None:
        for gate in self._gates:
            self.do(gate.refuse)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
