"""The checks of the parameters of requests."""

from collections.abc import Callable
from typing import Any, TypeVar

from pycrond.errors import PycrondError

MAX_TEXT = 4096  # characters of a text in a request
LATEST = 1e12  # Unix seconds
Value = TypeVar("Value")
Check = Callable[[dict[str, Any], str], Value]
"""Returns a parameter of a request by its name; raises PycrondError for a bad value."""


def text(request: dict[str, Any], name: str, default: str | None = None) -> str:
    """Return a text that can be stored."""
    value = request.get(name, default)
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        raise PycrondError(f"'{name}' must be a text of at most {MAX_TEXT} characters")
    return value.encode("utf-8", "backslashreplace").decode()


def number(request: dict[str, Any], name: str, first: int, last: int) -> int:
    """Return a whole number from `first` to `last`."""
    value = request.get(name)
    if type(value) is not int or not first <= value <= last:
        raise PycrondError(f"'{name}' must be a whole number from {first} to {last}")
    return value


def seconds(request: dict[str, Any], name: str) -> float:
    """Return a time in Unix seconds."""
    value: Any = request.get(name)
    if type(value) not in {int, float} or not abs(value) < LATEST:
        raise PycrondError(f"'{name}' must be a time in seconds")
    return float(value)


def list_of(
    request: dict[str, Any], name: str, check: Check[Value], longest: int, *, shortest: int = 1
) -> list[Value]:
    """Return a list of values that pass a check."""
    values = request.get(name)
    if not isinstance(values, list) or not shortest <= len(values) <= longest:
        raise PycrondError(f"'{name}' must be a list of {shortest} to {longest} values")
    return [check({name: value}, name) for value in values]
