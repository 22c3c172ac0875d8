"""Whose a node's name is. Pure.

A row of `nodes` belongs to the agent whose `instance` it has and of whose tokens it has one: heartbeats form
a chain. A twin, which is a machine restored with its memory or with its state directory, breaks the chain of
the other, which then has no name.
"""

import json
from collections import deque
from typing import NamedTuple
from uuid import uuid4

SILENCE = 60.0  # seconds without a heartbeat, by the own clock, after which another may take a name
KNOWN_TOKENS = 64  # heartbeats are not flushed to disk: after a crash the server may have an earlier one


class NameRow(NamedTuple):
    """A row of `nodes` with this node's name, or with its ledger."""

    name: str
    ledger: str
    instance: str
    token: str
    machine: str


class Have(NamedTuple):
    """The name is this agent's already."""


class Take(NamedTuple):
    """Take the name, where the rows have these tokens."""

    tokens: tuple[str, ...]


class Wait(NamedTuple):
    """Another has the name."""

    who: str


class Identity:
    """The agent as a node, and what it has seen of others with its name."""

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
        self._since: dict[str, float] = {}  # tokens of others, and when each was first seen
        self._free: tuple[str, ...] = ()  # tokens of rows that may be taken
        self._replaced: set[str] = set()  # tokens of rows that were taken: a failover may bring them back

    def new_token(self) -> str:
        """Return a token to be sent. It is known from then on: its row may be written without an answer."""
        token = str(uuid4())
        self.tokens.append(token)
        return token

    def taken(self) -> None:
        """The name belongs to this agent now."""
        self._has_had_name = True
        self._since = {}
        self._replaced.update(self._free)

    def disconnected(self) -> None:
        """Forget how long others were silent: an outage of the server silences all."""
        self._since = {}

    def judge(self, rows: list[NameRow], now: float) -> Have | Take | Wait:
        """Decide whether the name may be taken. A start with the same ledger takes it at once; another
        ledger, or an agent that a twin has ousted, waits until a heartbeat has been missing for SILENCE.
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
