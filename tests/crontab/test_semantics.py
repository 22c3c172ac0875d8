"""The rules of docs/semantics.md that no other test file covers, as tables."""

from datetime import UTC, datetime

import pytest

from pycrond.crontab import parser
from pycrond.crontab.expression import parse_schedule
from pycrond.jobs.job import Entry
from pycrond.schedule.fire_times import fire_times
from pycrond.schedule.timezone import Zone

USERS, SYSTEM = False, True


def parsed(text: str, *, system: bool = False, dialect: str = "cronie") -> parser.Crontab:
    return parser.parse(
        text.encode("utf-8", "surrogateescape"), "jobs", system=system, dialect=dialect, user="me"
    )


def codes(text: str, severity: str) -> list[str]:
    return [problem.code for problem in parsed(text).problems if problem.severity == severity]


def entry(text: str, **how: bool | str) -> Entry:
    (only,) = parsed(text, **how).entries  # type: ignore[arg-type]
    return only


# Section 1: the file


@pytest.mark.parametrize(
    ("text", "entries", "errors", "warnings", "why"),
    [
        ("", 0, [], [], "an empty file"),
        ("\n \t\n", 0, [], [], "blank lines"),
        ("# x\n  # y\n", 0, [], [], "comments"),
        ("* * * * * x # y\n", 1, [], [], "no comment at the end of a line"),
        ("5=b\n*=b\n-A=b\n@A=b\n", 0, [], [], "an assignment comes first"),
        ("* * * * * A=b\n", 1, [], [], "and this is an entry"),
        ("* * * * * x", 1, [], ["no-newline"], "no newline at the end: accepted, with a warning"),
        ("# x", 0, [], [], "a comment needs none"),
        ("* * * * * x\n61 * * * * y\n* * * * * z\n", 2, ["bad-minute"], [], "a bad line alone is not run"),
        ("* * * * * x\\\n* * * * * y\n", 2, [], [], "no line goes on in the next"),
        ("* * * * * x\r\nA=b\r\n\r\n", 1, [], ["carriage-return"], "CR is left out, with a warning"),
        ("\ufeff* * * * * x\n", 0, ["byte-order-mark"], [], "a byte order mark"),
        ("* * * * * x\0y\n", 0, ["nul"], [], "NUL"),
        ("*\v* * * * * x\n", 0, ["bad-minute"], [], "only blanks and tabs separate"),
        ("* * * * * " + "x" * 131_100 + "\n", 0, ["too-long"], [], "an error, never a silent cut"),
        ("* * * * * \udcff\n", 1, [], [], "any byte in a command"),
    ],
)
def test_the_file(text: str, entries: int, errors: list[str], warnings: list[str], why: str) -> None:
    crontab = parsed(text)
    assert len(crontab.entries) == entries, why
    assert codes(text, "error") == errors, why
    assert codes(text, "warning") == warnings, why


# Section 8: which lines are accepted, D by Debian, C by cronie


@pytest.mark.parametrize(
    ("line", "accepted"),
    [
        ("* * * * * x", True),
        ("0 0 * * MON-fri x", True),
        ("0 0 * * 7 x", True),
        ("0 22-2 * * * x", True),
        ("007 08 09 010 * x", True),
        ("*/100 * * * * x", True),
        ("0 0 30 2 * x", True),
        ("@hourly x", True),
        ("* * * * * # x", True),
        ("0 0 1 1 1 2026 x", True),
        ("A = b # c", True),
        ("\"A B\"='c d'", True),
        ("* * * * * x%y", True),
        ("MAILTO=", True),  # as cronie
        ("*/0 * * * * x", False),
        ("5/15 * * * * x", False),
        ("0 0 * * 8 x", False),
        ("60 * * * * x", False),
        ("0 0 0 1 * x", False),
        ("1, 2 * * * x", False),
        ("0 0 * * monday x", False),
        ("@Hourly x", False),
        ("* * * * * * x", False),
        ("A='b'c", False),
        ("export A=b", False),
        ("1- * * * * x", False),
        ("*5 * * * * x", False),  # text after a term
        ("* * * * *", False),  # no command
        ("5* * * * * x", False),
        ("1.5 * * * * x", False),
        ("*/5/2 * * * * x", False),
        ("1-5-7 * * * * x", False),
        ("1#2 * * * * x", False),
        ("? * * * * x", False),
        ("R * * * * x", False),
        ("+5 * * * * x", False),
        ("0x5 * * * * x", False),
        ("1e1 * * * * x", False),
        ("1,,2 * * * * x", False),
        (",1 * * * * x", False),
        ("-5 * * * * x", False),
        ("*/ * * * * x", False),
        ("1-5/ * * * * x", False),
        ("50-60 * * * * x", False),
        ("@daily", False),
        ("@hourly * x", False),
    ],
)
def test_which_lines_are_accepted(line: str, accepted: bool) -> None:
    assert (not codes(f"{line}\n", "error")) is accepted


@pytest.mark.parametrize(
    ("text", "start", "until", "expected"),
    [
        ("*/7 3 * * *", "2027-01-01", "2027-01-02", [f"01-01 03:{m:02}" for m in range(0, 60, 7)]),
        ("0 0 */10 * *", "2024-02-01", "2024-03-01", [f"02-{d:02} 00:00" for d in (1, 11, 21)]),
        ("0 0 31 * *", "2027-01-01", "2028-01-01", [f"{m:02}-31 00:00" for m in (1, 3, 5, 7, 8, 10, 12)]),
        ("30 14 13 * fri", "2024-03-01", "2024-04-01", [f"03-{d:02} 14:30" for d in (1, 8, 13, 15, 22, 29)]),
        ("30 14 */10 * fri", "2024-03-01", "2024-04-01", ["03-01 14:30"]),
        ("0 0 * * 1-7/3", "2024-03-03", "2024-03-10", [f"03-{d:02} 00:00" for d in (3, 4, 7)]),
    ],
)
def test_runs(text: str, start: str, until: str, expected: list[str]) -> None:
    first, end = (datetime.fromisoformat(day).replace(tzinfo=UTC) for day in (start, until))
    fires = fire_times(parse_schedule(text), Zone.of("UTC"), first, end)
    assert [f"{fire.at:%m-%d %H:%M}" for fire in fires] == expected


def test_leap_years() -> None:
    first, end = datetime(2095, 1, 1, tzinfo=UTC), datetime(2106, 1, 1, tzinfo=UTC)
    fires = fire_times(parse_schedule("0 0 29 2 *"), Zone.of("UTC"), first, end)
    assert [fire.at.year for fire in fires] == [2096, 2104]


@pytest.mark.parametrize(
    ("text", "command", "given"),
    [
        ("x%y%z", "x", "y\nz\n"),
        ("date +\\%F", "date +%F", ""),
        ("x %y ", "x ", "y \n"),
        ("x%%", "x", "\n"),
        ("x%a\\%b", "x", "a%b\n"),
        ("%", "", ""),
        ("x%", "x", ""),
        ("x%a\\\\%b", "x", "a\\%b\n"),
        ("x \\y", "x \\y", ""),
    ],
)
@pytest.mark.parametrize("dialect", ["debian", "cronie"])
def test_commands_and_input(text: str, command: str, given: str, dialect: str) -> None:
    parsed_entry = entry(f"* * * * * {text}\n", dialect=dialect)
    assert (parsed_entry.command, parsed_entry.stdin) == (command, given)


@pytest.mark.parametrize(
    ("dialect", "command", "given"), [("debian", "x \\", "y\n"), ("cronie", "x \\\\", "y\n")]
)
def test_two_backslashes_before_a_percent(dialect: str, command: str, given: str) -> None:
    parsed_entry = entry("* * * * * x \\\\%y\n", dialect=dialect)
    assert (parsed_entry.command, parsed_entry.stdin) == (command, given)


# Section 3: assignments


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=b", "b"),
        ("  A = b  ", "b"),
        ("A=b # c", "b # c"),
        ("A=b'c", "b'c"),
        ("A=$B", "$B"),
        ("A='b c'", "b c"),
        ("A=' b '", " b "),
        ("A=\"'b'\"", "'b'"),
        ("A=''", ""),
        ("A=", ""),
        ("A=b%c", "b%c"),
        ("'A'=b", "b"),
    ],
)
def test_values(line: str, value: str) -> None:
    assert dict(entry(f"{line}\n* * * * * x\n").environment) == {"A": value}


def test_each_entry_has_the_environment_of_its_place() -> None:
    entries = parsed("A=1\n* * * * * x\nA=2\nB=3\n* * * * * y\n").entries
    assert [dict(parsed_entry.environment) for parsed_entry in entries] == [{"A": "1"}, {"A": "2", "B": "3"}]


# Section 2: the user column, flags


@pytest.mark.parametrize(
    ("line", "user", "command"),
    [
        ("* * * * * root x y", "root", "x y"),
        ("@daily root x", "root", "x"),
        ("* * * * *\troot\t  x", "root", "x"),
        ("* * * * * root * x", "root", "* x"),
        ("* * * * * user:group x", "user:group", "x"),
    ],
)
def test_the_user_column(line: str, user: str, command: str) -> None:
    parsed_entry = entry(f"{line}\n", system=True)
    assert (parsed_entry.user, parsed_entry.command) == (user, command)


@pytest.mark.parametrize("line", ["* * * * * root", "* * * * *", "* * * * * * x"])
def test_without_a_command_after_the_user(line: str) -> None:
    assert not parsed(f"{line}\n", system=True).entries


@pytest.mark.parametrize(
    ("text", "command", "option"),
    [("-n x", "x", "mail"), ("-q x", "x", "log"), ("-s x", "x", "overlap"), ("-n -s x", "x", "mail")],
)
def test_flags(text: str, command: str, option: str) -> None:
    parsed_entry = entry(f"* * * * * {text}\n")
    plain = entry("* * * * * x\n")
    assert parsed_entry.command == command
    assert getattr(parsed_entry.options, option) != getattr(plain.options, option)
