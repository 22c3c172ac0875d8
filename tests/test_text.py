"""Durations: each has one text, with at most two units, and loses only its rounded part."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycrond.text import duration, quoted

SIZES = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
SECONDS = st.floats(0, 1e9) | st.integers(0, 200_000).map(float)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, ""),
        (0, "0 s"),
        (0.0004, "0 s"),
        (0.85, "850 ms"),
        (0.9996, "1 s"),
        (2.34, "2.3 s"),
        (2.0, "2 s"),
        (9.96, "10 s"),
        (36.2, "36 s"),
        (59.6, "1 m"),
        (90, "1 m 30 s"),
        (2700, "45 m"),
        (66 * 60, "1 h 6 m"),
        (7199.7, "2 h"),
        (86_390, "1 d"),
        (42 * 3600, "1 d 18 h"),
        (4000 * 86_400, "4000 d"),
        (-7200, "-2 h"),
        (-0.0001, "0 s"),
    ],
)
def test_durations(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def parts(text: str) -> list[tuple[float, float]]:
    """Return each number of a duration and the size of its unit in seconds."""
    words = text.split(" ")
    return [(float(number), SIZES[unit]) for number, unit in zip(words[::2], words[1::2], strict=True)]


@given(SECONDS)
def test_a_duration_has_at_most_two_units_that_follow_each_other(seconds: float) -> None:
    numbers, sizes = parts(duration(seconds)), list(SIZES.values())
    assert 1 <= len(numbers) <= 2
    for (_, larger), (number, size) in pairwise(numbers):
        assert number > 0
        assert sizes.index(larger) == sizes.index(size) + 1
    for number, size in numbers:
        assert size == sizes[-1] or number * size < sizes[sizes.index(size) + 1]


@given(SECONDS, SECONDS)
def test_a_duration_can_be_read_back_but_for_its_rounding(first: float, second: float) -> None:
    durations = sorted((first, second))
    read = [sum(number * size for number, size in parts(duration(seconds))) for seconds in durations]
    assert read[0] <= read[1]
    for seconds, read_seconds in zip(durations, read, strict=True):
        assert abs(read_seconds - seconds) <= max(0.0005, min(1800, seconds * 0.05)) + 1e-6


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("a'b", '"a\'b"'),
        ("\udca0", r"'\xa0'"),
        (r"\udca0", r"'\\udca0'"),  # a text, not a byte
        ("\\\udcff", r"'\\\xff'"),
        ("\u00a0\n", r"'\xa0\n'"),
        ("x" * 41, f"'{'x' * 37}...'"),
    ],
)
def test_quoted(raw: str, expected: str) -> None:
    assert quoted(raw) == expected
