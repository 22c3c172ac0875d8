"""The manual pages' own language, mdoc(7), as far as they use it: its parts, and plain text. Pure."""

import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_WORD = re.compile(r'"((?:[^"]|"")*)"|(\S+)')
_CLOSING = (".", ",", ":", ";", ")", "]", "?", "!")
_AROUND = {"Op": "[]", "Pq": "()", "Sq": "''", "Dq": '""', "Ql": "''"}
_OPENING, _ENDING = {"Po": "(", "Oo": "[", "Fl": "-"}, {"Pc": ")", "Oc": "]"}
_REFERENCE, _JOIN = "Xr", "Ns"
_PLAIN = {"Cm", "Ar", "Pa", "Li", "Ev", "Sx", "Dv", "Em", "Nm", "No", "Va", "Ic", "Sy"}
_SKIPPED = {"Sm", "Dd", "Dt", "Os", "Bk", "Ek", "Nd"}
_BREAKING = {"It", "Pp", "Bd", "Bl", "El", "Ed", "Dl", "Ss"}
NAME = "pycrond"  # what `.Nm` alone stands for


@dataclass(frozen=True, slots=True)
class Part:
    """A section, or an entry of a list: its head as plain text, and the lines of source up to its end."""

    section: str
    head: str
    lines: tuple[str, ...]
    is_command: bool = False
    """Its head begins with a word to be typed as it is."""


def parts(page: str) -> Iterator[Part]:
    """Every section and, after it, every entry of every list in it."""
    lines = page.splitlines()
    section = ""
    for number, line in enumerate(lines):
        if line.startswith((".Sh ", ".Ss ")):
            section = section if line.startswith(".Ss") else line[4:].strip('"')
            end = _end(lines, number + 1, (".Sh ", line[:4]))
            yield Part(section, line[4:].strip('"'), tuple(lines[number + 1 : end]))
        elif line.startswith(".It "):
            first = number + 1
            while lines[first].startswith(".It "):  # several heads that share what follows the last
                first += 1
            body = tuple(lines[first : _end(lines, first, (".It ",))])
            yield Part(section, flat(line[4:]), body, line.startswith(".It Cm "))


def _end(lines: Sequence[str], first: int, stops: tuple[str, ...]) -> int:
    """Where a part ends that begins before `first`: lists within it are its own."""
    depth = 0
    for number in range(first, len(lines)):
        line = lines[number]
        if depth == 0 and (line.startswith(stops) or line.startswith((".El", ".Sh "))):
            return number
        depth += line.startswith(".Bl") - line.startswith(".El")
    return len(lines)


def flat(words: str) -> str:
    """A line of macros as text."""
    found = [quoted.replace('""', '"') if quoted else bare for quoted, bare in _WORD.findall(words)]
    if found[:1] == ["Nm"] and (len(found) == 1 or found[1] in _CLOSING):
        found.insert(1, NAME)
    end = len(found)
    while end and found[end - 1] in _CLOSING:  # such words at the end stand outside of all brackets
        end -= 1
    return _Flat().read(found[:end]) + "".join(found[end:])


class _Flat:
    """Puts words together; knows whether a blank comes before the next one."""

    def __init__(self) -> None:
        self._text = ""
        self._close = ""
        self._joined = True

    def read(self, words: Sequence[str]) -> str:
        pending = iter(words)
        for word in pending:
            if word in _AROUND:
                self._add(_AROUND[word][0], after=True)
                self._close = _AROUND[word][1] + self._close
            elif word in _OPENING:
                self._add(_OPENING[word], after=True)
            elif word in _ENDING:
                self._joined = True
                self._add(_ENDING[word])
            elif word == _REFERENCE:
                self._add(f"{next(pending, '')}({next(pending, '')})")
            elif word == _JOIN:
                self._joined = True
            elif word not in _PLAIN:
                self._word(_unescaped(word))
        return self._text + self._close

    def _word(self, word: str) -> None:
        self._joined |= word in _CLOSING
        self._add(word, after=word in {"(", "["})

    def _add(self, text: str, *, after: bool = False) -> None:
        self._text += text if self._joined or not self._text else f" {text}"
        self._joined = after


def _unescaped(text: str) -> str:
    return text.replace(r"\&", "").replace(r"\e", "\\").replace(r"\-", "-").replace(r"\ ", " ")


def rendered(lines: Sequence[str], width: int, indent: str = "") -> Iterator[str]:
    """Source as lines of text."""
    text = _Rendering(width, indent)
    for line in lines:
        macro, _, rest = line[1:].partition(" ") if line.startswith(".") else ("", "", line)
        if text.is_literal and macro != "Ed":
            yield f"{text.pad()}    {_unescaped(line)}"
        elif macro in _BREAKING:
            yield from text.flushed()
            yield from text.broken(macro, rest)
        elif macro not in _SKIPPED:
            text.paragraph.append(flat(f"{macro} {rest}") if macro else _unescaped(rest))
    yield from text.flushed()


class _Rendering:
    """Where the text stands: how deep in lists, and in which paragraph."""

    def __init__(self, width: int, indent: str) -> None:
        self._width = width
        self._indent = indent
        self._depth = 0
        self.is_literal = False
        self.paragraph: list[str] = []

    def pad(self, depth: int | None = None) -> str:
        return self._indent + "    " * max(0, self._depth if depth is None else depth)

    def flushed(self) -> Iterator[str]:
        if self.paragraph:
            pad = self.pad()
            yield from textwrap.wrap(
                " ".join(self.paragraph), self._width, initial_indent=pad, subsequent_indent=pad
            )
            self.paragraph.clear()

    def broken(self, macro: str, rest: str) -> Iterator[str]:
        """What a macro that ends a paragraph says itself."""
        self.is_literal = macro == "Bd" and "-literal" in rest
        self._depth += (macro == "Bl") - (macro == "El")
        if macro == "Pp":
            yield ""
        elif macro == "Dl":
            yield f"{self.pad()}    {flat(rest)}"
        elif macro in {"It", "Ss"}:
            yield f"{self.pad(self._depth - (macro == 'It'))}{flat(rest)}"
