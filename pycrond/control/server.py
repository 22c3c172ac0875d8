"""The control socket's server: its clients, and each user's share of connections, memory and time."""

import contextlib
import math
import os
from collections import Counter
from collections.abc import Callable

from pycrond import clock
from pycrond.control.connection import Connection
from pycrond.control.protocol import MAX_CLIENTS, MAX_CLIENTS_OF_USER, MAX_UNSENT_OF_USER, Answerer, listen
from pycrond.host.poller import Poller

MAX_TURN_TIME = 0.02  # seconds of a turn in which answers are begun, so that other work is not delayed
MAX_ANSWER_TIME = 0.08  # seconds; with less time until the next minute no answer is begun
REQUEST_TIME = 10.0  # seconds in which a client must send its request
ANSWER_TIME = 60.0  # seconds in which a client must receive its answer
ACCEPTED_AT_ONCE = 16  # connections
ACCEPT_INTERVAL = 0.1  # seconds without new connections after an error that would repeat at once


class ControlServer:
    """Listens at a path and answers whole requests. Users take turns; no client blocks the loop.

    A user with too many connections loses one of its own. A user that does not receive its answers gets no
    further answers. After an answer, a user pauses for as long as it took. While no descriptor is free, a
    spare one serves one client at a time; if that lasts, the user with the most connections loses one.
    """

    def __init__(
        self, path: str, poller: Poller, answerer: Answerer, is_known: Callable[[int], bool], max_request: int
    ) -> None:
        """`is_known` returns whether a user may be answered, because its name has been looked up.
        `max_request` is the maximum number of bytes of a request.
        """
        self._path = path
        self._poller = poller
        self._answerer = answerer
        self._is_known = is_known
        self._max_request = max_request
        self._clients: dict[Connection, None] = {}  # in order of their last activity, oldest first
        self._asking: dict[int, dict[Connection, None]] = {}  # whole requests by user, the next user first
        self._accept_at: float | None = None  # by clock.elapsed; None: the listener is watched
        self._answer_at = 0.0  # by clock.elapsed
        self._paused_until: dict[int, float] = {}  # by user: the earliest next answer, by clock.elapsed
        self._spare = -1
        self._listen()
        self._keep_spare()

    # Connections

    def _listen(self) -> None:
        """Listen at the path; raises OSError or PycrondError."""
        self._listener = listen(self._path, 0o666)  # for all users: the kernel reports their uids
        self._listener.setblocking(False)
        status = os.stat(self._path)
        self._socket = (status.st_dev, status.st_ino)  # identifies this socket for `is_in_place`
        self._poller.register(self._listener, self._accept)

    @property
    def is_in_place(self) -> bool:
        """Return whether clients that connect to the path reach this server."""
        try:
            status = os.stat(self._path)
        except OSError:
            return False
        return (status.st_dev, status.st_ino) == self._socket

    def listen_again(self) -> None:
        """Listen with another socket if this one is no longer at the path; raises OSError or PycrondError."""
        if not self.is_in_place:
            old = self._listener
            self._listen()
            self._poller.unregister(old)
            old.close()
            self._accept_at = None

    def _accept(self) -> None:
        """Accept connections; after a lasting error, such as no free descriptor, try again later."""
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                connection, _ = self._listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError:
                if self._spare < 0:
                    self._poller.unregister(self._listener)
                    self._accept_at = clock.elapsed() + ACCEPT_INTERVAL
                    return
                os.close(self._spare)
                self._spare = -1
            else:
                self._add(Connection(connection, self._max_request, clock.elapsed() + REQUEST_TIME))

    def _accept_again(self, elapsed: float) -> None:
        """Watch the listener again when a connection has ended, or drop one after ACCEPT_INTERVAL."""
        if self._accept_at is None or elapsed < self._accept_at:
            return
        if self._accept_at and self._clients:
            self._drop_one_of(self._busiest_user())
        self._accept_at = None
        self._poller.register(self._listener, self._accept)

    def _keep_spare(self) -> None:
        if self._spare < 0:
            with contextlib.suppress(OSError):
                self._spare = os.dup(self._listener.fileno())

    def _add(self, client: Connection) -> None:
        counts = Counter(client.uid for client in self._clients)
        is_limited = client.uid not in {0, os.geteuid()}
        if is_limited and counts[client.uid] >= MAX_CLIENTS_OF_USER:
            self._drop_one_of(client.uid)
        elif len(self._clients) >= MAX_CLIENTS:
            self._drop_one_of(self._busiest_user())
        self._clients[client] = None
        self._poller.register(client, lambda: self._receive(client))
        self._receive(client)  # most clients have sent their request by now

    def _busiest_user(self) -> int:
        """Return the user with the most connections; not root if another user has as many."""
        counts = Counter(client.uid for client in self._clients)
        return max(counts, key=lambda uid: (counts[uid], uid))

    def _drop_one_of(self, uid: int) -> None:
        """Drop the user's connection that was silent longest."""
        self._drop(next(client for client in self._clients if client.uid == uid))

    def _drop(self, client: Connection) -> None:
        self._poller.unregister(client)
        del self._clients[client]
        if self._accept_at is not None:
            self._accept_at = 0.0
        self._withdraw(client)
        client.close()

    def _withdraw(self, client: Connection) -> None:
        asking = self._asking.get(client.uid, {})
        asking.pop(client, None)
        if not asking:
            self._asking.pop(client.uid, None)

    # Requests and answers

    def _receive(self, client: Connection) -> None:
        self._clients[client] = self._clients.pop(client)
        if not client.receive():
            self._drop(client)
        elif client.is_whole:
            self._poller.unregister(client)  # until it is answered
            client.deadline = math.inf
            self._asking.setdefault(client.uid, {})[client] = None

    def _send(self, client: Connection) -> None:
        self._clients[client] = self._clients.pop(client)
        if not client.send():
            self._drop(client)

    def step(self, elapsed: float, room: float) -> None:
        """Answer requests for 20 ms; users take turns. `room`: the seconds until the next minute."""
        for client in [client for client in self._clients if client.deadline <= elapsed]:
            self._drop(client)
        self._accept_again(elapsed)
        self._keep_spare()
        if 0 < room < MAX_ANSWER_TIME:
            self._answer_at = elapsed + room
            return
        until = elapsed + min(MAX_TURN_TIME, room - MAX_ANSWER_TIME if room > 0 else MAX_TURN_TIME)
        self._paused_until = {uid: at for uid, at in self._paused_until.items() if at > elapsed}
        for uid in self._ready():
            if (began := clock.elapsed()) > until:
                break
            if uid in self._paused_until:
                continue
            client = next(iter(self._asking[uid]))
            self._asking[uid] = self._asking.pop(uid)  # the other users come first next time
            self._withdraw(client)
            self._answer(client)
            if uid not in {0, os.geteuid()}:
                self._paused_until[uid] = 2 * clock.elapsed() - began

    def _ready(self) -> list[int]:
        """Return the users with a request that may be answered, in the order of their turns."""
        unsent: Counter[int] = Counter()
        for client in self._clients:
            unsent[client.uid] += client.unsent
        return [uid for uid in self._asking if unsent[uid] < MAX_UNSENT_OF_USER and self._is_known(uid)]

    def _answer(self, client: Connection) -> None:
        client.deadline = clock.elapsed() + ANSWER_TIME
        if client.answer(self._answerer):
            self._poller.register(client, lambda: self._send(client), write=True)
        else:
            self._drop(client)

    def retry_in(self, elapsed: float) -> float | None:
        """Return the seconds until `step` has something to do; None: only after an event of the poller."""
        waits = [client.deadline - elapsed for client in self._clients if client.deadline < math.inf]
        waits += [max(self._answer_at, self._paused_until.get(uid, 0.0)) - elapsed for uid in self._ready()]
        if self._accept_at is not None:
            waits.append(self._accept_at - elapsed)
        return max(0.0, min(waits)) if waits else None

    def close(self) -> None:
        """Stop listening and remove the socket's path."""
        self._poller.unregister(self._listener)
        self._listener.close()
        if self._spare >= 0:
            os.close(self._spare)
            self._spare = -1
        if self.is_in_place:
            os.unlink(self._path)
