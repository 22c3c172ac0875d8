"""One field of a schedule: its terms between commas, what they name and what is wrong with them."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from pycrond.errors import Severity


@dataclass(frozen=True, slots=True)
class FieldFlaw:
    """Something wrong with a text, `offset` characters from its start."""

    offset: int
    severity: Severity
    code: str
    message: str


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """A row of the table of fields."""

    name: str
    first: int
    last: int
    draw_to: int
    """The last value that is drawn where no range is written, from the first on."""
    names: tuple[str, ...] = ()
    """What the numbers from `first` on are also called."""

    @property
    def allowed(self) -> str:
        names = f", {self.names[0]}-{self.names[-1]}" if self.names else ""
        return f"{self.first}-{self.last}{names}"


MINUTE = Field("minute", 0, 59, 59)
HOUR = Field("hour", 0, 23, 23)
DAY_OF_MONTH = Field("day-of-month", 1, 31, 31)
MONTH = Field(
    "month",
    1,
    12,
    12,
    ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"),
)
DAY_OF_WEEK = Field("day-of-week", 0, 7, 6, ("sun", "mon", "tue", "wed", "thu", "fri", "sat"))
FIELDS = (MINUTE, HOUR, DAY_OF_MONTH, MONTH, DAY_OF_WEEK)

IN_EVERY_MONTH = 28
"""`H` in day-of-month stays below the days that some months lack."""

LONGEST_BEFORE_END = 30

Pick = Callable[[int, str], int]
"""``pick(size, place)`` draws from 0 to size - 1, the same for the same place of the same entry."""


class ParsedField:
    """What the terms of one field add up to."""

    def __init__(self, field: Field, text: str, pick: Pick) -> None:
        self.values: set[int] = set()
        self.specials: set[str] = set()
        """Days that are no fixed numbers: ``L``, ``LW``, ``L-3``, ``15W``, ``5L``, ``1#2``."""
        self.flaws: list[FieldFlaw] = []
        self.draws = 0
        self._field = field
        self._pick = pick
        offset = 0
        for term in text.split(","):
            self._read(term, offset, text)
            offset += len(term) + 1

    def _read(self, term: str, offset: int, text: str) -> None:
        for only_in, pattern, read in _FORMS:
            found = pattern.fullmatch(term) if only_in in {None, self._field} else None
            if found:
                read(self, found, offset)
                return
        self._flaw(offset, f"{quoted(term or text)} ({hint(self._field, term)})")

    def star(self, found: re.Match[str], offset: int) -> None:
        self._add(self._field.first, self._field.last, self._step(found, offset))

    def span(self, found: re.Match[str], offset: int) -> None:
        """One value, or a range of them."""
        first = self._value(found, "first", offset)
        last = self._value(found, "last", offset) if found["last"] else first
        step = self._step(found, offset)
        if first is None or last is None:
            return
        if first > last:
            last = self._end_of_reversed(found, first, last, offset)
        self._add(first, last, step)

    def _end_of_reversed(self, found: re.Match[str], first: int, last: int, offset: int) -> int:
        """The last value of a range that ends before it begins: it names nothing, but 5-0 is read as 5-7."""
        text, name = quoted(found[0]), self._field.name
        if self._field is DAY_OF_WEEK and last == 0 and found["step"] is None:
            self._warn(offset, "ends-in-sunday", f"{text} is read as {first}-7; Debian reads nothing in it")
            return 7
        self._warn(offset, "reversed-range", f"{name} {text} ends before it begins and names nothing")
        return last

    def draw(self, found: re.Match[str], offset: int) -> None:
        """One value of a range, or every so many from a beginning that is drawn."""
        low, high = self._field.first, self._field.draw_to
        if found[0].startswith("H") and self._field is DAY_OF_MONTH:
            high = IN_EVERY_MONTH
        first = self._value(found, "first", offset) if found["first"] else low
        last = self._value(found, "last", offset) if found["last"] else max(high, first or low)
        step = self._step(found, offset)
        if first is None or last is None or not step:
            return
        if first > last:
            self._flaw(offset, f"{quoted(found[0])} (a value is drawn from LOW to HIGH)")
            return
        self.draws += 1
        size = last - first + 1 if found["step"] is None else min(step, last - first + 1)
        start = first + self._pick(size, f"{self._field.name} {self.draws}")
        self._add(start, start if found["step"] is None else last, step)

    def last_day(self, found: re.Match[str], offset: int) -> None:
        """The last day of the month, or so many days before it."""
        before = parse_number(found["before"] or "")
        if before > LONGEST_BEFORE_END:
            self._flaw(offset, f"{quoted(found[0])} (L-1 to L-{LONGEST_BEFORE_END})")
            return
        self.specials.add(f"L-{before}" if before else "L")

    def last_workday(self, _found: re.Match[str], _offset: int) -> None:
        self.specials.add("LW")

    def weekday(self, found: re.Match[str], offset: int) -> None:
        """The working day nearest to a day of the month, or a weekday by its place in the month."""
        number = self._value(found, "number", offset)
        if number is not None:
            number = number % 7 if self._field is DAY_OF_WEEK else number
            self.specials.add(f"{number}{found['rest'].upper()}")

    def _add(self, first: int, last: int, step: int) -> None:
        if step:
            self.values.update(range(first, last + 1, step))

    def _step(self, found: re.Match[str], offset: int) -> int:
        """1 where none is written, 0 where it is wrong."""
        if found["step"] is None:
            return 1
        step = parse_number(found["step"])
        if not step:
            self._flaw(offset + found.start("step"), f"step {quoted(found['step'])} (from 1)")
        return step

    def _value(self, found: re.Match[str], group: str, offset: int) -> int | None:
        text, names = found[group], self._field.names
        number = parse_number(text) if text.isdigit() else -1
        if text.lower() in names:
            number = names.index(text.lower()) + self._field.first
        if self._field.first <= number <= self._field.last:
            return number
        self._flaw(offset + found.start(group), f"{quoted(text)} ({hint(self._field, text)})")
        return None

    def _flaw(self, offset: int, message: str) -> None:
        name = self._field.name
        self.flaws.append(FieldFlaw(offset, "error", f"bad-{name}", f"bad {name} {message}"))

    def _warn(self, offset: int, code: str, message: str) -> None:
        self.flaws.append(FieldFlaw(offset, "warning", code, message))


_VALUE = "[0-9A-Za-z]+"
_STEP = "(?:/(?P<step>[0-9]+))?"
_FORMS: tuple[
    tuple[Field | None, re.Pattern[str], Callable[[ParsedField, re.Match[str], int], None]], ...
] = (
    (None, re.compile(r"\*" + _STEP), ParsedField.star),
    (None, re.compile(f"(?P<first>(?:{_VALUE})?)~(?P<last>(?:{_VALUE})?){_STEP}"), ParsedField.draw),
    (None, re.compile(rf"H(?:\((?P<first>{_VALUE})-(?P<last>{_VALUE})\))?{_STEP}"), ParsedField.draw),
    (DAY_OF_MONTH, re.compile("[Ll](?:-(?P<before>[0-9]+))?"), ParsedField.last_day),
    (DAY_OF_MONTH, re.compile("[Ll][Ww]"), ParsedField.last_workday),
    (DAY_OF_MONTH, re.compile("(?P<number>[0-9]+)(?P<rest>[Ww])"), ParsedField.weekday),
    (DAY_OF_WEEK, re.compile("(?P<number>[0-9]+|[A-Za-z]{3})(?P<rest>[Ll]|#[1-5])"), ParsedField.weekday),
    (None, re.compile(f"(?P<first>{_VALUE})(?:-(?P<last>{_VALUE}){_STEP})?"), ParsedField.span),
)


def parse_number(digits: str) -> int:
    """Leading zeros are harmless; a number too long to matter is just large."""
    digits = digits.lstrip("0")
    return int(digits or "0") if len(digits) < 10 else 10**9


def quoted(text: str) -> str:
    """In quotes, on one line, without control characters, and not too long."""
    return repr(text if len(text) <= 40 else text[:37] + "...")


_HINTS = (
    ("", "a value is missing; commas stand between two values, without blanks"),
    (r"(?s)\*/", "a step is missing after the /"),
    (r"(?s)\*.+", "only a step may follow a *, as in */5"),
    (r"(?s)[^-~/]+/.*", "a step needs a range before it, as in 5-20/5 or */5"),
    (r"\?", "write *"),
    (r"[Rr]", "write ~ or H"),
    (r"(?s)-.*|[^-]+-", "a range is FIRST-LAST"),
)


def hint(field: Field, text: str) -> str:
    """What should have been written instead."""
    for pattern, words in _HINTS:
        if re.fullmatch(pattern, text):
            return words
    if len(text) > 3 and text.isalpha() and text[:3].lower() in field.names:
        return f"names have three letters: {text[:3].lower()}"
    return field.allowed
