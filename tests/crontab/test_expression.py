from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycrond.crontab.expression import (
    MACROS,
    ExpressionError,
    parse_cached,
    parse_expression,
    parse_schedule,
    seeded_pick,
)
from pycrond.crontab.field import FIELDS, ParsedField
from pycrond.schedule.schedule import Schedule
from pycrond.text import quoted

BY_NAME = {field.name: field for field in FIELDS}


def values(name: str, text: str) -> set[int]:
    terms = ParsedField(BY_NAME[name], text, seeded_pick(""))
    assert not [flaw for flaw in terms.flaws if flaw.severity == "error"], terms.flaws
    return terms.values


@pytest.mark.parametrize(
    ("name", "text", "expected", "why"),
    [
        ("minute", "*", range(60), "all"),
        ("hour", "*", range(24), "all"),
        ("day-of-month", "*", range(1, 32), "all"),
        ("month", "*", range(1, 13), "all"),
        ("day-of-week", "*", range(8), "0 and 7 are both Sunday"),
        ("minute", "*/20", [0, 20, 40], "from the lowest value"),
        ("day-of-month", "*/10", [1, 11, 21, 31], "which is 1 for days"),
        ("month", "*/5", [1, 6, 11], "and for months"),
        ("minute", "*/60", [0], "a step larger than the range leaves the first"),
        ("minute", "*/100", [0], "the same"),
        ("hour", "*/24", [0], "the same"),
        ("day-of-month", "*/32", [1], "the same"),
        ("day-of-week", "*/8", [0], "the same"),
        ("day-of-week", "*/2", [0, 2, 4, 6], "0 2 4 6"),
        ("day-of-week", "*/7", [0, 7], "Sunday"),
        ("day-of-week", "1-7/2", [1, 3, 5, 7], "Mon, Wed, Fri, Sun"),
        ("minute", "007", [7], "leading zeros are decimal"),
        ("hour", "08", [8], "not octal"),
        ("minute", "0" * 5_000 + "5", [5], "any number of them"),
        ("minute", "5-5", [5], "one value"),
        ("minute", "1,2,2-4,50-59/4", [1, 2, 3, 4, 50, 54, 58], "a list"),
        ("minute", "20-30/100", [20], "a step beyond the end"),
        ("minute", "30-10,40", [40], "a reversed range names nothing"),
        ("hour", "22-2", [], "the same"),
        ("hour", "22-23,0-2", [22, 23, 0, 1, 2], "how to write it"),
        ("month", "nov-feb", [], "the same for names"),
        ("month", "JAN-12/4", [1, 5, 9], "names and numbers, any case"),
        ("day-of-week", "mOn", [1], "any case"),
        ("day-of-week", "mon,wed,5", [1, 3, 5], "names in lists"),
        ("day-of-week", "1-fri", [1, 2, 3, 4, 5], "names in ranges"),
        ("day-of-week", "fri-sun", [5, 6, 7], "as in cronie"),
        ("day-of-week", "5-0", [5, 6, 7], "as in cronie"),
        ("day-of-week", "sat-sun", [6, 7], "as in cronie"),
        ("day-of-week", "5-0/1", [], "not with a step"),
        ("day-of-week", "5-7", [5, 6, 7], "in both"),
        ("day-of-week", "fri-mon", [], "reversed"),
        ("day-of-week", "sun-sat", range(7), "sun is 0"),
        ("hour", "22-0", [], "5-0 is for weekdays only"),
    ],
)
def test_values_of_a_field(name: str, text: str, expected: list[int], why: str) -> None:
    assert values(name, text) == set(expected), why


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("61 * * * *", 1, "bad minute '61' (0-59)"),
        ("60 * * * *", 1, "bad minute '60' (0-59)"),
        ("* 24 * * *", 3, "bad hour '24' (0-23)"),
        ("0 0 0 1 *", 5, "bad day-of-month '0' (1-31)"),
        ("0 0 32 1 *", 5, "bad day-of-month '32' (1-31)"),
        ("0 0 1 13 *", 7, "bad month '13' (1-12, jan-dec)"),
        ("0 0 1 0 *", 7, "bad month '0' (1-12, jan-dec)"),
        ("0 0 * * 8", 9, "bad day-of-week '8' (0-7, sun-sat)"),
        ("50-60 * * * *", 4, "bad minute '60' (0-59)"),
        ("0-60/60 * * * *", 3, "bad minute '60' (0-59)"),
        ("5,61 * * * *", 3, "bad minute '61' (0-59)"),
        ("*/0 * * * *", 3, "bad minute step '0' (from 1)"),
        ("1-5/0 * * * *", 5, "bad minute step '0' (from 1)"),
        ("5/15 * * * *", 1, "bad minute '5/15' (a step needs a range before it, as in 5-20/5 or */5)"),
        ("mon/2 * * * *", 1, "bad minute 'mon/2' (a step needs a range before it, as in 5-20/5 or */5)"),
        ("*5 * * * *", 1, "bad minute '*5' (only a step may follow a *, as in */5)"),
        ("*/5/2 * * * *", 1, "bad minute '*/5/2' (only a step may follow a *, as in */5)"),
        ("*/ 5 * * *", 1, "bad minute '*/' (a step is missing after the /)"),
        (
            "1, 2 * * *",
            3,
            "bad minute '1,' (a value is missing; a comma needs one on each side, without blanks)",
        ),
        (
            ",1 * * * *",
            1,
            "bad minute ',1' (a value is missing; a comma needs one on each side, without blanks)",
        ),
        (
            "1,,2 * * * *",
            3,
            "bad minute '1,,2' (a value is missing; a comma needs one on each side, without blanks)",
        ),
        ("1- * * * *", 1, "bad minute '1-' (a range is FIRST-LAST)"),
        ("-5 * * * *", 1, "bad minute '-5' (a range is FIRST-LAST)"),
        ("* -1 * * *", 3, "bad hour '-1' (a range is FIRST-LAST)"),
        ("0 0 * * monday", 9, "bad day-of-week 'monday' (names have three letters: mon)"),
        ("0 0 * January *", 7, "bad month 'January' (names have three letters: jan)"),
        ("0 0 * mon *", 7, "bad month 'mon' (1-12, jan-dec)"),
        ("0 0 jan * *", 5, "bad day-of-month 'jan' (1-31)"),
        ("? * * * *", 1, "bad minute '?' (write *)"),
        ("R * * * *", 1, "bad minute 'R' (write ~ or H)"),
        ("h * * * *", 1, "bad minute 'h' (0-59)"),
        ("L * * * *", 1, "bad minute 'L' (0-59)"),
        ("0 0 * * L", 9, "bad day-of-week 'L' (0-7, sun-sat)"),
        ("0 0 * * LW", 9, "bad day-of-week 'LW' (0-7, sun-sat)"),
        ("0 0 5L * *", 5, "bad day-of-month '5L' (1-31)"),
        ("0 0 W15 * *", 5, "bad day-of-month 'W15' (1-31)"),
        ("0 0 32W * *", 5, "bad day-of-month '32' (1-31)"),
        ("0 0 L-31 * *", 5, "bad day-of-month 'L-31' (L-1 to L-30)"),
        ("0 0 * * 8L", 9, "bad day-of-week '8' (0-7, sun-sat)"),
        ("0 0 * * 1#6", 9, "bad day-of-week '1#6' (0-7, sun-sat)"),
        ("0 0 * * foo#1", 9, "bad day-of-week 'foo' (0-7, sun-sat)"),
        ("5* * * * *", 1, "bad minute '5*' (0-59)"),
        ("1.5 * * * *", 1, "bad minute '1.5' (0-59)"),
        ("+5 * * * *", 1, "bad minute '+5' (0-59)"),
        ("0x5 * * * *", 1, "bad minute '0x5' (0-59)"),
        ("1e1 * * * *", 1, "bad minute '1e1' (0-59)"),
        ("1-5-7 * * * *", 1, "bad minute '1-5-7' (0-59)"),
        ("\u0665 * * * *", 1, "bad minute '\u0665' (0-59)"),
        ("9" * 5_000 + " * * * *", 1, f"bad minute '{'9' * 37}...' (0-59)"),
        ("30~10 * * * *", 1, "bad minute '30~10' (a value is drawn from LOW to HIGH)"),
        ("~/0 * * * *", 3, "bad minute step '0' (from 1)"),
        ("H(0-70) * * * *", 5, "bad minute '70' (0-59)"),
        ("H(5) * * * *", 1, "bad minute 'H(5)' (0-59)"),
        ("5\r * * * *", 1, r"bad minute '5\r' (0-59)"),
        ("\x1b[2J * * * *", 1, r"bad minute '\x1b[2J' (0-59)"),
        ("  61 * * * *", 3, "bad minute '61' (0-59)"),
        ("@Daily", 1, "bad macro '@Daily' (macros are lower case: @daily)"),
        ("@fortnightly", 1, f"bad macro '@fortnightly' (@reboot, @every, {', '.join(MACROS)})"),
        ("@every 90s", 1, "@every takes a number of minutes, hours or days: 90m, 2h, 1d"),
        ("@every", 1, "@every takes a number of minutes, hours or days: 90m, 2h, 1d"),
        ("@every 0m", 1, "@every takes a number of minutes, hours or days: 90m, 2h, 1d"),
        ("@every 1.5h", 1, "@every takes a number of minutes, hours or days: 90m, 2h, 1d"),
        ("@reboot", 1, "@reboot names no times"),
        ("*", 1, "1 field instead of five: minute, hour, day-of-month, month, day-of-week"),
        ("* * * *", 1, "4 fields instead of five: minute, hour, day-of-month, month, day-of-week"),
        ("* * * * * *", 1, "6 fields instead of five: minute, hour, day-of-month, month, day-of-week"),
        ("*", 1, "1 field instead of five: minute, hour, day-of-month, month, day-of-week"),
        ("", 1, "0 fields instead of five: minute, hour, day-of-month, month, day-of-week"),
        ("@daily x", 1, "nothing may follow the macro '@daily'"),
    ],
)
def test_errors_and_their_columns(text: str, column: int, message: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse_schedule(text)
    assert (str(caught.value), caught.value.column) == (message, column)


def test_all_errors_are_reported() -> None:
    flaws = parse_expression("61,62 5/15 foo 0 8", seeded_pick("")).flaws
    assert [(flaw.offset, flaw.code) for flaw in flaws] == [
        (0, "bad-minute"),
        (3, "bad-minute"),
        (6, "bad-hour"),
        (11, "bad-day-of-month"),
        (15, "bad-month"),
        (17, "bad-day-of-week"),
    ]


@pytest.mark.parametrize(
    ("text", "expected", "why"),
    [
        ("0 22-2 * * *", ["reversed-range", "never-matches"], "names nothing, and nothing else is there"),
        ("0 22-2,5 * * *", ["reversed-range"], "5 is left"),
        ("0 0 * * fri-sun", ["ends-in-sunday"], "Debian's cron never runs it"),
        ("0 0 30 2 *", ["never-matches"], "no such day"),
        ("0 0 31 2 5", [], "Fridays in February"),
        ("0 0 29 2 *", [], "there are some"),
        ("* * * * *", [], "nothing to say"),
    ],
)
def test_warnings(text: str, expected: list[str], why: str) -> None:
    flaws = parse_cached(text).flaws
    assert [(flaw.code, flaw.severity) for flaw in flaws] == [(code, "warning") for code in expected], why


@pytest.mark.parametrize(
    ("macro", "fields"),
    [
        ("@yearly", "0 0 1 1 *"),
        ("@annually", "0 0 1 1 *"),
        ("@monthly", "0 0 1 * *"),
        ("@weekly", "0 0 * * 0"),
        ("@daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@hourly", "0 * * * *"),
        ("@every_minute", "* * * * *"),
    ],
)
def test_macros(macro: str, fields: str) -> None:
    assert parse_schedule(macro) is parse_schedule(fields)
    assert parse_cached(macro).text == macro


def test_the_text_keeps_single_blanks() -> None:
    assert parse_cached("*/5\t 0  1 * \t*").text == "*/5 0 1 * *"
    assert parse_cached("@every   90m").text == "@every 90m"


def drawn(text: str, seed: str = "machine") -> Schedule:
    return parse_schedule(text, seed=seed)


def minutes_drawn(text: str) -> Counter[tuple[int, ...]]:
    """Count the minutes that 600 machines draw."""
    counts: Counter[tuple[int, ...]] = Counter()
    for seed in range(600):
        bits = drawn(f"{text} * * * *", str(seed)).minutes
        counts[tuple(n for n in range(60) if bits >> n & 1)] += 1
    return counts


@pytest.mark.parametrize(
    ("text", "expected", "why"),
    [
        ("~", [(n,) for n in range(60)], "any minute"),
        ("H", [(n,) for n in range(60)], "the same"),
        ("50~", [(n,) for n in range(50, 60)], "from 50 on"),
        ("~5", [(n,) for n in range(6)], "up to 5"),
        ("20~22", [(20,), (21,), (22,)], "in between"),
        ("7~7", [(7,)], "one value is no choice"),
        ("~/20", [(n, n + 20, n + 40) for n in range(20)], "every 20 minutes from a drawn one"),
        ("H/20", [(n, n + 20, n + 40) for n in range(20)], "the same"),
        ("0~30/15", [(0, 15, 30), *[(n, n + 15) for n in range(1, 15)]], "within the range"),
        ("H(10-12)", [(10,), (11,), (12,)], "a range as Jenkins writes it"),
        ("H(0-29)/10", [(n, n + 10, n + 20) for n in range(10)], "with a step"),
        ("~/90", [(n,) for n in range(60)], "a step beyond the end: one value"),
        ("1,~2", [(0, 1), (1,), (1, 2)], "in a list"),
    ],
)
def test_draws(text: str, expected: list[tuple[int, ...]], why: str) -> None:
    assert set(minutes_drawn(text)) == set(expected), why


def test_draws_stay_and_are_spread() -> None:
    assert drawn("~ ~ * * *") is drawn("~ ~ * * *")
    assert len({drawn("H H * * *", str(seed)) for seed in range(200)}) > 150
    assert max(minutes_drawn("H").values()) < 30  # 600 machines over 60 minutes: about 10 each


def test_terms_of_one_entry_are_drawn_apart() -> None:
    bit_counts = [drawn("~,~ * * * *", str(seed)).minutes.bit_count() for seed in range(50)]
    assert bit_counts.count(2) > 40


@pytest.mark.parametrize(
    ("text", "most", "why"),
    [
        ("0 0 H * *", 28, "a day that every month has, as in Jenkins"),
        ("0 0 ~ * *", 31, "any day, as in OpenBSD"),
        ("0 0 1~31 * *", 31, "as written"),
    ],
)
def test_drawn_days(text: str, most: int, why: str) -> None:
    days = {drawn(text, str(seed)).part.days_of_month.bit_length() - 1 for seed in range(600)}
    assert days == set(range(1, most + 1)), why


def test_drawn_weekdays_have_one_sunday() -> None:
    assert {drawn("0 0 * * H", str(seed)).part.days_of_week for seed in range(200)} == {
        1 << n for n in range(7)
    }
    assert {drawn("0 0 * * sat~7", str(seed)).part.days_of_week for seed in range(50)} == {1 << 6, 1}


@given(st.text("0123456789*,-/~#LWHRmonfri@ \t?x()", max_size=30) | st.text(max_size=20))
def test_parsing_raises_nothing_else(text: str) -> None:
    try:
        parse_schedule(text)
    except ExpressionError as error:
        assert 1 <= error.column <= len(text) + 1


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\tb", r"'a\tb'"),
        ("caf\udce9 \udca0", r"'caf\xe9 \xa0'"),
        (r"\udce9", r"'\\udce9'"),
        ("it's", '"it\'s"'),
        ("x" * 41, f"'{'x' * 37}...'"),
    ],
)
def test_quoted_texts_show_every_byte(text: str, shown: str) -> None:
    assert quoted(text) == shown
