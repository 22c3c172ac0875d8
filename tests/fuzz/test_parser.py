"""No input makes the parser raise, and each line of each input is an entry, a setting, a comment or an error."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.fuzz.account import examine
from tests.fuzz.seeds import SEEDS, WORDS

TEXT = st.lists(
    st.sampled_from(WORDS) | st.text(max_size=8) | st.sampled_from([" ", "\n", "\t"]), max_size=60
).map("".join)


@pytest.mark.parametrize("seed", range(len(SEEDS)))
def test_seeds(seed: int) -> None:
    examine(SEEDS[seed].encode("utf-8", "surrogateescape"))


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.binary(max_size=400))
@example(b"")
@example(b"\xff\xfe* * * * * x\n")
def test_any_bytes(data: bytes) -> None:
    examine(data)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(TEXT)
def test_any_words_of_the_language(text: str) -> None:
    examine(text.encode("utf-8", "surrogatepass"))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.sampled_from(SEEDS), st.integers(0, 400), st.binary(max_size=4), st.integers(0, 3))
def test_seeds_with_a_hole(seed: str, place: int, put: bytes, cut: int) -> None:
    data = seed.encode("utf-8", "surrogateescape")
    examine(data[:place] + put + data[place + cut :])
