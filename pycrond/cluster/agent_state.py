"""The state machine of an agent: its connection and its requests. Pure.

A request is kept, across any number of connections, until a transaction has answered it. The connection to a
server that does not reply is kept, because each new one would leave another process of the server stuck.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

from pycrond.cluster.output_copy import Copy
from pycrond.cluster.protocol import (
    Abandoned,
    Ask,
    Beat,
    Bury,
    Close,
    Confirm,
    LastFires,
    LastSuccess,
    Open,
    Request,
    Status,
    TakeOver,
    Tell,
)

CONNECT_TIMEOUT = 5.0  # seconds until the next host is tried
REPLY_TIMEOUT = 10.0  # seconds until the daemon is told that the server is silent
NAME_INTERVAL = 5.0  # seconds between checks of the node that has the name
RETIRE_INTERVAL = 300.0  # seconds between deletions of old rows, with up to five nodes
RETIRE_AGAIN = 5.0  # seconds until more of them are deleted
SHORTEST_DELAY, LONGEST_DELAY = 0.2, 5.0  # seconds until a connection or a request is tried again


class State(StrEnum):
    DOWN = "down"
    """There is no connection."""
    CONNECTING = "connecting"
    REGISTERING = "registering"
    """The tables are checked, and the node's name is registered."""
    IDLE = "idle"
    ASKING = "asking"
    """A transaction has been sent."""
    STALLED = "stalled"
    """The server has not replied for REPLY_TIMEOUT; the connection is kept, and nothing else is sent."""
    FENCED = "fenced"
    """Another machine has the name; only checks of its row are sent."""


NEXT = {
    State.DOWN: {State.CONNECTING},
    State.CONNECTING: {State.DOWN, State.REGISTERING},
    State.REGISTERING: {State.DOWN, State.IDLE, State.FENCED, State.STALLED},
    State.IDLE: {State.DOWN, State.ASKING, State.REGISTERING},
    State.ASKING: {State.DOWN, State.IDLE, State.STALLED, State.REGISTERING},
    State.STALLED: {State.DOWN, State.IDLE, State.FENCED, State.REGISTERING},
    State.FENCED: {State.DOWN, State.REGISTERING},
}

Work = Request | Copy
ORDER: tuple[type[Work], ...] = (
    Ask,
    Confirm,
    TakeOver,
    Beat,
    Abandoned,
    Bury,
    Close,
    Tell,
    Open,
    LastFires,
    LastSuccess,
    Copy,
)
"""The kinds of requests, the most urgent first."""


class Connect(NamedTuple):
    """Begin to connect."""


class Disconnect(NamedTuple):
    """Close a connection that was not complete in time."""


class Greet(NamedTuple):
    """Send the next transaction of the registration."""


class Send(NamedTuple):
    """Send the transaction of a request."""

    request: Work
    is_repeated: bool
    """The request may have been carried out before."""


class Retire(NamedTuple):
    """Delete old rows."""


Action = Connect | Disconnect | Greet | Send | Retire


class Pending:
    """A request that has no answer yet."""

    def __init__(self, request: Work) -> None:
        self.request = request
        self.tries = 0
        self.not_before = 0.0


class Agent:
    """The states of an agent. Times are those of a monotonic clock."""

    def __init__(self, random: Callable[[], float], now: float) -> None:
        """`random` returns a number from 0 to 1."""
        self.state = State.DOWN
        self.detail = ""
        """The last failure, until something succeeds."""
        self._random = random
        self._failures = 0  # consecutive failed connections
        self._pending: list[Pending] = []  # in the order of their urgency, then of their arrival
        self._sent: Pending | None = None
        self._is_awaiting = False  # a transaction has been sent
        self._was_registering = False  # the state before STALLED was REGISTERING
        self._since = now  # the start of the state, or the time at which a transaction was sent
        self._due = now  # the time of the next connection, or of the next check of the name
        self._retire_at = now + self._retire_delay(1)

    def receive(self, request: Work) -> None:
        """Keep a request until it is answered."""
        self._pending.append(Pending(request))
        self._pending.sort(key=lambda pending: ORDER.index(type(pending.request)))

    def next_action(self, now: float) -> Action | None:
        """Return the next action, which then counts as done; None if nothing is due."""
        match self.state:
            case State.DOWN if now >= self._due:
                self._enter(State.CONNECTING, now)
                return Connect()
            case State.CONNECTING if now >= self._since + CONNECT_TIMEOUT:
                return Disconnect()  # `lost` follows
            case State.FENCED if now >= self._due:
                self._enter(State.REGISTERING, now, self.detail)
                return self._await(Greet(), now)
            case State.REGISTERING if not self._is_awaiting:
                return self._await(Greet(), now)
            case State.REGISTERING | State.ASKING if self._is_awaiting and now >= self._since + REPLY_TIMEOUT:
                self._was_registering = self.state == State.REGISTERING
                self._enter(State.STALLED, now, f"no reply for {REPLY_TIMEOUT:.0f} s")
            case State.IDLE:
                return self._next_transaction(now)
        return None

    def deadline(self) -> float | None:
        """Return the time of the next action without an event before it; None if there is none."""
        match self.state:
            case State.DOWN | State.FENCED:
                return self._due
            case State.CONNECTING:
                return self._since + CONNECT_TIMEOUT
            case State.REGISTERING | State.ASKING:
                return self._since + REPLY_TIMEOUT if self._is_awaiting else self._since
            case State.IDLE:
                return min([self._retire_at, *(pending.not_before for pending in self._pending)])
        return None

    def connected(self, now: float) -> None:
        """Note that the connection is complete."""
        self._enter(State.REGISTERING, now)

    def registered(self, now: float, *, is_over: bool) -> None:
        """Note the answer to a transaction of the registration; `is_over`: this node has the name."""
        self._is_awaiting = False
        if is_over:
            self._failures = 0
        self._enter(State.IDLE if is_over else State.REGISTERING, now)

    def fenced(self, now: float, who: str) -> None:
        """Note that another machine has the name."""
        self._is_awaiting = False
        self._enter(State.FENCED, now, who)
        self._due = now + NAME_INTERVAL

    def answered(self, now: float) -> None:
        """Note that the transaction sent has answered its request."""
        if self._sent:
            self._pending.remove(self._sent)
        self._end(State.IDLE, now)

    def answered_beats(self) -> list[int]:
        """Return the numbers of all pending heartbeats, which then count as answered."""
        beats = [pending for pending in self._pending if isinstance(pending.request, Beat)]
        self._pending = [pending for pending in self._pending if pending not in beats]
        return [pending.request.number for pending in beats if isinstance(pending.request, Beat)]

    def unanswered(self, now: float, reason: str, *, at_once: bool = False) -> None:
        """Note a transaction without an answer: its request is sent again, `at_once` or after others."""
        if self._sent is None:
            self._retire_at = now + RETIRE_INTERVAL
        elif not at_once:
            self._sent.not_before = now + self._delay(self._sent.tries - 1)
        self._end(State.IDLE, now, reason)

    def unnamed(self, now: float, reason: str = "") -> None:
        """Register again: a heartbeat did not find its row, or the server has changed."""
        self._end(State.REGISTERING, now, reason)

    def retired(self, now: float, nodes: int, *, is_over: bool) -> None:
        """Note that some old rows are deleted; `is_over`: no others are left."""
        self._retire_at = now + (self._retire_delay(nodes) if is_over else RETIRE_AGAIN)
        self._end(State.IDLE, now)

    def lost(self, now: float, reason: str, *, has_other_host: bool = False) -> None:
        """Note that the connection is lost or refused. `has_other_host`: the next host is tried at once."""
        self._end(State.DOWN, now, reason)
        if has_other_host:
            self._due = now
            return
        self._due = now + self._delay(self._failures)
        self._failures += 1

    @property
    def is_registering(self) -> bool:
        """True if a transaction that was sent belongs to the registration."""
        return self.state == State.REGISTERING or (self.state == State.STALLED and self._was_registering)

    def status(self) -> Status:
        return Status(self.state, self.detail)

    def _next_transaction(self, now: float) -> Action | None:
        for pending in self._pending:
            if pending.not_before <= now:
                pending.tries += 1
                self._sent = pending
                self._enter(State.ASKING, now, self.detail)
                return self._await(Send(pending.request, pending.tries > 1), now)
        if now >= self._retire_at:
            self._enter(State.ASKING, now, self.detail)
            return self._await(Retire(), now)
        return None

    def _await(self, action: Action, now: float) -> Action:
        self._is_awaiting = True
        self._since = now
        return action

    def _end(self, state: State, now: float, detail: str = "") -> None:
        self._sent = None
        self._is_awaiting = False
        self._enter(state, now, detail)

    def _enter(self, state: State, now: float, detail: str = "") -> None:
        if state not in {*NEXT[self.state], self.state}:
            raise RuntimeError(f"{self.state} does not lead to {state}")
        self.state, self.detail, self._since = state, detail, now

    def _delay(self, failures: int) -> float:
        """Return seconds that double with each failure, with jitter."""
        return min(LONGEST_DELAY, SHORTEST_DELAY * 2.0 ** min(failures, 10)) * (0.5 + self._random() / 2)

    def _retire_delay(self, nodes: int) -> float:
        """Return the seconds until this node deletes old rows again: longer with more nodes, because each
        deletes some.
        """
        return RETIRE_INTERVAL * max(1.0, nodes / 5) * (0.5 + self._random())
