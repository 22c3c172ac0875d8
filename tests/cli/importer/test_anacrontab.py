"""Anacrontabs converted to crontab lines: rows of examples, and the lines read back by the crontab parser."""

import pytest

from pycrond.cli.importer import anacrontab
from pycrond.crontab import parser


def lines(text: str, dialect: str = "cronie") -> str:
    return anacrontab.convert(text.encode(), "f", dialect).text


@pytest.mark.parametrize(
    ("line", "schedule", "within"),
    [
        ("1 5 a x", "5 3 * * *", "1d"),
        ("@daily 5 a x", "5 3 * * *", "1d"),
        ("7\t25\ta\tx", "25 3 * * 7", "7d"),
        ("@weekly 0 a x", "0 3 * * 7", "7d"),
        ("30 65 a x", "5 4 1 * *", "30d"),
        ("@monthly 45 a x", "45 3 1 * *", "30d"),
        ("@yearly 1 a x", "1 3 1 1 *", "365d"),
        ("3 10 a x", "@every 3d", "3d"),
        ("1 9999 a x", "59 23 * * *", "1d"),
    ],
)
def test_periods(line: str, schedule: str, within: str) -> None:
    assert lines(f"{line}\n") == (
        f"# f:1\n#: name=a missed=once within={within} lock=anacron\n{schedule} root x\n"
    )


def test_assignments_hold_for_the_lines_that_follow() -> None:
    text = "A=b\n1 1 one x\nSTART_HOURS_RANGE=6-22\nRANDOM_DELAY=45\nMAILTO=\n1 1 two x\n"
    first, second = anacrontab.convert(text.encode(), "f", "cronie").jobs
    assert (first.hour, first.random_delay, second.hour, second.random_delay) == (3, 0, 6, 45)
    assert lines(text).splitlines() == [
        "A=b",
        *("# f:2", "#: name=one missed=once within=1d lock=anacron", "1 3 * * * root x"),
        'MAILTO=""',
        *("# f:6", "#: name=two missed=once within=1d lock=anacron jitter=45m", "1 6 * * * root x"),
    ]


def test_lines_joined_by_a_backslash() -> None:
    (job,) = anacrontab.convert(b"# c\n1 5 a \\\nx \\\n y\n", "f", "cronie").jobs
    assert (job.line, job.command) == (2, "x  y")


@pytest.mark.parametrize("line", ["0 5 a x", "@hourly 5 a x", "1 a x", "1 5 a", "1 5 a/b x", "x"])
def test_lines_that_anacron_cannot_read(line: str) -> None:
    text, jobs, remarks = anacrontab.convert(f"\n{line}\n".encode(), "f", "cronie")
    assert (text, jobs, [number for number, _ in remarks]) == ("", (), [2])


@pytest.mark.parametrize("dialect", ["debian", "cronie"])
@pytest.mark.parametrize("command", ["date +%F", r"printf 'a\nb'", r"a \\ b", "caf\u00e9 '#' =%%", "x  "])
def test_the_command_is_read_back_unchanged(command: str, dialect: str) -> None:
    crontab = parser.parse(
        lines(f"1 5 a/b {command}\n1 5 a {command}\n", dialect).encode(), "f", system=True, dialect=dialect
    )
    (entry,) = crontab.entries
    assert (entry.command, entry.stdin, entry.user) == (command.strip(), "", "root")
    assert (entry.options.name, entry.options.missed, entry.options.within) == ("a", "once", 86400)
    assert not crontab.problems


def test_a_command_that_a_crontab_cannot_express_becomes_a_comment() -> None:
    assert (
        lines("1 5 a date +\\%F\n")
        == "# Not converted, a crontab cannot express \\% here: 1 5 a date +\\%F\n"
    )
    assert lines("1 5 a date +\\%F\n", "debian").endswith("root date +\\\\\\%F\n")


@pytest.mark.parametrize(
    ("name", "expected"), [("cron.daily", "cron.daily"), ("a*b", "a_b"), ("-x", "x"), ("\u00e9", "\u00e9")]
)
def test_names(name: str, expected: str) -> None:
    assert f"#: name={expected} " in lines(f"1 5 {name} x\n")
