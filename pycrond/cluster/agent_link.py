"""The daemon's link to the agent: starts it, sends requests until they are answered, and replaces it when
it is silent.
"""

import contextlib
import fcntl
import os
import signal
import socket
import sys
from collections import deque
from collections.abc import Iterable
from typing import Any

from pycrond import clock
from pycrond.cluster.packets import decode, encode
from pycrond.cluster.protocol import MAX_MESSAGE, Answer, Message, Nodes, Ping, Registered, Request, Status
from pycrond.errors import os_reason
from pycrond.host import spawn
from pycrond.host.poller import Poller
from pycrond.host.spawn import DEFAULT_SIGNALS
from pycrond.output.daemon_log import DaemonLog

PING_INTERVAL = 4.0  # seconds of silence after which the daemon sends a ping
MAX_SILENCE = 10.0  # seconds of silence after which the agent is killed and replaced
RESTART_INTERVAL = 1.0  # seconds until the next start; doubled after each agent with a SHORT_LIFE
LONGEST_RESTART_INTERVAL = 60.0  # seconds
SHORT_LIFE = 5.0  # seconds; after an agent that ends earlier, the next one is not started at once
FULL_RETRY_INTERVAL = 0.02  # seconds until a full socket is tried again
START_TIME = 30.0  # seconds that a start may take: a busy machine reads Python's files slowly
ERROR_SIZE = 2_000  # bytes of the agent's standard error that are logged
SOCKET, CONNINFO = 10, 11  # descriptors of the agent


class AgentLink:
    """A running agent, or the wait for the next one."""

    def __init__(self, arguments: Iterable[str], conninfo: str, poller: Poller, log: DaemonLog) -> None:
        """`arguments` are those of `pycrond.cluster.agent`, except for the descriptors."""
        self._arguments = (
            *(sys.executable, "-P", "-X", "utf8", "-m", "pycrond.cluster.agent"),
            *(f"--socket={SOCKET}", f"--conninfo-fd={CONNINFO}", *arguments),
        )
        self._conninfo = conninfo
        self.timeline = ""
        """The timeline of the database at the last connection; a server with a lower one is refused."""
        self._poller = poller
        self._log = log
        self.pending: dict[int, Request] = {}
        """The requests that are not answered, by number, in order."""
        self.status = Status("down", "the agent has not started yet")
        self._outgoing: deque[int] = deque()  # numbers of requests to be sent to this agent
        self._received: list[Message] = []
        self._numbers = 0
        self._pid = 0
        self._socket: socket.socket | None = None
        self._errors = -1  # a file in memory
        self._connected_at = (
            clock.elapsed()
        )  # the last time at which the database was connected; at first, the start
        self._heard_at = 0.0  # by clock.elapsed, as the next three
        self._pinged_at = 0.0
        self._start_at = 0.0
        self._restart_interval = RESTART_INTERVAL
        self._started_at = 0.0
        self._last_words = ""  # of an agent with a SHORT_LIFE, so that they are logged once
        self._retry_at: float | None = None

    # Messages

    def number(self) -> int:
        """Return the number of the next request."""
        self._numbers += 1
        return self._numbers

    def send(self, request: Request) -> None:
        """Send a request, to each new agent until it is answered; `take_messages` returns the answer."""
        self.pending[request.number] = request
        self._outgoing.append(request.number)

    def forget(self, number: int) -> None:
        """Stop sending a request, and ignore its answer."""
        self.pending.pop(number, None)

    def take_messages(self) -> list[tuple[Message, Request | None]]:
        """Return the agent's messages since the last call; an answer with its request."""
        received, self._received = self._received, []
        messages: list[tuple[Message, Request | None]] = []
        for message in received:
            if isinstance(message, Answer | Nodes):
                request = self.pending.pop(message.number, None)
                if request is not None and isinstance(message, Answer) and message.more:
                    self.pending[message.number] = request
                if request is not None:
                    messages.append((message, request))
            else:
                messages.append((message, None))
        return messages

    @property
    def is_connected(self) -> bool:
        return self.status.state in {"idle", "asking"}

    def away_for(self, elapsed: float) -> float:
        """Return the seconds for which the database has not been connected."""
        return 0.0 if self.is_connected else elapsed - self._connected_at

    # The process

    def step(self, elapsed: float) -> None:
        """Start an agent if there is none, send the requests, and kill an agent that is silent."""
        if self.is_connected:
            self._connected_at = elapsed
        if self._socket is None and not self._pid and elapsed >= self._start_at:
            self._start(elapsed)
        self.receive()  # after a sleep, the answer to the last ping is here
        if self._socket is None:
            return
        self._flush()
        is_asked = self._pinged_at > self._heard_at or not self._pinged_at
        if is_asked and elapsed - max(self._heard_at, self._pinged_at) > MAX_SILENCE - PING_INTERVAL:
            self._end("the agent was silent and is replaced")
        elif elapsed - max(self._heard_at, self._pinged_at) >= PING_INTERVAL:
            self._pinged_at = elapsed
            with contextlib.suppress(OSError):
                self._socket.send(encode(Ping()))

    def retry_in(self, elapsed: float) -> float | None:
        """Seconds until `step` has something to do."""
        if self._socket is None:
            return None if self._pid else max(0.0, self._start_at - elapsed)
        if self._retry_at is not None:
            return max(0.0, self._retry_at - elapsed)
        heard = max(self._heard_at, self._pinged_at)
        return max(0.0, heard + PING_INTERVAL - elapsed)

    def _start(self, elapsed: float) -> None:
        self._started_at, self._start_at = elapsed, elapsed + RESTART_INTERVAL
        try:
            self._socket = self._spawn()
        except OSError as error:
            self._end(f"cannot start the agent: {os_reason(error)}")
            return
        self._heard_at = elapsed + START_TIME - MAX_SILENCE
        self._pinged_at = 0.0
        self._outgoing = deque(self.pending)
        self._poller.register(self._socket, self.receive)

    def _spawn(self) -> socket.socket:
        """Start a process, and return the socket to it. Raises OSError."""
        with contextlib.ExitStack() as stack:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            closing = stack.enter_context(contextlib.ExitStack())
            closing.callback(ours.close)
            stack.callback(theirs.close)
            ours.setblocking(False)
            conninfo = os.memfd_create("conninfo", os.MFD_CLOEXEC)
            stack.callback(os.close, conninfo)
            os.pwrite(conninfo, self._conninfo.encode(), 0)
            self._errors = spawn.make_memfd(ERROR_SIZE)
            closing.callback(os.close, self._errors)
            actions: list[Any] = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)]
            actions += [(os.POSIX_SPAWN_DUP2, self._errors, number) for number in (1, 2)]
            for number, inherited in ((theirs.fileno(), SOCKET), (conninfo, CONNINFO)):
                high = fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 20)
                stack.callback(os.close, high)
                actions.append((os.POSIX_SPAWN_DUP2, high, inherited))
            self._pid = os.posix_spawn(
                self._arguments[0],
                (*self._arguments, *((f"--timeline={self.timeline}",) if self.timeline else ())),
                os.environ,  # libpq's variables are among them
                file_actions=actions,
                setsid=True,
                setsigmask=[],
                setsigdef=DEFAULT_SIGNALS,
            )
            closing.pop_all()
        return ours

    def _flush(self) -> None:
        self._retry_at = None
        while self._outgoing and self._socket:
            request = self.pending.get(self._outgoing[0])
            if request is not None:
                try:
                    self._socket.send(encode(request))
                except BlockingIOError:
                    self._retry_at = clock.elapsed() + FULL_RETRY_INTERVAL
                    return
                except OSError:
                    return  # the agent has ended; the next one gets all requests
            self._outgoing.popleft()

    def receive(self) -> None:
        """Receive the agent's messages, for `take_messages`."""
        while self._socket:
            try:
                packet = self._socket.recv(MAX_MESSAGE)
            except BlockingIOError:
                return
            except OSError:
                packet = b""
            if not packet:
                self._end()
                return
            self._heard_at = clock.elapsed()
            try:
                message = decode(packet)
            except ValueError:  # a row of the database is impossible
                self._end("the agent has sent an invalid message")
                return
            if isinstance(message, Status):
                self.status = message
            if isinstance(message, Answer | Nodes | Registered | Status):
                self._received.append(message)

    def _end(self, detail: str = "") -> None:
        """Close the socket, which ends the agent, and kill it."""
        if self._socket:
            self._poller.unregister(self._socket)
            self._socket.close()
            self._socket = None
        self.status = Status("down", detail)
        if detail != self._last_words:
            self._received.append(self.status)
        if self._pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)

    def children_ended(self, ended: Iterable[tuple[int, int]]) -> None:
        """Note the ends of children, given as pid and wait status."""
        for pid, _ in ended:
            if pid == self._pid:
                self._pid = 0
                words = spawn.read_memfd(self._errors, ERROR_SIZE).strip().splitlines()
                detail = f"the agent has ended{f': {words[-1]}' if words else ''}"
                self._end(detail)
                self._last_words = detail
                self._delay_start(clock.elapsed())

    def _delay_start(self, elapsed: float) -> None:
        """Set the time at which the next agent is started."""
        if elapsed - self._started_at >= SHORT_LIFE:
            self._last_words, self._restart_interval = "", RESTART_INTERVAL
            return
        self._start_at = elapsed + self._restart_interval
        self._restart_interval = min(LONGEST_RESTART_INTERVAL, 2 * self._restart_interval)

    def close(self) -> None:
        self._end()
