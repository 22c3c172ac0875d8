"""The table of queries: it has the names and parameters of methods of Records."""

import inspect

import pytest

from pycrond.control.records import QUERIES, Records, optional
from pycrond.control.requests import list_of, number, seconds, text
from pycrond.errors import PycrondError
from pycrond.ledger.shared_reader import SharedReader


@pytest.mark.parametrize("name", QUERIES)
def test_a_query_is_a_method_with_these_parameters(name: str) -> None:
    _, *parameters = inspect.signature(getattr(Records, name)).parameters
    assert parameters == [*QUERIES[name]]


def test_every_shared_method_is_in_the_table() -> None:
    methods = {name for name in (*vars(SharedReader), *vars(Records)) if not name.startswith("_")}
    assert methods - QUERIES.keys() == {
        "close",
        "interrupt_when",
        "is_running",
        "kept",
        "processes",
        "retry_for",
    }


@pytest.mark.parametrize("value", [None, 1, "x" * 4097, ["x"]])
def test_not_a_text(value: object) -> None:
    with pytest.raises(PycrondError, match=r"^'a' must be a text of at most 4096 characters$"):
        text({"a": value}, "a")


@pytest.mark.parametrize("value", [None, True, 1.0, "1", 0, 4])
def test_not_a_number(value: object) -> None:
    with pytest.raises(PycrondError, match=r"^'a' must be a whole number from 1 to 3$"):
        number({"a": value}, "a", 1, 3)


@pytest.mark.parametrize("value", [None, True, "1", 10**400, -1e12, float("inf"), float("nan")])
def test_not_a_time(value: object) -> None:
    with pytest.raises(PycrondError, match=r"^'a' must be a time in seconds$"):
        seconds({"a": value}, "a")


@pytest.mark.parametrize("value", [None, "x", [], ["x"] * 4, {"x": 1}])
def test_not_a_list(value: object) -> None:
    with pytest.raises(PycrondError, match=r"^'a' must be a list of 1 to 3 values$"):
        list_of({"a": value}, "a", text, 3)


def test_what_passes() -> None:
    request = {"text": "\ud800", "number": 3, "time": 5, "list": ["a", "b"], "none": None}
    assert text(request, "text") == "\\ud800"
    assert text(request, "absent", "default") == "default"
    assert number(request, "number", 1, 3) == 3
    assert seconds(request, "time") == 5.0
    assert list_of(request, "list", text, 2) == ["a", "b"]
    assert optional(seconds)(request, "none") is optional(seconds)(request, "absent") is None
    assert optional(seconds)(request, "time") == 5.0
