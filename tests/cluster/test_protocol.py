"""Messages as packets and back; invalid packets."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pycrond.cluster.packets import decode, encode
from pycrond.cluster.protocol import (
    MAX_FIRES,
    MAX_MESSAGE,
    Abandoned,
    Answer,
    Ask,
    Beat,
    Bury,
    Claim,
    Close,
    Confirm,
    LastFires,
    LastSuccess,
    Message,
    NodeRow,
    Nodes,
    Open,
    Ping,
    Registered,
    Report,
    Row,
    Status,
    TakeOver,
    Tell,
)

TEXT = st.text(st.characters(), max_size=8)  # lone surrogates too: names of users are bytes
NUMBER = st.integers(0, 1 << 40)
TIME = st.floats(0, 1e11)
MAYBE_TIME = st.none() | TIME


def tuples_of(rows: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(rows, max_size=3).map(tuple)


TEXTS = tuples_of(TEXT)
CLAIM = st.builds(Claim, TEXT, NUMBER, NUMBER, TEXT, TIME, TIME, st.booleans(), TEXTS, st.booleans())
REPORT = st.builds(
    Report,
    *(TEXT, NUMBER, NUMBER, TEXT, TIME, TEXT, TEXT, MAYBE_TIME, MAYBE_TIME),
    *(st.none() | NUMBER, NUMBER, NUMBER),
)
ROW = st.builds(Row, TEXT, NUMBER, NUMBER, TEXT, TEXT, TEXT, TEXT, st.booleans(), TIME, MAYBE_TIME, NUMBER)
NODE = st.builds(NodeRow, TEXT, TEXT, TEXT, st.booleans(), TEXTS, TEXT, st.none() | NUMBER, TEXT)
MESSAGES: dict[type[Message], st.SearchStrategy[Message]] = {
    Ask: st.builds(Ask, NUMBER, TIME, tuples_of(CLAIM)),
    Confirm: st.builds(Confirm, NUMBER, tuples_of(REPORT)),
    TakeOver: st.builds(TakeOver, NUMBER, TEXT, TEXT, tuples_of(st.tuples(CLAIM, TEXT))),
    Abandoned: st.builds(Abandoned, NUMBER, TEXT, st.booleans()),
    Bury: st.builds(Bury, NUMBER, TEXT, TEXT, st.booleans()),
    Beat: st.builds(Beat, NUMBER, TEXT),
    Close: st.builds(Close, NUMBER, tuples_of(REPORT)),
    Tell: st.builds(Tell, NUMBER, tuples_of(REPORT)),
    Open: st.builds(Open, NUMBER),
    LastFires: st.builds(LastFires, NUMBER, TEXTS, TIME, TIME),
    LastSuccess: st.builds(LastSuccess, NUMBER, tuples_of(st.tuples(TEXT, TIME))),
    Ping: st.builds(Ping),
    Answer: st.builds(Answer, NUMBER, tuples_of(ROW)),
    Nodes: st.builds(Nodes, NUMBER, NUMBER, NUMBER, tuples_of(NODE)),
    Registered: st.builds(Registered, NUMBER, TEXT, TEXT, TIME),
    Status: st.builds(Status, TEXT, TEXT),
}


def test_each_kind_of_message_is_tried() -> None:
    from pycrond.cluster import packets

    assert {kind.__name__ for kind in MESSAGES} == set(packets._CLASSES)


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.__name__)
def test_a_message_is_restored(kind: type[Message]) -> None:
    @settings(max_examples=25)
    @given(MESSAGES[kind])
    def is_restored(message: Message) -> None:
        restored = decode(encode(message))
        assert restored == message
        assert type(restored) is kind
        assert types_of(restored) == types_of(message)

    is_restored()


def types_of(value: object) -> object:
    """Return the types of a value and its parts: a NamedTuple is equal to a tuple."""
    return (type(value), *map(types_of, value)) if isinstance(value, tuple) else type(value)


@pytest.mark.parametrize(
    "packet",
    [
        *(b"", b"{}", b"5", b"[]", b"null", b'"Ping"', b"\xff", b"[" * 100_000, b'["Ping"', b'["Message"]'),
        *(
            b'[["Ping"]]',
            b'["Ping",1]',
            b'["Ask",1]',
            b'["Ask",1,0,5]',
            b'["Ask",1,0,[5]]',
            b'["Ask",1,0,[[1]]]',
        ),
        *(b'["Answer",1,[["job"]]]', b'["TakeOver",1,"a","b",[[1,2,3]]]', b'["Nodes",1,1,0,[[]]]'),
        b'["Ask",1,0,[["j",1,0,"r",1.0,1.0,false,5]]]',
    ],
)
def test_anything_else_is_refused(packet: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode(packet)


@given(
    st.binary(max_size=60) | st.recursive(st.none() | TEXT | NUMBER, st.lists).map(json.dumps).map(str.encode)
)
def test_garbage_is_refused_or_a_message(packet: bytes) -> None:
    try:
        message = decode(packet)
    except ValueError:
        return
    assert isinstance(message, Message)


@pytest.mark.parametrize("letter", ["a", "é", "語", "\U00020000"])
def test_the_largest_requests_are_packets(letter: str) -> None:
    """The longest names of a user and of a job with its locks, in full batches."""
    job, run = f"{'u' * 32}/{letter * 100}", "0" * 36
    claim = Claim(
        job, 1 << 30, 1, run, 1e10 + 1 / 3, 1e6 + 1 / 3, True, (f"overlap:{job}", f"lock:{job}"), True
    )
    number = 1 << 40
    report = Report(
        job, 1 << 30, 1, run, 1e10 + 1 / 3, "timed-out", "status-unknown", *(1e10 + 1 / 3,) * 2, 255, 1 << 40
    )
    row = Row(job, 1 << 30, 1, run, "n" * 64, "timed-out", "status-unknown", True, 1e10 + 1 / 3)
    for message in (
        Ask(number, 0.1, (claim,) * MAX_FIRES),
        TakeOver(number, run, run, ((claim, run),) * MAX_FIRES),
        Tell(number, (report,) * MAX_FIRES),
        Answer(number, (row,) * MAX_FIRES),
    ):
        assert len(encode(message)) < MAX_MESSAGE
