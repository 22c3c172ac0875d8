"""Names for characters that look like ASCII ones, and a test for files in UTF-16. Pure."""

import re

_NAMES = {
    "\u00a0": "a no-break space",
    "\u00ad": "a soft hyphen",
    "\u2007": "a figure space",
    "\u2009": "a thin space",
    "\u200b": "a zero-width space",
    "\u2010": "a hyphen that is not -",
    "\u2011": "a no-break hyphen",
    "\u2013": "an en dash",
    "\u2014": "an em dash",
    "\u2018": "a typographic quote",
    "\u2019": "a typographic quote",
    "\u201c": "a typographic quote",
    "\u201d": "a typographic quote",
    "\u202f": "a narrow no-break space",
    "\u2212": "a minus sign that is not -",
    "\u2217": "an asterisk that is not *",
    "\u3000": "an ideographic space",
    "\ufeff": "a byte order mark",
    "\uff0a": "an asterisk that is not *",
}
LOOK_ALIKE = re.compile(f"[{''.join(_NAMES)}]")
"""A character that a word processor or a web page writes instead of an ASCII one."""
SAMPLED_BYTES, MIN_SAMPLE = 200, 16  # bytes


def named(char: str) -> str:
    """Return `a no-break space (U+00A0)`."""
    return f"{_NAMES[char]} (U+{ord(char):04X})"


def remark(text: str) -> str:
    """Return a remark on the first look-alike in a text, to be added to a message; empty if it has none."""
    match = None if text.isascii() else LOOK_ALIKE.search(text)
    return f"; there is {named(match[0])} in it" if match else ""


def is_utf16(data: bytes) -> bool:
    """Return whether a file is UTF-16: 90 % of byte pairs have NUL in the same place; with a BOM, 20 %."""
    sample = data[: min(SAMPLED_BYTES, len(data) & ~1)]
    nul = sorted((sample[::2].count(0), sample[1::2].count(0)))
    share = 0.2 if data.startswith((b"\xff\xfe", b"\xfe\xff")) else 0.9
    return len(sample) >= MIN_SAMPLE and not nul[0] and nul[1] >= share * len(sample) / 2
