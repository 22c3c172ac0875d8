"""Schedules as text and back: the result is the same object."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycrond.crontab.expression import parse_schedule
from pycrond.errors import PycrondError
from pycrond.ledger.codec import decode_schedule, encode_schedule
from tests.scheduler.test_agenda import EXPRESSIONS


@pytest.mark.parametrize(
    "text",
    [
        *EXPRESSIONS,
        "@daily",
        "@every 90m",
        "@every 1m",
        "0 0 L * *",
        "0 0 LW 2 *",
        "0 0 L-3,15W * *",
        "0 0 * * 5L,1#2",
        "0 0 13 * 5",
        "0 0 13 * */2",
        "0 0 30 2 *",
        "*/5 22-2 * * *",
        "0 0 29 2 mon",
    ],
)
def test_a_schedule_is_restored(text: str) -> None:
    schedule = parse_schedule(text)
    assert decode_schedule(encode_schedule(schedule)) is schedule


def lists(first: int, last: int) -> st.SearchStrategy[str]:
    numbers = st.lists(st.integers(first, last), min_size=1, max_size=5)
    return numbers.map(lambda values: ",".join(map(str, values)))


@given(st.tuples(lists(0, 59), lists(0, 23), lists(1, 31), lists(1, 12), lists(0, 7)))
def test_any_schedule_is_restored(fields: tuple[str, ...]) -> None:
    schedule = parse_schedule(" ".join(fields))
    assert decode_schedule(encode_schedule(schedule)) is schedule


def test_different_schedules_have_different_texts() -> None:
    texts = {encode_schedule(parse_schedule(text)) for text in EXPRESSIONS}
    assert len(texts) == len(EXPRESSIONS)


def test_wildcard_and_fixed_schedules_differ() -> None:
    assert encode_schedule(parse_schedule("* * * * *")) != encode_schedule(parse_schedule("0-59 0-23 * * *"))


INVALID = (
    *("", "1 2 3", "x " * 10, "1 1 1 1 1 and fixed zero - -", "1 1 2 2 80 and fixed 0 - -"),
    *("1 1 1 2 1 and fixed 0 - -", "1 1 2 2 1 and fixed -5 - -", "-1 1 2 2 1 and fixed 0 - -"),
)


@pytest.mark.parametrize("text", INVALID)
def test_invalid_texts(text: str) -> None:
    with pytest.raises(PycrondError, match="cannot be read"):
        decode_schedule(text)
