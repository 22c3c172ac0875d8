"""A field of a schedule: its terms, separated by commas, the values that they name, and their flaws."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from pycrond.errors import Severity
from pycrond.text import quoted


class FieldFlaw(NamedTuple):
    """An error or a warning about a text, `offset` characters from its start."""

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
    """The last value of a draw without a range; the first is `first`."""
    names: tuple[str, ...] = ()
    """Names of the numbers from `first` on."""

    @property
    def allowed(self) -> str:
        names = f", {self.names[0]}-{self.names[-1]}" if self.names else ""
        return f"{self.first}-{self.last}{names}"


MINUTE = Field("minute", 0, 59, 59)
HOUR = Field("hour", 0, 23, 23)
DAY_OF_MONTH = Field("day-of-month", 1, 31, 31)
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
MONTH = Field("month", 1, 12, 12, MONTHS)
DAY_OF_WEEK = Field("day-of-week", 0, 7, 6, ("sun", "mon", "tue", "wed", "thu", "fri", "sat"))
FIELDS = (MINUTE, HOUR, DAY_OF_MONTH, MONTH, DAY_OF_WEEK)

LAST_DAY_OF_EVERY_MONTH = 28
"""`H` in day-of-month does not draw the days that some months lack."""

MAX_DAYS_BEFORE_END = 30

Pick = Callable[[int, str], int]
"""``pick(size, place)`` draws a number from 0 to size - 1, always the same for a place in an entry."""


class ParsedField:
    """The values, special terms and flaws of one field's text."""

    def __init__(self, field: Field, text: str, pick: Pick) -> None:
        self.values: set[int] = set()
        self.specials: set[str] = set()
        """Terms for days without fixed numbers: ``L``, ``LW``, ``L-3``, ``15W``, ``5L``, ``1#2``."""
        self.flaws: list[FieldFlaw] = []
        self.draws = 0
        """The number of terms with a drawn value."""
        self._field = field
        self._pick = pick
        offset = 0
        for term in text.split(","):
            self._parse_term(term, offset, text)
            offset += len(term) + 1

    def _parse_term(self, term: str, offset: int, text: str) -> None:
        if len(term) <= 2 and term in _NUMBERS and self._field.first <= int(term) <= self._field.last:
            self.values.add(int(term))  # most terms are plain numbers
            return
        for only_in, pattern, parse in _FORMS:
            match = pattern.fullmatch(term) if only_in in {None, self._field} else None
            if match:
                parse(self, match, offset)
                return
        self._error(offset, f"{quoted(term or text)} ({hint(self._field, term)})")

    def add_all(self, match: re.Match[str], offset: int) -> None:
        self._add(self._field.first, self._field.last, self._step(match, offset))

    def add_range(self, match: re.Match[str], offset: int) -> None:
        """Add one value, or a range of values."""
        first = self._value(match, "first", offset)
        last = self._value(match, "last", offset) if match["last"] else first
        step = self._step(match, offset)
        if first is None or last is None:
            return
        if first > last:
            last = self._end_of_reversed(match, first, last, offset)
        self._add(first, last, step)

    def _end_of_reversed(self, match: re.Match[str], first: int, last: int, offset: int) -> int:
        """Return the last value of a range that ends before it begins: it is empty, but 5-0 means 5-7."""
        text, name = quoted(match[0]), self._field.name
        if self._field is DAY_OF_WEEK and last == 0 and match["step"] is None:
            self._warn(offset, "ends-in-sunday", f"{text} is read as {first}-7; Debian reads nothing in it")
            return 7
        self._warn(offset, "reversed-range", f"{name} {text} ends before it begins and names nothing")
        return last

    def add_draw(self, match: re.Match[str], offset: int) -> None:
        """Add one drawn value of a range, or with a step all values from a drawn start on."""
        low, high = self._field.first, self._field.draw_to
        if match[0].startswith("H") and self._field is DAY_OF_MONTH:
            high = LAST_DAY_OF_EVERY_MONTH
        first = self._value(match, "first", offset) if match["first"] else low
        last = self._value(match, "last", offset) if match["last"] else max(high, first or low)
        step = self._step(match, offset)
        if first is None or last is None or not step:
            return
        if first > last:
            self._error(offset, f"{quoted(match[0])} (a value is drawn from LOW to HIGH)")
            return
        self.draws += 1
        size = last - first + 1 if match["step"] is None else min(step, last - first + 1)
        start = first + self._pick(size, f"{self._field.name} {self.draws}")
        self._add(start, start if match["step"] is None else last, step)

    def add_last_day(self, match: re.Match[str], offset: int) -> None:
        """Add the last day of the month (``L``), or a day counted back from it (``L-3``)."""
        before = parse_number(match["before"] or "")
        if before > MAX_DAYS_BEFORE_END:
            self._error(offset, f"{quoted(match[0])} (L-1 to L-{MAX_DAYS_BEFORE_END})")
            return
        self.specials.add(f"L-{before}" if before else "L")

    def add_last_workday(self, _match: re.Match[str], _offset: int) -> None:
        self.specials.add("LW")

    def add_weekday(self, match: re.Match[str], offset: int) -> None:
        """Add the working day nearest to a day of the month, or a weekday by its place in the month."""
        number = self._value(match, "number", offset)
        if number is not None:
            number = number % 7 if self._field is DAY_OF_WEEK else number
            self.specials.add(f"{number}{match['rest'].upper()}")

    def _add(self, first: int, last: int, step: int) -> None:
        if step:
            self.values.update(range(first, last + 1, step))

    def _step(self, match: re.Match[str], offset: int) -> int:
        """Return the step: 1 if the term has none, 0 after an error."""
        if match["step"] is None:
            return 1
        step = parse_number(match["step"])
        if not step:
            self._error(offset + match.start("step"), f"step {quoted(match['step'])} (from 1)")
        return step

    def _value(self, match: re.Match[str], group: str, offset: int) -> int | None:
        text, names = match[group], self._field.names
        number = parse_number(text) if text.isdigit() else -1
        if text.lower() in names:
            number = names.index(text.lower()) + self._field.first
        if self._field.first <= number <= self._field.last:
            return number
        self._error(offset + match.start(group), f"{quoted(text)} ({hint(self._field, text)})")
        return None

    def _error(self, offset: int, message: str) -> None:
        name = self._field.name
        self.flaws.append(FieldFlaw(offset, "error", f"bad-{name}", f"bad {name} {message}"))

    def _warn(self, offset: int, code: str, message: str) -> None:
        self.flaws.append(FieldFlaw(offset, "warning", code, message))


_NUMBERS = frozenset(map(str, range(60)))
_VALUE = "[0-9A-Za-z]+"
_STEP = "(?:/(?P<step>[0-9]+))?"
_FORMS: tuple[
    tuple[Field | None, re.Pattern[str], Callable[[ParsedField, re.Match[str], int], None]], ...
] = (
    (None, re.compile(r"\*" + _STEP), ParsedField.add_all),
    (None, re.compile(f"(?P<first>(?:{_VALUE})?)~(?P<last>(?:{_VALUE})?){_STEP}"), ParsedField.add_draw),
    (None, re.compile(rf"H(?:\((?P<first>{_VALUE})-(?P<last>{_VALUE})\))?{_STEP}"), ParsedField.add_draw),
    (DAY_OF_MONTH, re.compile("[Ll](?:-(?P<before>[0-9]+))?"), ParsedField.add_last_day),
    (DAY_OF_MONTH, re.compile("[Ll][Ww]"), ParsedField.add_last_workday),
    (DAY_OF_MONTH, re.compile("(?P<number>[0-9]+)(?P<rest>[Ww])"), ParsedField.add_weekday),
    (DAY_OF_WEEK, re.compile("(?P<number>[0-9]+|[A-Za-z]{3})(?P<rest>[Ll]|#[1-5])"), ParsedField.add_weekday),
    (None, re.compile(f"(?P<first>{_VALUE})(?:-(?P<last>{_VALUE}){_STEP})?"), ParsedField.add_range),
)


def parse_number(digits: str) -> int:
    """Return the value of digits with leading zeros or without; 10**9 for more than nine digits."""
    digits = digits.lstrip("0")
    return int(digits or "0") if len(digits) < 10 else 10**9


_HINTS = (
    ("", "a value is missing; a comma needs one on each side, without blanks"),
    (r"(?s)\*/", "a step is missing after the /"),
    (r"(?s)\*.+", "only a step may follow a *, as in */5"),
    (r"(?s)[^-~/]+/.*", "a step needs a range before it, as in 5-20/5 or */5"),
    (r"\?", "write *"),
    (r"[Rr]", "write ~ or H"),
    (r"(?s)-.*|[^-]+-", "a range is FIRST-LAST"),
)


def hint(field: Field, text: str) -> str:
    """Return a hint that corrects a wrong term."""
    for pattern, words in _HINTS:
        if re.fullmatch(pattern, text):
            return words
    if len(text) > 3 and text.isalpha() and text[:3].lower() in field.names:
        return f"names have three letters: {text[:3].lower()}"
    return field.allowed
