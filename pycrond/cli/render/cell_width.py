"""The width of texts in columns of a terminal: measuring, cutting and padding."""

from collections.abc import Sequence
from functools import lru_cache
from unicodedata import category, east_asian_width

EMOJI_SIGN = "\ufe0f"  # after a narrow character and its marks: shown as a picture, two columns wide


def width(text: str) -> int:
    """Return the number of columns of a text; the larger number where terminals differ."""
    if text.isascii():
        return len(text)
    total, is_narrow = 0, False
    for char in text:
        if char == EMOJI_SIGN:
            columns, is_narrow = int(is_narrow), False
        elif columns := _columns(char):
            is_narrow = columns == 1 and char != " "  # a space does not become a picture
        total += columns
    return total


@lru_cache(4096)
def _columns(char: str) -> int:
    if category(char) in {"Mn", "Me"}:  # a mark on the character before it
        return 0
    return 2 if east_asian_width(char) in {"W", "F"} else 1


def cut(text: str, size: int, ellipsis: str = "…") -> str:
    """Return the beginning of a text, at most `size` columns, with an ellipsis if something is left out."""
    if width(text) <= size:
        return text
    room = size - len(ellipsis)
    if room < 0:
        return ellipsis[: max(size, 0)]
    if text.isascii():
        return text[:room] + ellipsis
    kept, total = [], 0
    for char in text:
        total += width(char) + (char == EMOJI_SIGN)
        if total > room:
            break
        kept.append(char)
    return "".join(kept) + ellipsis


def widest(texts: Sequence[str]) -> int:
    """Return the number of columns of the widest text."""
    return max(map(len if "".join(texts).isascii() else width, texts), default=0)


def fit_all(texts: Sequence[str], size: int, *, right: bool = False) -> list[str]:
    """Fit each text; the common case, short ASCII texts, is fast, as long tables spend their time here."""
    if widest(texts) > size or not "".join(texts).isascii():
        return [fit(text, size, right=right) for text in texts]
    return [text.rjust(size) if right else text.ljust(size) for text in texts]


def fit(text: str, size: int, *, right: bool = False, ellipsis: str = "…") -> str:
    """Cut or pad a text to exactly `size` columns."""
    text = cut(text, size, ellipsis)
    space = " " * (size - width(text))
    return space + text if right else text + space
