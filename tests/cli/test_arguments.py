"""The types of arguments: the values that are accepted, and the messages for others."""

import argparse
import sys

import pytest

from pycrond.cli.arguments import MAX_FIRES, fire_count, positive_count


@pytest.mark.parametrize(("text", "number"), [("1", 1), (str(10**30), sys.maxsize)])
def test_a_count_is_at_most_what_a_machine_can_count(text: str, number: int) -> None:
    assert positive_count(text) == number


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "1e3", "", "x", "9" * 5000])
def test_a_count_is_a_whole_number(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is not a whole number from 1"):
        positive_count(text)


@pytest.mark.parametrize("text", ["0", str(MAX_FIRES + 1), str(10**30)])
def test_fire_times_are_computed_in_memory(text: str) -> None:
    with pytest.raises(
        argparse.ArgumentTypeError, match=f"is not a whole number from 1 to {MAX_FIRES}|from 1"
    ):
        fire_count(text)
