"""The agent's end of its socket: messages from the daemon and to it."""

import select
import socket
from collections import deque
from typing import Self

from pycrond.cluster.packets import decode, encode
from pycrond.cluster.protocol import MAX_FIRES, MAX_MESSAGE, Answer, Message, Row


class AgentSocket:
    """A SOCK_SEQPACKET socket. Messages that the daemon has not read are queued here."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._socket.setblocking(False)
        self._outgoing: deque[bytes] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def fileno(self) -> int:
        return self._socket.fileno()

    @property
    def events(self) -> int:
        """The events for which `poll` waits."""
        return select.POLLIN | (select.POLLOUT if self._outgoing else 0)

    def receive(self) -> list[Message] | None:
        """Return the messages that have arrived; None if the daemon has closed the socket, or has ended."""
        messages: list[Message] = []
        while True:
            try:
                packet = self._socket.recv(MAX_MESSAGE)
            except BlockingIOError:
                return messages
            except OSError:
                return None
            if not packet:
                return None
            messages.append(decode(packet))

    def send(self, message: Message) -> None:
        self._outgoing.append(encode(message))
        self.flush()

    def answer(self, number: int, rows: tuple[Row, ...]) -> None:
        """Send an answer, in as many messages as it needs."""
        while len(rows) > MAX_FIRES:
            self.send(Answer(number, rows[:MAX_FIRES], more=True))
            rows = rows[MAX_FIRES:]
        self.send(Answer(number, rows))

    def flush(self) -> None:
        """Send the queued messages, as far as the daemon reads them."""
        try:
            while self._outgoing:
                self._socket.send(self._outgoing[0])
                self._outgoing.popleft()
        except BlockingIOError:
            return
        except ConnectionError:
            self._outgoing.clear()  # `receive` sees the end
