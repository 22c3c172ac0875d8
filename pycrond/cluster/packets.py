"""The form of the messages between daemon and agent: JSON, the name of the class, then its fields. Pure."""

import json
from typing import Any, get_args

from pycrond.cluster.protocol import (
    Answer,
    Ask,
    Claim,
    Close,
    Confirm,
    LastFires,
    LastSuccess,
    Message,
    NodeRow,
    Nodes,
    Report,
    Row,
    TakeOver,
    Tell,
)

_CLASSES = {kind.__name__: kind for kind in get_args(Message)}


def encode(message: Message) -> bytes:
    """Return a message as a packet."""
    text = json.dumps([type(message).__name__, *message], separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8", "surrogatepass")


def decode(packet: bytes) -> Message:
    """Return the message of a packet. Raises ValueError for anything else."""
    try:
        name, *fields = json.loads(packet)
        return _with_rows(_CLASSES[name](*fields))
    except (KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"not a message: {packet[:100]!r}") from error


def _claim(fields: Any) -> Claim:
    claim = Claim(*fields)
    return claim._replace(locks=tuple(claim.locks))


def _node(fields: Any) -> NodeRow:
    node = NodeRow(*fields)
    return node._replace(labels=tuple(node.labels or ()))


def _taken(pair: Any) -> tuple[Claim, str]:
    claim, run = pair
    return _claim(claim), run


_ROWS: dict[type, tuple[str, Any]] = {
    Ask: ("claims", _claim),
    TakeOver: ("fires", _taken),
    Confirm: ("runs", lambda fields: Report(*fields)),
    Close: ("rows", lambda fields: Report(*fields)),
    Tell: ("rows", lambda fields: Report(*fields)),
    LastFires: ("jobs", str),
    LastSuccess: ("jobs", tuple),
    Answer: ("rows", lambda fields: Row(*fields)),
    Nodes: ("nodes", _node),
}
"""The field of each message that has rows, and the function that reads a row from its JSON list."""


def _with_rows(message: Any) -> Message:
    """Return the message with rows in place of lists."""
    if type(message) in _ROWS:
        name, read = _ROWS[type(message)]
        message = message._replace(**{name: tuple(map(read, getattr(message, name)))})
    read_message: Message = message
    return read_message
