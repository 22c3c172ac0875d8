"""How many columns of a terminal a text takes, and how it is cut and filled up to a number of them."""

from collections.abc import Sequence
from functools import lru_cache
from unicodedata import category, east_asian_width

AS_PICTURE = "\ufe0f"  # after a character that is one column wide, and its marks: shown in two


def width(text: str) -> int:
    """At least the columns it takes: where terminals do not agree, the more.

    Not by `rich` or `wcwidth`, which cost more to load than a whole table.
    """
    if text.isascii():
        return len(text)
    whole, narrow = 0, False
    for char in text:
        if char == AS_PICTURE:
            columns, narrow = int(narrow), False
        elif columns := _columns(char):
            # A space is no picture: what begins with the sign is as wide beside a space as alone.
            narrow = columns == 1 and char != " "
        whole += columns
    return whole


@lru_cache(4096)
def _columns(char: str) -> int:
    if category(char) in {"Mn", "Me"}:  # goes onto the one before
        return 0
    return 2 if east_asian_width(char) in {"W", "F"} else 1


def cut(text: str, size: int) -> str:
    """The beginning, of at most `size` columns; one that is not the whole ends in an ellipsis."""
    if width(text) <= size:
        return text
    if text.isascii():
        return text[: size - 1] + "…" if size > 0 else ""
    kept, whole = [], 0
    for char in text:
        whole += width(char) + (char == AS_PICTURE)
        if whole >= size:
            break
        kept.append(char)
    return "".join(kept) + "…" if size > 0 else ""


def widest(texts: Sequence[str]) -> int:
    """The columns that the widest of them takes."""
    return max(map(len if "".join(texts).isascii() else width, texts), default=0)


def fit_all(texts: Sequence[str], size: int, *, right: bool = False) -> list[str]:
    """Each of them; all that a long table costs is this, so the plain case has a way of its own."""
    if widest(texts) > size or not "".join(texts).isascii():
        return [fit(text, size, right=right) for text in texts]
    return [text.rjust(size) if right else text.ljust(size) for text in texts]


def fit(text: str, size: int, *, right: bool = False) -> str:
    """Exactly `size` columns: cut, or with spaces after it, or before it."""
    text = cut(text, size)
    if text.isascii():
        return text.rjust(size) if right else text.ljust(size)
    space = " " * (size - width(text))
    return space + text if right else text + space
