"""The text of a schedule, five fields or a macro: what it means and every flaw in it."""

import re
from dataclasses import dataclass, replace
from functools import lru_cache

from pycrond.crontab.field import FIELDS, Field, FieldFlaw, ParsedField, Pick, quoted
from pycrond.errors import PycrondError
from pycrond.hashing import draw_below
from pycrond.schedule.schedule import Schedule, every_minutes, make_schedule


class ExpressionError(PycrondError):
    """A schedule that cannot be read. `column` counts from 1."""

    def __init__(self, message: str, column: int) -> None:
        super().__init__(message)
        self.column = column


@dataclass(frozen=True, slots=True)
class Expression:
    """The text of a schedule, read."""

    text: str
    """As written, blanks folded."""
    schedule: Schedule | None
    """None for @reboot, and where a flaw is an error."""
    flaws: tuple[FieldFlaw, ...] = ()
    draws: bool = False
    """It has values that are drawn for each entry (`~`, `H`)."""
    in_utc: bool = False
    """The schedule is one of UTC, whatever the zone of its entry."""

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
LONG = 200
"""Longer texts are not kept for the next time they are seen."""

_WORD = re.compile(r"[^ \t]+")
_PERIOD = re.compile("(?:([0-9]{1,6})d)?(?:([0-9]{1,6})h)?(?:([0-9]{1,6})m)?")


def parse_schedule(text: str, *, seed: str = "") -> Schedule:
    """The schedule of an expression that stands alone; raises `ExpressionError` for the first error in it.
    `seed` decides what `~` and `H` draw.
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
    """Numbers that are the same whenever and wherever seed and identity are."""
    return lambda size, place: draw_below(size, seed, *identity, place)


def parse_expression(text: str, pick: Pick) -> Expression:
    """Five fields or a macro, without blanks around them."""
    return _read_macro(text) if text.startswith("@") else _read_fields(text, pick)


def parse_cached(text: str) -> Expression:
    """As `read`, without work for a text already seen; what it draws stands for nothing."""
    return _cached(text) if len(text) <= LONG else parse_expression(text, _no_draw)


@lru_cache(maxsize=4096)
def _cached(text: str) -> Expression:
    return parse_expression(text, _no_draw)


def _no_draw(_size: int, _place: str) -> int:
    return 0


def _read_macro(text: str) -> Expression:
    words = _WORD.findall(text)
    folded = " ".join(words)
    if folded in MACROS:
        return replace(parse_cached(MACROS[folded]), text=folded)
    if folded == "@reboot":
        return Expression(folded, None)
    if words[0] != "@every":
        return _failed(folded, "bad-macro", _macro_message(words[0]))
    found = _PERIOD.fullmatch(words[1]) if len(words) == 2 else None
    minutes = _minutes(*found.groups("0")) if found else 0
    if not minutes:
        return _failed(
            folded, "bad-period", "after @every stands a number of minutes, hours or days: 90m, 2h, 1d"
        )
    return Expression(folded, every_minutes(minutes), in_utc=True)


def _minutes(days: str, hours: str, minutes: str) -> int:
    return (int(days) * 24 + int(hours)) * 60 + int(minutes)


def _macro_message(word: str) -> str:
    if word in {*MACROS, "@reboot"}:
        return f"nothing may follow the macro {quoted(word)}"
    if word.lower() in {*MACROS, "@reboot", "@every"}:
        return f"bad macro {quoted(word)} (macros are lower case: {word.lower()})"
    return f"bad macro {quoted(word)} (@reboot, @every, {', '.join(MACROS)})"


def _failed(folded: str, code: str, message: str) -> Expression:
    return Expression(folded, None, (FieldFlaw(0, "error", code, message),))


def _read_fields(text: str, pick: Pick) -> Expression:
    words = [(found.start(), found[0]) for found in _WORD.finditer(text)]
    folded = " ".join(word for _, word in words)
    read_fields = [_read_field(field, word, pick) for field, (_, word) in zip(FIELDS, words, strict=False)]
    flaws = [
        replace(flaw, offset=offset + flaw.offset)
        for (offset, _), terms in zip(words, read_fields, strict=False)
        for flaw in terms.flaws
    ]
    if len(words) != len(FIELDS):
        message = f"{len(words)} fields where five belong: minute, hour, day-of-month, month, day-of-week"
        flaws.append(FieldFlaw(0, "error", "bad-fields", message))
    if any(flaw.severity == "error" for flaw in flaws):
        return Expression(folded, None, tuple(flaws))
    schedule = _schedule(read_fields, [word.startswith("*") for _, word in words])
    if schedule.is_empty:
        flaws.append(
            FieldFlaw(
                words[2][0], "warning", "never-matches", f"{quoted(folded)} names no time: it never runs"
            )
        )
    return Expression(folded, schedule, tuple(flaws), draws=any(terms.draws for terms in read_fields))


def _read_field(field: Field, text: str, pick: Pick) -> ParsedField:
    terms = _cached_field(field, text) if len(text) <= LONG else ParsedField(field, text, pick)
    return ParsedField(field, text, pick) if terms.draws else terms


@lru_cache(maxsize=4096)
def _cached_field(field: Field, text: str) -> ParsedField:
    return ParsedField(field, text, _no_draw)


def _schedule(terms: list[ParsedField], stars: list[bool]) -> Schedule:
    minutes, hours, days, months, weekdays = terms
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
