"""An agent and its connection, without processes: requests that are carried out, lost, late or sent twice."""

from random import Random

from pycrond.cluster.packets import decode, encode
from pycrond.cluster.protocol import (
    Answer,
    Ask,
    Beat,
    Bury,
    Close,
    Confirm,
    LastFires,
    Message,
    Nodes,
    Open,
    Registered,
    Request,
    Status,
    TakeOver,
    Tell,
)
from tests.cluster.model.database import ModelDatabase, Sender

ORDER = (Ask, Confirm, TakeOver, Beat, Bury, Close, Tell, Open, LastFires)


def urgency(request: Request) -> int:
    return ORDER.index(type(request)) if type(request) in ORDER else len(ORDER)


class ModelLink:
    """A substitute for `AgentLink`."""

    def __init__(self, node: str) -> None:
        self.node = node
        self.ledger = ""
        self.offset = 0.0
        self.pending: dict[int, Request] = {}
        self.status = Status("down")
        self.connection = 0
        self.mode = "quick"
        """`quick`; `stuck`: nothing is carried out; `lossy`: some answers are lost, and the requests are
        carried out again; `late`: answers do not arrive.
        """
        self._todo: list[int] = []  # requests that the agent has, and the database has not answered
        self._answers: list[Message] = []  # sent and not received
        self._received: list[Message] = []
        self._numbers = 0

    # The daemon's side

    def number(self) -> int:
        self._numbers += 1
        return self._numbers

    def send(self, request: Request) -> None:
        assert decode(encode(request)) == request
        self.pending[request.number] = request
        self._todo.append(request.number)

    def forget(self, number: int) -> None:
        self.pending.pop(number, None)

    def take_messages(self) -> list[tuple[Message, Request | None]]:
        received, self._received = self._received, []
        messages: list[tuple[Message, Request | None]] = []
        for message in received:
            if not isinstance(message, Answer | Nodes):
                messages.append((message, None))
            elif (request := self.pending.pop(message.number, None)) is not None:
                messages.append((message, request))
        return messages

    @property
    def is_connected(self) -> bool:
        return self.status.state == "idle"

    def step(self, elapsed: float) -> None:
        """Nothing: the world moves the messages."""

    def retry_in(self, elapsed: float) -> float | None:
        return None

    def close(self) -> None:
        """Nothing: no process is to be ended."""

    # The world's side

    def connect(self, labels: tuple[str, ...], database: ModelDatabase) -> None:
        """Connect again, and send again the requests without an answer."""
        self.connection += 1
        self.status = Status("idle")
        self._todo = [*self.pending]
        database.set_labels(self.node, labels)
        self._received.append(Registered(self.connection, "cluster", "UTC"))

    def fence(self) -> None:
        """Another machine has the node's name."""
        self.mode = "stuck"
        self.status = Status("fenced", "another")
        self._received.append(self.status)

    def lose_connection(self) -> None:
        """Lose the connection, and the answers that were not received."""
        self.status = Status("down")
        self._answers.clear()

    def work(self, database: ModelDatabase, now: float, random: Random) -> None:
        """Carry out the waiting requests."""
        if not self.is_connected or self.mode == "stuck":
            return
        todo = sorted(
            self._todo, key=lambda number: urgency(self.pending[number]) if number in self.pending else 0
        )
        if self.mode != "quick":
            random.shuffle(todo)
        for number in todo:
            request = self.pending.get(number)
            if request is None:
                self._todo.remove(number)
                continue
            if self.mode == "lossy" and random.random() < 0.3:
                continue
            answer = database.execute(request, self.sender, now)
            if self.mode == "lossy" and random.random() < 0.4:
                continue  # it is carried out again
            self._todo.remove(number)
            self._answers.append(answer)
        if self.mode != "late":
            self._received += self._answers
            self._answers.clear()

    @property
    def sender(self) -> Sender:
        return Sender(self.node, self.ledger, self.connection, self.offset)

    def last_words(self, random: Random) -> Request | None:
        """Return a request of a dead agent that may still be carried out."""
        todo = [number for number in self._todo if number in self.pending]
        return self.pending[random.choice(todo)] if todo and self.is_connected else None
