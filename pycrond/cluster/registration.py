"""The first transactions of a connection: check the tables and the server, register the node's name. Pure."""

from typing import Any, NamedTuple

from pycrond.cluster import node_statements, schema
from pycrond.cluster.database import Committed
from pycrond.cluster.node_identity import Have, Identity, NameRow, Take, Wait
from pycrond.cluster.statements import Statement
from pycrond.errors import PycrondError
from pycrond.jobs.shared_identity import SharedIdentity


class Timeline(NamedTuple):
    """A server and the number of its timeline, which a promotion raises."""

    system: str = ""
    number: int = 0

    def __str__(self) -> str:
        return f"{self.system}/{self.number}"

    def require(self, other: "Timeline") -> None:
        """Refuse a server whose timeline is lower: it was the primary before a failover."""
        if self.system == other.system and other.number < self.number:
            raise PycrondError(
                f"the server is no longer the primary: its timeline is {other.number}, after {self.number}"
            )


def read_timeline(text: str) -> Timeline:
    """Return a timeline from its text; raises ValueError."""
    system, _, number = text.partition("/")
    return Timeline(system, int(number))


class Registration:
    """The transactions that register this node, one after the other."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._is_checked = False
        self._tokens: tuple[str, ...] | None = None  # of rows whose name this node may take
        self.system = ""
        self.cluster = SharedIdentity()
        self._clock: float | None = None
        self.blocked: Wait | None = None
        """The decision to wait for the node that has the name; None if there is none."""

    def statements(self) -> tuple[Statement, ...]:
        """Return the statements of the next transaction."""
        if not self._is_checked:
            return (Statement(schema.CHECK),)
        if self._tokens is None:
            own = (self._identity.name, self._identity.ledger)
            names = Statement(node_statements.NAMES, own)
            return (
                Statement(schema.META),
                Statement(node_statements.SERVER),
                names,
                Statement(node_statements.CLOCK),
            )
        return node_statements.take_name(self._identity, self._tokens, self._identity.new_token())

    def take_clock(self) -> float | None:
        """Return the server's time, if the last transaction has read it."""
        seconds, self._clock = self._clock, None
        return seconds

    def read(self, committed: Committed, now: float) -> bool:
        """Read the results; return whether this node has the name now. Raises PycrondError."""
        results = committed.results
        if not self._is_checked:
            schema.check_rights(*results[0][0])
            self._is_checked = True
            return False
        if self._tokens is None:
            return self._read_names(results, now)
        self._tokens = None
        if results[-1]:
            self._identity.name_taken()
            return True
        return False  # another node was faster: read the names again

    def _read_names(self, results: list[list[Any]], now: float) -> bool:
        """Check the tables, the server and the rows of the name; return whether this node has the name."""
        meta, server, names, clock = results
        version, oldest, *name_and_zone = meta[0]
        schema.check_version(version, oldest)
        self.cluster = SharedIdentity(*name_and_zone)
        self.system = server[0][1]
        self._clock = clock[0]
        decision = self._identity.judge([NameRow(*row) for row in names], now)
        self.blocked = decision if isinstance(decision, Wait) else None
        self._tokens = decision.tokens if isinstance(decision, Take) else None
        return isinstance(decision, Have)
