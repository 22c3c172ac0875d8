import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycrond.crontab.parser import MAX_LINE_BYTES, Crontab, parse
from pycrond.crontab.scope import MAX_NAMES
from pycrond.crontab.syntax import parse_assignment
from pycrond.jobs.job import Entry, make_jobs
from pycrond.jobs.options import CRON, Options
from pycrond.schedule.timezone import Zone


def read(text: str, **how: str | bool) -> Crontab:
    return parse(text.encode("utf-8", "surrogateescape"), "f", **how)  # type: ignore[arg-type]


def only(text: str, **how: str | bool) -> Entry:
    table = read(text + "\n", **how)
    assert not table.problems, table.problems
    (entry,) = table.entries
    return entry


def codes(table: Crontab) -> list[tuple[int, int, str]]:
    return [(problem.line, problem.column, problem.code) for problem in table.problems]


def errors(text: str, **how: str | bool) -> list[str]:
    return [p.code for p in read(text + "\n", **how).problems if p.severity == "error"]


def environment(*lines: str) -> dict[str, str]:
    return dict(only("\n".join([*lines, "* * * * * x"])).environment)


def test_an_entry() -> None:
    entry = only("\t*/5  0 \t* * *   /bin/echo hi  ")
    assert entry.schedule is not None
    assert (entry.file, entry.line, entry.user, entry.zone) == ("f", 1, None, None)
    assert (entry.schedule_text, entry.command, entry.stdin) == ("*/5 0 * * *", "/bin/echo hi  ", "")
    assert (entry.environment, entry.options) == ((), CRON)


# Section 8: lines that pycrond runs or refuses. D and C are the verdicts of Debian's cron and cronie.
@pytest.mark.parametrize(
    ("line", "runs", "why"),
    [
        ("* * * * * x", True, "D+ C+"),
        ("0 0 * * MON-fri x", True, "D+ C+"),
        ("0 0 * * 7 x", True, "D+ C+"),
        ("0 22-2 * * * x", True, "D+ C+, and never runs: a warning"),
        ("007 08 09 010 * x", True, "D+ C+"),
        ("*/100 * * * * x", True, "D+ C+"),
        ("0 0 30 2 * x", True, "D+ C+, and never runs: a warning"),
        ("@hourly x", True, "D+ C+"),
        ("* * * * * # x", True, "D+ C+: no comment, but the command"),
        ("0 0 1 1 1 2026 x", True, "D+ C+: the command is 2026 x"),
        ("* * * * * x%y", True, "D+ C+"),
        ("* * * * * A=b", True, "D+ C+: no assignment"),
        ("*5 * * * * x", False, "D+ C-: it is never what was meant"),
        ("* * * * *", False, "D+ C-"),
        ("*/0 * * * * x", False, "D- C-"),
        ("5/15 * * * * x", False, "D- C-"),
        ("0 0 * * 8 x", False, "D- C-"),
        ("60 * * * * x", False, "D- C-"),
        ("0 0 0 1 * x", False, "D- C-"),
        ("1, 2 * * * x", False, "D- C-"),
        ("0 0 * * monday x", False, "D- C-"),
        ("@Hourly x", False, "D- C-"),
        ("* * * * * * x", False, "D- C-"),
        ("@hourly * x", False, "D- C-"),
        ("1- * * * * x", False, "D- C-"),
        ("export A=b", False, "D- C-"),
        ("A='b'c", False, "D- C-"),
        ("0 0 5-0 * * x", False, "D- C+: only in day-of-week is 0 a 7"),
        ("0 0 L * * x", True, "D- C-: an extension"),
        ("@every 90m x", True, "D- C-: an extension"),
        ("@every_minute x", True, "D- C-: an extension"),
        ("H H * * * x", True, "D- C-: an extension"),
        ("0~10 * * * * x", True, "D+ (as 0) C+"),
        ("~ 3~ ~5 1~12/4 * x", True, "as OpenBSD"),
        ("0 0 * * 5-0 x", True, "D+ (never runs) C+"),
        ("? * * * * x", False, "D- C-"),
        ("R * * * * x", False, "D- C-"),
        ("-5 * * * * x", True, "D- C+ for root: minute 5, not logged"),
        ("* * * * * -n x", True, "D+ (runs '-n x') C+"),
        ("* * * * * -x", False, "D+ C-"),
        ("5 * * *\v* x", False, "D- C-: only space and tab separate fields"),
        ("5 * * *\u00a0* x", False, "D- C-: only space and tab separate fields"),
        ("* * * *", False, "D- C-"),
        ("hello", False, "D- C-"),
        ("@", False, "D- C-"),
        ("-", False, "D- C-"),
        ("@reboot", False, "no command"),
        ("@reboot x", True, "D+ C+"),
        ("@daily \t x", True, "D+ C+: blanks, also several"),
        ("* * * * * %", True, "D+ C+: an empty command"),
    ],
)
def test_section_8(line: str, runs: bool, why: str) -> None:
    table = read(line + "\n")
    assert len(table.entries) == runs, why
    assert any(problem.severity == "error" for problem in table.problems) != runs


@pytest.mark.parametrize(
    ("line", "name", "value", "why"),
    [
        ("A = b # c", "A", "b # c", "no comments"),
        ("A=b", "A", "b", "plain"),
        ("  A\t=\t b  \t", "A", "b", "blanks around everything"),
        ("A=", "A", "", "D-: accepted here"),
        ("MAILTO=", "MAILTO", "", "D-: accepted here"),
        ("A=''", "A", "", "an empty value"),
        ('A=""', "A", "", "an empty value"),
        ("A=' b '", "A", " b ", "as cronie"),
        ("A=\"'b'\"", "A", "'b'", "as cronie"),
        ("A='b' \t", "A", "b", "blanks after the quote"),
        ("A=b'c'", "A", "b'c'", "quotes inside are ordinary"),
        ("A=$B ~ \\ # = %", "A", "$B ~ \\ # = %", "nothing is expanded"),
        ("\"A B\"='c d'", "A B", "c d", "a quoted name"),
        ("'A#B' = x", "A#B", "x", "a quoted name"),
        ("1A=x", "1A", "x", "any name"),
        ("A-B=x", "A-B", "x", "any name"),
        ("A.B=x", "A.B", "x", "any name"),
        ("A+=x", "A+", "x", "any name"),
        ("5=b", "5", "b", "the assignment reading comes first"),
        ("*=b", "*", "b", "the same"),
        ("-A=b", "-A", "b", "the same"),
        ("@A=b", "@A", "b", "the same"),
        ("@daily = x", "@daily", "x", "the same"),
        ("-@daily =x", "-@daily", "x", "the same"),
        ("5 = * * * * x", "5", "* * * * x", "the same"),
        ("TZ=Mars/Olympus", "TZ", "Mars/Olympus", "just a variable"),
        ("A=b\v\f", "A", "b", "trailing blanks of any kind"),
        ("A=\u00a0", "A", "\u00a0", "a no-break space is no blank"),
        ("\u00c4=\udcff", "\u00c4", "\udcff", "bytes pass unchanged"),
    ],
)
def test_section_3(line: str, name: str, value: str, why: str) -> None:
    assert environment(line) == {name: value}, why


def test_an_assignment_applies_from_its_line_on() -> None:
    table = read("* * * * * a\nA=1\nB=2\n* * * * * b\n* * * * * c\nA=3\n* * * * * d\n")
    a, b, c, d = (entry.environment for entry in table.entries)
    assert (a, b, d) == ((), (("A", "1"), ("B", "2")), (("A", "3"), ("B", "2")))
    assert b is c


@pytest.mark.parametrize(
    ("text", "command", "given", "why"),
    [
        ("x", "x", "", "no % at all"),
        ("x%y%z", "x", "y\nz\n", "each % is a newline, and one is added"),
        ("x%y%", "x", "y\n", "one is there already"),
        (r"date +\%F", "date +%F", "", "a backslash keeps the %"),
        ("x %y ", "x ", "y \n", "blanks stay"),
        ("x%", "x", "", "nothing follows"),
        ("x%%", "x", "\n", "one newline"),
        (r"x%a\%b", "x", "a%b\n", "also in the input"),
        (r"x%a\\%b", "x", "a\\%b\n", "there a backslash is kept but before a %"),
        (r"x%a\b", "x", "a\\b\n", "kept"),
        ("%", "", "", "an empty command"),
        (r"x\\%y", r"x\\", "y\n", "cronie: both backslashes stay, and the % is active"),
        (r"a\\b \c", r"a\\b \c", "", "cronie: backslashes stay"),
        ("x\\", "x\\", "", "no line is continued"),
    ],
)
def test_percent(text: str, command: str, given: str, why: str) -> None:
    entry = only(f"* * * * * {text}")
    assert (entry.command, entry.stdin) == (command, given), why


@pytest.mark.parametrize(
    ("text", "command", "given", "why"),
    [
        (r"x\\%y", "x\\", "y\n", "an escaped backslash, and an active %"),
        (r"a\\b \c", r"a\b \c", "", "backslashes before others stay"),
        (r"x\%y", "x%y", "", "as in cronie"),
        (r"x%a\\b", "x", "a\\\\b\n", "in the input as in cronie"),
    ],
)
def test_percent_in_debian_s_dialect(text: str, command: str, given: str, why: str) -> None:
    entry = only(f"* * * * * {text}", dialect="debian")
    assert (entry.command, entry.stdin) == (command, given), why


@pytest.mark.parametrize(
    ("line", "user", "command", "why"),
    [
        ("* * * * * root x y", "root", "x y", "one word, then the command"),
        ("* * * * *\troot  x", "root", "x", "all blanks go"),
        ("@daily nobody x", "nobody", "x", "after a macro"),
        ("@every 2h nobody x", "nobody", "x", "after a macro of two words"),
        ("@reboot root x", "root", "x", "after a macro"),
        ("* * * * * root * x", "root", "* x", "accepted in both"),
        ("* * * * * user:group x", "user:group", "x", "the parser does not know users"),
        ("-* * * * * root -n x", "root", "x", "flags"),
    ],
)
def test_user_column(line: str, user: str, command: str, why: str) -> None:
    entry = only(line, system=True)
    assert (entry.user, entry.command) == (user, command), why


@pytest.mark.parametrize(
    ("line", "expected", "why"),
    [
        ("* * * * *", ["no-command"], "neither user nor command"),
        ("* * * * * root", ["no-command"], "D-"),
        ("* * * * * root  ", ["no-command"], "D+ C-"),
        ("@daily", ["no-command"], "neither"),
        ("* * * * * * x", ["sixth-field"], "no user is called *"),
        ("* * * * * root -x y", ["bad-flag"], "as in cronie"),
        ("* * * * * root -n", ["no-command"], "flags alone"),
    ],
)
def test_user_column_errors(line: str, expected: list[str], why: str) -> None:
    assert errors(line, system=True) == expected, why


@pytest.mark.parametrize(
    ("line", "changed", "command", "why"),
    [
        ("* * * * * -n x", {"mail": "failure"}, "x", "mail only on failure"),
        ("* * * * * -q x", {"log": False}, "x", "no log"),
        ("* * * * * -s x", {"overlap": "skip"}, "x", "one at a time"),
        (
            "* * * * * -n -q\t-s  x -n",
            {"mail": "failure", "log": False, "overlap": "skip"},
            "x -n",
            "several",
        ),
        ("* * * * * -qs x", {"log": False, "overlap": "skip"}, "x", "in one word"),
        ("-*/5 * * * * x", {"log": False}, "x", "cronie's"),
        ("-@daily x", {"log": False}, "x", "cronie's"),
        ("#: overlap=queue\n* * * * * -s x", {"overlap": "queue"}, "x", "#: has the last word"),
    ],
)
def test_flags(line: str, changed: dict[str, object], command: str, why: str) -> None:
    entry = only(line)
    assert {name: getattr(entry.options, name) for name in changed} == changed, why
    assert entry.command == command


@pytest.mark.parametrize(
    ("user", "system", "runs", "why"),
    [
        ("root", False, True, "cronie takes it from root"),
        ("", False, True, "no particular user"),
        ("alice", False, False, "an error in both"),
        ("", True, True, "system crontabs are root's"),
    ],
)
def test_users_who_may_begin_a_line_with_a_minus(user: str, system: bool, runs: bool, why: str) -> None:
    assert bool(read("-5 * * * * root x\n", user=user, system=system).entries) is runs, why


def test_a_minus_alone_is_no_flag() -> None:
    assert codes(read("- 5 * * * x\n")) == [(1, 1, "bad-minute")]


# Lines and bytes


@pytest.mark.parametrize(
    ("data", "commands", "expected", "why"),
    [
        ("", [], [], "an empty file"),
        ("\n \t\n", [], [], "blank lines"),
        ("# x\n  # y\n#", [], [], "comments, the last without a newline"),
        ("* * * * * x\n \t", ["x"], [], "a blank last line needs no newline"),
        ("* * * * * x", ["x"], [(1, 12, "no-newline")], "accepted with a warning"),
        ("A=b", [], [(1, 4, "no-newline")], "the same for an assignment"),
        (
            "* * * * * x\r\n\r\n# c\r\nA=b\r\n",
            ["x"],
            [(1, 12, "carriage-return")],
            "CR is removed, said once",
        ),
        ("# a\n* * * * * x\r", ["x"], [(2, 12, "carriage-return"), (2, 12, "no-newline")], "also at the end"),
        ("* * * * * x\ry\n", ["x\ry"], [], "an ordinary byte elsewhere"),
        ("5\r * * * * x\n", [], [(1, 1, "bad-minute")], "part of a field"),
        ("\ufeff* * * * * x\n* * * * * y\n", ["y"], [(1, 1, "byte-order-mark")], "an error that says so"),
        ("\ufeff# c\n", [], [(1, 1, "byte-order-mark")], "also before a comment"),
        ("* * * * * x\ufeff\n", ["x\ufeff"], [], "an ordinary character elsewhere"),
        ("* * * * * x\0y\n* * * * * z\n", ["z"], [(1, 12, "nul")], "NUL is an error"),
        ("A=\0\n# \0\n", [], [(1, 3, "nul")], "but not in a comment"),
        ("* * * * * x\\\n* * * * * y\n", ["x\\", "y"], [], "no line is continued"),
        ("* * * * * \x01\x7f\udcff\x85\u2028\n", ["\x01\x7f\udcff\x85\u2028"], [], "all other bytes pass"),
        ("  * * * * * x\n", ["x"], [], "leading blanks"),
        (
            "x\n61 * * * * y\n* * * * * z\n",
            ["z"],
            [(1, 1, "bad-fields"), (1, 1, "bad-minute"), (2, 1, "bad-minute")],
            "only bad lines are left out",
        ),
    ],
)
def test_lines(data: str, commands: list[str], expected: list[tuple[int, int, str]], why: str) -> None:
    table = read(data)
    assert [entry.command for entry in table.entries] == commands, why
    assert sorted(codes(table)) == sorted(expected)


def test_the_longest_line() -> None:
    prefix = "* * * * * "
    longest = prefix + "\u00e4" * ((MAX_LINE_BYTES - len(prefix)) // 2) + "x"
    assert len(longest.encode()) == MAX_LINE_BYTES
    assert only(longest).command == longest.removeprefix(prefix)
    assert errors(longest + "x") == ["too-long"]
    assert errors("#" + longest) == []


def test_all_errors_of_a_line_with_their_columns() -> None:
    problems = read("MAILTO=a\n  61 25\t1,0 * fri-2 -z x\n").problems
    assert [str(problem) for problem in problems] == [
        "f:2:3: error: bad minute '61' (0-59)",
        "f:2:6: error: bad hour '25' (0-23)",
        "f:2:11: error: bad day-of-month '0' (1-31)",
        "f:2:15: warning: day-of-week 'fri-2' ends before it begins and names nothing",
        "f:2:21: error: unknown flag '-z' before the command (-n, -q, -s)",
    ]


@pytest.mark.parametrize(
    ("line", "column", "message"),
    [
        ("export A=b", 1, "'export' is shell syntax: an assignment in a crontab is NAME=VALUE"),
        ("setenv A b", 1, "'setenv' is shell syntax: an assignment in a crontab is NAME=VALUE"),
        ("A B=c", 1, "there are two words before the '=': put a name with a blank in quotes"),
        ("A='b'c", 3, "a value that begins with a quote must end with it, at the end of the line"),
        ("A = 'b' # c", 5, "a value that begins with a quote must end with it, at the end of the line"),
        ('A="b', 3, "a value that begins with a quote must end with it, at the end of the line"),
        ("* * * * * * x", 11, "the command begins with '*': cron has no sixth field"),
        ("@daily", 7, "no command"),
        ("@Daily x", 1, "bad macro '@Daily' (macros are lower case: @daily)"),
        ("@every 90s x", 1, "@every takes a number of minutes, hours or days: 90m, 2h, 1d"),
        ("* * * *", 1, "4 fields instead of five: minute, hour, day-of-month, month, day-of-week"),
    ],
)
def test_messages(line: str, column: int, message: str) -> None:
    first = read(line + "\n").problems[0]
    assert (first.column, first.message) == (column, message)


# CRON_TZ


def test_cron_tz_applies_from_its_line_on_and_is_exported() -> None:
    table = read("1 1 * * * a\nCRON_TZ=Asia/Tokyo\n1 1 * * * b\nCRON_TZ=\n1 1 * * * c\n@every 1h d\n")
    assert not table.problems
    assert [entry.zone for entry in table.entries] == [None, "Asia/Tokyo", None, "UTC"]
    assert table.entries[1].environment == (("CRON_TZ", "Asia/Tokyo"),)


def test_entries_after_an_unknown_cron_tz_do_not_run() -> None:
    table = read("1 1 * * * a\nCRON_TZ = Mars/X \n1 1 * * * b\n61 1 * * * c\nCRON_TZ=UTC\n1 1 * * * d\n")
    assert [entry.command for entry in table.entries] == ["a", "d"]
    assert [str(problem) for problem in table.problems] == [
        "f:2:11: error: unknown time zone 'Mars/X' (a name such as Europe/Berlin, or a rule such as CET-1CEST,M3.5.0,M10.5.0/3)",
        "f:3:1: error: not run, because the time zone in line 2 is unknown",
        "f:4:1: error: bad minute '61' (0-59)",
        "f:4:1: error: not run, because the time zone in line 2 is unknown",
    ]


# Options


def options(text: str) -> tuple[Options, list[tuple[int, int, str]]]:
    table = read(text)
    return table.entries[-1].options, codes(table)


@pytest.mark.parametrize(
    ("text", "expected", "problems", "why"),
    [
        ("#: name=a timeout=30m\n", Options(name="a", timeout=1800), [], "words"),
        ("#:name=a\n", Options(name="a"), [], "without a blank"),
        ("  #: name=a\n", Options(name="a"), [], "indented"),
        ("#: name=a\n#: nice=5\n", Options(name="a", nice=5), [], "two lines for one entry"),
        ("#: name=a\n\n# c\nA=b\n", Options(name="a"), [], "other lines in between"),
        ("#: on-failure='echo \"a b\"'\n", Options(on_failure='echo "a b"'), [], "quotes as in a shell"),
        ('#: on-failure="a b"c\\ d\n', Options(on_failure="a bc d"), [], "as shlex splits them"),
        ("#: name=a name=b\n", Options(name="b"), [], "the last one counts"),
        ("#:\n", CRON, [], "nothing said"),
        ("#: tiemout=5m nice=5\n", Options(nice=5), [(1, 4, "unknown-option")], "the rest counts"),
        ("#: nice=5 timeout=5\n", Options(nice=5), [(1, 19, "bad-option")], "a bad value is left out"),
        ("#: timeout\n", CRON, [(1, 4, "bad-option")], "a value is missing"),
        ("#: name='a\n", CRON, [(1, 3, "bad-option")], "a quote is not closed"),
        ("#: name=a\\\n", CRON, [(1, 3, "bad-option")], "a backslash before nothing"),
        (
            "#: lock=''a\"b\"\\c on-missed='x'\\''y'\n",
            Options(lock="abc", on_missed="x'y"),
            [],
            "as shlex splits",
        ),
        ("PYCROND_TIMEOUT=2h\n", Options(timeout=7200), [], "a default"),
        ("PYCROND_RETRY_DELAY='5m'\n", Options(retry_delay=300), [], "- is _"),
        ("PYCROND_TIMEOUT=2h\n#: timeout=5m\n", Options(timeout=300), [], "#: has the last word"),
        ("PYCROND_TIMEOUT=2h\n#: timeout=\n", CRON, [], "an empty value is cron's"),
        ("PYCROND_TIMEOUT=2h\nPYCROND_TIMEOUT=\n", CRON, [], "the same"),
        ("PYCROND_TIMEOUT=2h\nPYCROND_NICE=3\n", Options(timeout=7200, nice=3), [], "defaults add up"),
        ("PYCROND_FOO=1\n", CRON, [(1, 1, "unknown-option")], "unknown"),
        ("PYCROND_NICE=x\n", CRON, [(1, 14, "bad-option")], "bad"),
        ("PYCROND_NAME=x\n", CRON, [(1, 1, "bad-option")], "a name belongs to one entry"),
        ("#: name=a\n* * * * * first\n", CRON, [], "for the next entry only"),
        ("#: name=a\n61 * * * * first\n", CRON, [(2, 1, "bad-minute")], "also if that is bad"),
        ("#: name=a\n\0\n", CRON, [(2, 1, "nul")], "also if that cannot be read"),
    ],
)
def test_options(text: str, expected: Options, problems: list[tuple[int, int, str]], why: str) -> None:
    assert options(text + "* * * * * x\n") == (expected, problems), why


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("tiemout=5m", "unknown option 'tiemout' (did you mean timeout?)"),
        ("xyzzy=5m", "unknown option 'xyzzy' (pycrond.crontab(5) describes all options)"),
        ("timeout", "timeout has no value (a duration such as 90s, 5m, 2h or 1d)"),
        ("timeout=\udca0", "bad timeout '\\xa0' (a duration such as 90s, 5m, 2h or 1d)"),
    ],
)
def test_a_message_about_an_option_says_what_is_allowed(words: str, message: str) -> None:
    (problem,) = read(f"#: {words}\n* * * * * x\n").problems
    assert problem.message == message


def test_options_are_not_passed_to_the_job() -> None:
    assert environment("PYCROND_TIMEOUT=2h", "A=b") == {"A": "b"}


def test_options_without_an_entry() -> None:
    table = read("* * * * * x\n#: name=a\n# c\n#: nice=5\nA=b\n")
    assert codes(table) == [(2, 1, "unbound-options"), (4, 1, "unbound-options")]


def test_one_name_for_two_entries() -> None:
    table = read("#: name=a\n* * * * * x\n#: name=a\n* * * * * y\n")
    assert codes(table) == [(4, 1, "duplicate-name")]
    assert [job.key.split("/")[1] == "a" for job in make_jobs(table.entries, "me")] == [True, False]


def test_one_name_of_two_users() -> None:
    assert not read("#: name=a\n@daily u x\n#: name=a\n@daily v x\n", system=True).problems


# Drawn values


def test_draws_are_the_entry_s_own_and_stay() -> None:
    text = "\n".join(f"~ H * * * job{n}" for n in range(50)) + "\n"
    first = [entry.schedule for entry in read(text, seed="a", user="me").entries]
    moved = [entry.schedule for entry in read("# moved\nA=b\n" + text, seed="a", user="me").entries]
    assert first == moved
    assert len(set(first)) > 40
    assert first != [entry.schedule for entry in read(text, seed="b", user="me").entries]
    assert first != [entry.schedule for entry in read(text, seed="a", user="you").entries]


def test_a_drawn_schedule_that_never_matches_is_reported() -> None:
    table = read("".join(f"0 0 ~ 2 * job{n}\n" for n in range(300)), seed="a")
    never = [entry.line for entry in table.entries if entry.schedule is not None and entry.schedule.is_empty]
    assert never
    assert codes(table) == [(line, 5, "never-matches") for line in never]


# Arbitrary and huge input


PIECES = st.sampled_from(
    [
        "*",
        "*/5",
        "0",
        "7",
        "61",
        "1-5",
        "22-2",
        "fri-sun",
        "L",
        "15W",
        "5L",
        "mon#2",
        "H",
        "~",
        "1~5",
        "@daily",
        "@every",
        "90m",
        "@reboot",
        "@",
        "-",
        "-n",
        "-x",
        "%",
        "\\%",
        "\\",
        "A=b",
        "A",
        "=",
        "'",
        '"',
        "#:",
        "#",
        "name=a",
        "timeout=5m",
        "tiemout=",
        "CRON_TZ=UTC",
        "CRON_TZ=x",
        "PYCROND_NICE=5",
        "export",
        "root",
        "x",
        "\ufeff",
        "\x00",
        "�",
        "\r",
        "\x0b",
    ]
)
LINES = st.lists(
    PIECES | st.sampled_from(["* * * * *", "0 0 1 1 *", "\n", "\n", "  ", "\t"]), max_size=40
).map(" ".join)


@given(
    LINES | st.text() | st.binary().map(lambda data: data.decode("utf-8", "surrogateescape")), st.booleans()
)
def test_every_line_is_an_entry_an_assignment_or_an_error(text: str, system: bool) -> None:
    table = read(text, system=system)
    entries = {entry.line for entry in table.entries}
    bad = {problem.line for problem in table.problems if problem.severity == "error"}
    assert len(entries) == len(table.entries)
    assert not entries & bad
    for number, raw in enumerate(text.encode("utf-8", "surrogateescape").split(b"\n"), 1):
        line = raw.decode("utf-8", "surrogateescape").removesuffix("\r").lstrip(" \t")
        if not line or (line.startswith("#") and not (number == 1 and text.startswith("\ufeff"))):
            assert number not in entries | bad
        elif number not in entries | bad:
            assert parse_assignment(line)
    assert list(table.problems) == sorted(table.problems, key=lambda p: (p.line, p.column))
    assert len({job.key for job in make_jobs(table.entries, "me")}) == len(entries)
    for entry in table.entries:
        assert Zone.of(entry.zone or "UTC").name
        assert "\n" not in entry.command
        assert all(name and "=" not in name for name, _ in entry.environment)


HUGE = 40_000
HUGE_PIECES = (
    *(
        " ",
        "*",
        "* ",
        "\t*",
        "-",
        "- ",
        "0,",
        "1-",
        "*/",
        "~",
        "H(",
        "A",
        "A ",
        "A=",
        "='",
        "'",
        '"',
        "\\",
        "%",
        "\\%",
    ),
    *(
        "#: a=",
        "#: '",
        "#:\\",
        "@every ",
        "-n ",
        "\r",
        "\n",
        "\0",
        "\ufeff",
        "\udcff",
        "\n#: name=a",
        "\nA=b",
        "/",
    ),
    *(
        "\n* * * * * -",
        "\n@",
        "\nCRON_TZ=x",
        "* * * * *",
        "0" * 50 + ",",
        "PYCROND_NICE=",
        "#",
        "\u00e4",
        "=",
        "\v",
    ),
)


@pytest.mark.parametrize("start", ["", "* * * * * ", "* ", "#: ", "A=", "'"])
def test_repetition_takes_linear_time(start: str) -> None:
    for piece in HUGE_PIECES:
        text = start + piece * (HUGE // len(piece))
        began = time.process_time()
        parse(text.encode("utf-8", "surrogateescape"), "f")
        assert time.process_time() - began < 2, (
            f"{piece!r} repeated"
        )  # takes 0.1 s; quadratic time would be many seconds


def test_names_have_a_limit() -> None:
    lines = "".join(f"A{n}=1\n" for n in range(MAX_NAMES + 1))
    assert codes(read(lines)) == [(MAX_NAMES + 1, 1, "too-many-names")]


def test_100_000_lines() -> None:
    text = "".join(
        f"{n % 60} {n % 24} * * {n % 7} /usr/bin/job-{n} >/dev/null 2>&1\n" for n in range(20_000)
    ).encode()
    began = time.process_time()
    entries = sum(len(parse(text, "f").entries) for _ in range(5))
    assert entries == 100_000
    assert time.process_time() - began < 10  # takes about 0.6 s; the limit allows for slow machines


@pytest.mark.parametrize(
    ("text", "dialect", "addresses"),
    [
        ("MAILTO=$USER@example.org\n", "cronie", ("me@example.org", None)),
        ("MAILTO=${LOGNAME},ops\nMAILFROM=cron-$USER@$HOST\nHOST=h\n", "cronie", ("me,ops", "cron-me@h")),
        ("MAILTO=a$NOBODY\n", "cronie", ("a", None)),
        ("MAILTO=$1${\n", "cronie", ("$1${", None)),
        ("MAILTO=$USER@example.org\n", "debian", ("$USER@example.org", None)),
    ],
)
def test_cronie_expands_variables_in_addresses(
    text: str, dialect: str, addresses: tuple[str, str | None]
) -> None:
    (entry,) = parse(f"{text}* * * * * x\n".encode(), "f", dialect=dialect, user="me").entries
    assert (entry.options.mailto, entry.options.mailfrom) == addresses
    system = parse(f"{text}* * * * * me x\n".encode(), "f", dialect=dialect, system=True).entries
    assert system[0].options == entry.options
