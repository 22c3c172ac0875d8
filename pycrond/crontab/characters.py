"""Characters that look like others, by their names, and files that are not UTF-8. Pure."""

import re

_NAMES = {
    "\u00a0": "a no-break space",
    "\u00ad": "a soft hyphen",
    "\u2007": "a figure space",
    "\u2009": "a thin space",
    "\u200b": "a zero-width space",
    "\u2010": "a hyphen that is no -",
    "\u2011": "a no-break hyphen",
    "\u2013": "an en dash",
    "\u2014": "an em dash",
    "\u2018": "a typographic quote",
    "\u2019": "a typographic quote",
    "\u201c": "a typographic quote",
    "\u201d": "a typographic quote",
    "\u202f": "a narrow no-break space",
    "\u2212": "a minus sign that is no -",
    "\u2217": "an asterisk that is no *",
    "\u3000": "an ideographic space",
    "\ufeff": "a byte order mark",
    "\uff0a": "an asterisk that is no *",
}
LOOK_ALIKE = re.compile(f"[{''.join(_NAMES)}]")
"""A character that a word processor or a web page puts in the place of an ASCII one."""
SAMPLED_BYTES, MIN_SAMPLE = 200, 16


def named(char: str) -> str:
    """Return `a no-break space (U+00A0)`."""
    return f"{_NAMES[char]} (U+{ord(char):04X})"


def remark(text: str) -> str:
    """Return a remark on the first such character of a text, to be appended to a message; else nothing."""
    found = None if text.isascii() else LOOK_ALIKE.search(text)
    return f"; there is {named(found[0])} in it" if found else ""


def is_utf16(data: bytes) -> bool:
    """Return whether a file is UTF-16, as every second byte is NUL; with a byte order mark, many are."""
    sample = data[: min(SAMPLED_BYTES, len(data) & ~1)]
    nul = sorted((sample[::2].count(0), sample[1::2].count(0)))
    share = 0.2 if data.startswith((b"\xff\xfe", b"\xfe\xff")) else 0.9
    return len(sample) >= MIN_SAMPLE and not nul[0] and nul[1] >= share * len(sample) / 2
