"""The text of a schedule, five fields or a macro: the minutes that it names and every flaw in it."""

import re
from functools import lru_cache
from typing import NamedTuple

from pycrond.crontab.field import FIELDS, Field, FieldFlaw, ParsedField, Pick
from pycrond.errors import PycrondError
from pycrond.hashing import draw_below
from pycrond.schedule.schedule import Schedule, every_minutes, make_schedule
from pycrond.text import counted, quoted


class ExpressionError(PycrondError):
    """An invalid schedule. `column` counts from 1."""

    def __init__(self, message: str, column: int) -> None:
        super().__init__(message)
        self.column = column


class Expression(NamedTuple):
    """The parsed text of a schedule."""

    text: str
    """As written, with single blanks."""
    schedule: Schedule | None
    """None for @reboot and after an error."""
    flaws: tuple[FieldFlaw, ...] = ()
    draws: bool = False
    """Some values are drawn for each entry (`~`, `H`)."""
    in_utc: bool = False
    """The schedule counts in UTC, whatever the zone of its entry."""

    @property
    def valid(self) -> bool:
        return not self.flaws or all(flaw.severity != "error" for flaw in self.flaws)


MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
    "@every_minute": "* * * * *",
}
MAX_CACHED_LENGTH = 200
"""Longer texts are not cached."""

_WORD = re.compile(r"[^ \t]+")
_PERIOD = re.compile("(?:([0-9]{1,6})d)?(?:([0-9]{1,6})h)?(?:([0-9]{1,6})m)?")


def parse_schedule(text: str, *, seed: str = "") -> Schedule:
    """Return the schedule of an expression outside a crontab; raises `ExpressionError` for its first error.
    `seed` decides the values that `~` and `H` draw.
    """
    stripped = text.strip(" \t")
    expression = parse_expression(stripped, seeded_pick(seed, stripped))
    for flaw in expression.flaws:
        if flaw.severity == "error":
            raise ExpressionError(flaw.message, text.find(stripped) + flaw.offset + 1)
    if expression.schedule is None:
        raise ExpressionError("@reboot names no times", 1)
    return expression.schedule


def seeded_pick(seed: str, *identity: str) -> Pick:
    """Return a function that draws numbers, always the same for the same seed and identity."""
    return lambda size, place: draw_below(size, seed, *identity, place)


def parse_expression(text: str, pick: Pick) -> Expression:
    """Parse five fields or a macro, without blanks around them."""
    return _parse_macro(text) if text.startswith("@") else _parse_fields(text, pick)


def parse_cached(text: str) -> Expression:
    """Parse as `parse_expression` does, with a cache for short texts; drawn values are placeholders."""
    return _cached(text) if len(text) <= MAX_CACHED_LENGTH else parse_expression(text, _no_draw)


@lru_cache(maxsize=4096)
def _cached(text: str) -> Expression:
    return parse_expression(text, _no_draw)


def _no_draw(_size: int, _place: str) -> int:
    return 0


def _parse_macro(text: str) -> Expression:
    words = _WORD.findall(text)
    folded = " ".join(words)
    if folded in MACROS:
        return parse_cached(MACROS[folded])._replace(text=folded)
    if folded == "@reboot":
        return Expression(folded, None)
    if words[0] != "@every":
        return _invalid(folded, "bad-macro", _macro_message(words[0]))
    match = _PERIOD.fullmatch(words[1]) if len(words) == 2 else None
    days, hours, minutes = map(int, match.groups("0")) if match else (0, 0, 0)
    period = (days * 24 + hours) * 60 + minutes
    if not period:
        message = "@every takes a number of minutes, hours or days: 90m, 2h, 1d"
        return _invalid(folded, "bad-period", message)
    return Expression(folded, every_minutes(period), in_utc=True)


def _macro_message(word: str) -> str:
    if word in {*MACROS, "@reboot"}:
        return f"nothing may follow the macro {quoted(word)}"
    if word.lower() in {*MACROS, "@reboot", "@every"}:
        return f"bad macro {quoted(word)} (macros are lower case: {word.lower()})"
    return f"bad macro {quoted(word)} (@reboot, @every, {', '.join(MACROS)})"


def _invalid(folded: str, code: str, message: str) -> Expression:
    return Expression(folded, None, (FieldFlaw(0, "error", code, message),))


def _parse_fields(text: str, pick: Pick) -> Expression:
    words = [(match.start(), match[0]) for match in _WORD.finditer(text)]
    folded = " ".join(word for _, word in words)
    parsed = [_parse_field(field, word, pick) for field, (_, word) in zip(FIELDS, words, strict=False)]
    flaws = [
        flaw._replace(offset=offset + flaw.offset)
        for (offset, _), field in zip(words, parsed, strict=False)
        for flaw in field.flaws
    ]
    if len(words) != len(FIELDS):
        fields = ", ".join(field.name for field in FIELDS)
        message = f"{counted(len(words), 'field')} instead of five: {fields}"
        flaws.append(FieldFlaw(0, "error", "bad-fields", message))
    if any(flaw.severity == "error" for flaw in flaws):
        return Expression(folded, None, tuple(flaws))
    schedule = _make_schedule(parsed, [word.startswith("*") for _, word in words])
    if schedule.is_empty:
        message = f"{quoted(folded)} names no time: it never runs"
        flaws.append(FieldFlaw(words[2][0], "warning", "never-matches", message))
    return Expression(folded, schedule, tuple(flaws), draws=any(field.draws for field in parsed))


def _parse_field(field: Field, text: str, pick: Pick) -> ParsedField:
    parsed = _cached_field(field, text) if len(text) <= MAX_CACHED_LENGTH else ParsedField(field, text, pick)
    return ParsedField(field, text, pick) if parsed.draws else parsed


@lru_cache(maxsize=4096)
def _cached_field(field: Field, text: str) -> ParsedField:
    return ParsedField(field, text, _no_draw)


def _make_schedule(fields: list[ParsedField], stars: list[bool]) -> Schedule:
    """Return the schedule of five fields; `stars` has True for each field whose text begins with ``*``."""
    minutes, hours, days, months, weekdays = fields
    return make_schedule(
        minutes.values,
        hours.values,
        days.values,
        months.values,
        {weekday % 7 for weekday in weekdays.values},
        day_or=not (stars[2] or stars[4]),
        wildcard=stars[0] or stars[1],
        specials=days.specials,
        special_weekdays=weekdays.specials,
    )
