"""The owner of a node's name. Pure.

A row of `nodes` belongs to the agent with its `instance` that has sent its token: heartbeats form a chain. A
twin, which is a machine restored with its memory or with its state directory, breaks the chain of the other
machine, which then has no name.
"""

import json
from collections import deque
from typing import NamedTuple
from uuid import uuid4

SILENCE = (
    60.0  # seconds without a heartbeat, by this machine's clock, after which another agent may take a name
)
KNOWN_TOKENS = 64  # heartbeats are not flushed to disk: after a crash the server may have an earlier one


class NameRow(NamedTuple):
    """A row of `nodes` with this node's name, or with its ledger."""

    name: str
    ledger: str
    instance: str
    token: str
    machine: str


class Have(NamedTuple):
    """The name already belongs to this agent."""


class Take(NamedTuple):
    """Take the name if the rows still have these tokens."""

    tokens: tuple[str, ...]


class Wait(NamedTuple):
    """Another agent has the name; `who` describes it."""

    who: str


class Identity:
    """The agent as a node, and its observations of others with the same name."""

    def __init__(self, name: str, ledger: str, machine: str, labels: tuple[str, ...], version: str) -> None:
        self.name = name
        self.ledger = ledger
        self.machine = machine
        self.labels = json.dumps(labels)
        self.version = version
        self.instance = str(uuid4())
        self.tokens: deque[str] = deque(maxlen=KNOWN_TOKENS)
        """The tokens that this agent has sent."""
        self._has_had_name = False
        self._since: dict[
            str, float
        ] = {}  # other agents' tokens, each with the time at which it was first seen
        self._free: tuple[str, ...] = ()  # tokens of rows that may be taken
        self._replaced: set[str] = (
            set()
        )  # tokens of rows that this agent replaced: a failover may restore them

    def new_token(self) -> str:
        """Return a token to send. It is known at once, because its row may be written without an answer."""
        token = str(uuid4())
        self.tokens.append(token)
        return token

    def name_taken(self) -> None:
        """Note that this agent has the name now."""
        self._has_had_name = True
        self._since = {}
        self._replaced.update(self._free)

    def disconnected(self) -> None:
        """Forget the silence of others: in an outage of the server all are silent."""
        self._since = {}

    def judge(self, rows: list[NameRow], now: float) -> Have | Take | Wait:
        """Decide whether the name may be taken. A new start with the same ledger takes it at once; another
        ledger, or an agent that lost it to a twin, waits until there was no heartbeat for SILENCE.
        """
        others = [row for row in rows if not self._is_free(row)]
        self._since = {row.token: self._since.get(row.token, now) for row in others}
        busy = [row for row in others if now - self._since[row.token] < SILENCE]
        if busy:
            return Wait(self._who(busy[0]))
        self._free = tuple(row.token for row in rows)
        is_own = [(row.name, row.ledger, row.instance) for row in rows] == [self._key]
        return Have() if is_own else Take(self._free)

    @property
    def _key(self) -> tuple[str, str, str]:
        return self.name, self.ledger, self.instance

    def _is_free(self, row: NameRow) -> bool:
        if row.instance == self.instance:
            return row.token in self.tokens
        return row.token in self._replaced or (row.ledger == self.ledger and not self._has_had_name)

    def _who(self, row: NameRow) -> str:
        if row.ledger == self.ledger:
            return f"{row.machine} has a copy of this node's history and is node {row.name}"
        return f"another node {row.name} is alive, on {row.machine}"
