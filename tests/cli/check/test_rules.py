"""Warnings about legal text: rows for each rule, with lines that must not cause a warning."""

import re
from pathlib import Path

import pytest

from pycrond.cli.check import rules
from pycrond.cli.check.facts import CheckFacts
from pycrond.crontab import parser
from pycrond.errors import Problem
from pycrond.jobs.shared_identity import SharedIdentity
from pycrond.schedule.timezone import Zone

YEAR = 2026


def codes(
    text: str,
    other_cron: str = "",
    *,
    system: bool = False,
    zone: str = "UTC",
    ignored: str = "",
    dialect: str = "cronie",
    cluster: SharedIdentity | None = None,
) -> list[str]:
    return [
        problem.code
        for problem in problems(text, other_cron, system, zone, ignored, dialect, cluster=cluster)
    ]


def problems(
    text: str,
    other_cron: str = "",
    system: bool = False,
    zone: str = "UTC",
    ignored: str = "",
    dialect: str = "cronie",
    *,
    cluster: SharedIdentity | None = None,
) -> list[Problem]:
    parsed = parser.parse(
        text.encode("utf-8", "surrogateescape"),
        "jobs",
        system=system,
        user="" if system else "me",
        dialect=dialect,
        cluster=cluster,
    )
    facts = CheckFacts(
        YEAR,
        Zone.of(zone),
        program_exists=lambda name, _path: "missing" not in name,
        user_exists=lambda name: name in {"root", "me"},
        directory_exists=lambda path: "missing" not in path,
        shell_name=lambda path: {"/bin/sh": "dash", "/bin/dash": "dash"}.get(path, "bash"),
        other_cron=other_cron,
        dialect=dialect,
        has_cluster=cluster is not None,
    )
    return rules.find_problems(parsed, text, facts, ignored.split(","))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("0 0 13 * 5 x", ["day-union"]),
        ("0 0 1-31 * 5 x", ["day-union"]),
        ("0 0 13 * * x", []),
        ("0 0 * * 5 x", []),
        ("0 0 */2 * 1 x", ["uneven-step"]),
        ("*/7 * * * * x", ["uneven-step"]),
        ("*/15 * * * * x", []),
        ("0-59/7 * * * * x", []),
        ("0 */5 * * * x", ["uneven-step"]),
        ("0 */6 * * * x", []),
        ("*/90 * * * * x", ["large-step"]),
        ("0 */24 * * * x", ["large-step"]),
        ("@daily x", []),
        ("0 0 31 2 * x", ["never-matches"]),
        ("50-10 * * * * x", ["reversed-range", "never-matches"]),
        ("5 5 * * * date +%F", ["percent"]),
        ("5 5 * * * date +\\%F", []),
        ("5 5 * * * missing --all", ["missing-program"]),
        ("5 5 * * * /opt/missing", ["missing-program"]),
        ("5 5 * * * test -x /opt/missing && /opt/missing", []),
        ("5 5 * * * missing || true", []),
        ("5 5 * * * [ -x missing ] && missing", []),
        ("5 5 * * * A=b missing", ["missing-program"]),
        ("SHELL=/usr/bin/python3\n5 5 * * * missing", []),
        ("0 0 L * * x", ["extension"]),
        ("0 0 * * 5L x", ["extension"]),
        ("0 0 * * MON#2 x", ["extension"]),
        ("0 0 15W * * x", ["extension"]),
        ("H H * * * x", ["extension"]),
        ("@every 90m x", ["extension"]),
        ("~ * * * * x", ["extension"]),
        ("0~9 * * * * x", []),
        ("0 0 * jul wed x", []),
        ("#: timeout=5m\n5 5 * * * x", []),
        ("#: name=mine\n5 5 * * * x", []),
        ("MAILTO=root\n5 5 * * * x", ["without-effect"]),
        ("MAILTO=\n5 5 * * * x", []),
        ("MAILTO=ops;id\n5 5 * * * x", ["bad-address"]),
        ("CONTENT_TYPE=html\n5 5 * * * x", ["bad-content-type"]),
        ("CONTENT_TYPE=text/html; charset=utf-8\n5 5 * * * x", []),
        ("RANDOM_DELAY=45\n5 5 * * * x", []),
        ("RANDOM_DELAY=0\n5 5 * * * x", []),
        ("#: bogus=1\n5 5 * * * x", ["unknown-option"]),
        ("#: name=a\n", ["unbound-options"]),
        ("#: name=a\n5 5 * * * x\n#: name=a\n5 6 * * * y", ["duplicate-name"]),
        ("#: on=web\n5 5 * * * x", ["no-cluster"]),
        ("#: on=one:web name=a\n5 5 * * * x", ["no-cluster"]),
        ("#: lock=cluster:a\n5 5 * * * x", ["no-cluster"]),
        ("#: on=one lock=cluster:a name=a\n5 5 * * * x", ["no-cluster", "no-cluster"]),
        ("#: on=one\n5 5 * * * x", ["cluster-option", "no-cluster"]),
        ("#: node-loss=rerun\n5 5 * * * x", ["without-effect"]),
        ("#: node-loss=rerun on=web\n5 5 * * * x", ["without-effect", "no-cluster"]),
        ("5 5 * * * x\r", ["carriage-return"]),
        ("61 * * * * x", ["bad-minute"]),
    ],
)
def test_rules(line: str, expected: list[str]) -> None:
    assert codes(f"{line}\n") == expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("on=one name=a", []),
        ("on=web", []),
        ("on=one:web name=a node-loss=rerun on-partition=run", []),
        ("lock=cluster:a", []),
        ("node-loss=rerun on-partition=run", ["without-effect"]),
        ("on=web on-partition=run", ["without-effect"]),
    ],
)
def test_rules_in_a_cluster(options: str, expected: list[str]) -> None:
    assert codes(f"#: {options}\n5 5 * * * x\n", cluster=SharedIdentity("c", "UTC")) == expected


@pytest.mark.parametrize("cluster", [None, SharedIdentity()])
def test_what_a_cluster_cannot_run_is_always_an_error(cluster: SharedIdentity | None) -> None:
    reported = problems("#: on=one\n5 5 * * * x\n", cluster=cluster)
    assert [problem.severity for problem in reported if problem.code == "cluster-option"] == ["error"]


@pytest.mark.parametrize(
    ("assignment", "expected"),
    [
        ("SHELL=/missing", ["missing-program"]),
        ("SHELL=/bin/sh", []),
        *((f"RANDOM_DELAY={value}", ["bad-random-delay"]) for value in ("abc", "-5", "1.5", "9" * 9)),
        *((f"RANDOM_DELAY={value}", []) for value in ("", "0", "45", "2000")),
        ("HOME=/missing", ["missing-home"]),
        ("HOME=missing", ["missing-home"]),
        ("HOME=/root", []),
        ("SHELL=bash", ["missing-program"]),  # it is not searched for in PATH
        ("SHELL=", []),
        ("HOME=", []),
        ("HOME=$HOME/x", ["not-expanded"]),
        ("HOME=~/missing", ["not-expanded"]),
        ("PATH=$PATH:/usr/local/bin", ["not-expanded"]),
        ("PATH=/bin:~/bin", ["not-expanded"]),
        ("DIR=${BASE}/x", ["not-expanded"]),
        ("BASE=/srv\nDIR=$BASE/x", ["not-expanded"]),
        ("DIR=$BASE/x\nBASE=/srv", []),  # a $ may have any other meaning
        ("TODAY=$(date)", ["not-expanded"]),
        ("TODAY=`date`", ["not-expanded"]),
        ("HASH=$6$salt$hash", []),
        ("PRICE=5$", []),
        ("BACKUP=file~", []),
        ("URL=http://host/~me", []),
        ("PYCROND_ON_FAILURE='echo $HOME'", []),
        ("MAILTO=$USER", ["without-effect"]),
        ("MAILFROM=cron-${LOGNAME}@example.org", ["without-effect"]),
        ("MAILTO=$USER;id", ["bad-address"]),
        ("TZ=Asia/Tokyo 0 3 * * * cmd", ["schedule-in-value"]),
        ("MAILTO=root @daily cmd", ["schedule-in-value", "bad-address"]),
        ("A=*/5 * * * * cmd", ["schedule-in-value"]),
        ("A=x 0 3 * * *", []),
        ("A=1 2 3 4 5 6 7", []),
        ("CRON_TZ=UTC 0 3 * * * cmd\nCRON_TZ=", ["schedule-in-value", "bad-zone"]),
        ("NAME\u00a0=x", ["look-alike"]),
        ("NAME=\u201cx\u201d", ["look-alike"]),
        ("NAME=caf\u00e9 \u2013 bar", []),
    ],
)
def test_values_that_are_probably_meant_otherwise(assignment: str, expected: list[str]) -> None:
    assert codes(f"{assignment}\n5 5 * * * x\n") == expected


def test_variables_in_addresses_are_expanded_in_the_dialect_of_cronie_only() -> None:
    text = "MAILTO=$USER@example.org\n5 5 * * * x\n"
    assert codes(text, dialect="debian") == ["not-expanded", "bad-address"]
    assert "other-cron" in codes(text, "debian")


@pytest.mark.parametrize(
    ("command", "word"),
    [
        ("source /etc/profile", "source"),
        ("cd /x && source env", "source"),
        ("if [[ -f x ]]; then x; fi", "[["),
        ("x &> /dev/null", "&>"),
        ("x &>> log", "&>>"),
        ("x |& y", "|&"),
        ("x <<< text", "<<<"),
        ("diff <(a) b", "<("),
        ("x {1..3}", "{1..3}"),
        ("sleep $RANDOM", "$RANDOM"),
        ('[ "$A" == b ] && x', "=="),
        ("bash -c 'source x; [[ -f y ]] &> z'", None),
        ("x > log 2>&1 & y", None),
        ("x 'a &> b' \"[[\" \\&> # source [[", None),
        ("grep [[:digit:]] x == y", None),
        ("awk '$1 == 2' x", None),
        ("x $((1 + 2)) ${A:-b} {} {a,b}", None),
        ("echo source declare", None),
        ("x < (y)", None),
        ("cat <<EOF", None),
    ],
)
def test_words_of_bash_under_another_shell(command: str, word: str | None) -> None:
    messages = [
        problem.message for problem in problems(f"5 5 * * * {command}\n") if problem.code == "bash-word"
    ]
    assert [message.split()[0] for message in messages][:1] == ([word] if word else [])
    assert "bash-word" not in codes(f"SHELL=/bin/bash\n5 5 * * * {command}\n")
    assert ("bash-word" in codes(f"SHELL=/bin/dash\n5 5 * * * {command}\n")) is bool(word)


@pytest.mark.parametrize(
    ("line", "code", "column", "name"),
    [
        ("5 5 * * * x\u00a0-a", "look-alike", 12, "a no-break space (U+00A0)"),
        ("5 5 * * * x \u2013all", "look-alike", 13, "an en dash (U+2013)"),
        ("5 5 * * * x -\u2013all", "look-alike", 14, "an en dash (U+2013)"),
        ("5 5 * * * x \u201ca b\u201d", "look-alike", 13, "a typographic quote (U+201C)"),
        ("5 5\u00a0* * * x", "bad-hour", 3, "a no-break space (U+00A0)"),
        ("1\u20135 * * * * x", "bad-minute", 1, "an en dash (U+2013)"),
        ("5 5 * * *\u00a0x", None, 0, "a no-break space (U+00A0)"),
    ],
)
def test_characters_that_look_alike_are_named(line: str, code: str | None, column: int, name: str) -> None:
    (look_alike,) = [problem for problem in problems(f"{line}\n") if name in problem.message]
    assert code is None or (look_alike.code, look_alike.column) == (code, column)


@pytest.mark.parametrize("command", ["x 'a\u2013b' \"\u00a0\"", "x a\u2013b.txt", "x caf\u00e9"])
def test_characters_in_quotes_and_names_may_be_meant(command: str) -> None:
    assert codes(f"5 5 * * * {command}\n") == []


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_named_once(encoding: str) -> None:
    data = ("# a comment\n" + "* * * * * x\n" * 3).encode(encoding)
    (problem,) = parser.parse(data, "jobs").problems
    assert (problem.line, problem.column, problem.code) == (1, 1, "utf-16")


@pytest.mark.parametrize(
    ("options", "expected"),
    [("jitter=10m within=5m", ["jitter"]), ("jitter=5m within=5m", []), ("jitter=10m", [])],
)
def test_a_jitter_that_is_longer_than_within(options: str, expected: list[str]) -> None:
    assert codes(f"#: {options}\n5 5 * * * x\n") == expected


@pytest.mark.parametrize(
    ("line", "is_asked"),
    [
        ("5 5 * * * echo hello", True),
        ("5 5 * * * /opt/x -a", True),
        ("5 5 * * * A=1 x", True),
        ("5 5 * * * cd /x && y", True),
        ("5 5 * * * missing-person /opt/x", False),
        ("5 5 * * * /opt/x", True),
    ],
)
def test_a_missing_user_column(line: str, is_asked: bool) -> None:
    (problem,) = problems(f"{line}\n", system=True)
    assert ("is the user column missing?" in problem.message) is is_asked


def test_a_user_column_that_should_not_be_there() -> None:
    text = "5 5 * * * me x\n"
    facts = CheckFacts(YEAR, Zone.of("UTC"), program_exists=lambda name, _path: name == "x")
    (problem,) = rules.find_problems(parser.parse(text.encode(), "jobs"), text, facts)
    assert problem.message.endswith("'me'; this crontab has no user column")


@pytest.mark.parametrize(
    ("line", "is_warned"),
    [
        ("30 2 * * * x", True),
        ("0 2-4 * * * x", True),
        ("30 4 * * * x", False),
        ("* * * * * x", False),
        ("*/10 * * * * x", False),
        ("*/20 2 * * * x", True),
        ("30 2 1 1 * x", False),
        ("@every 90m x", False),
    ],
)
def test_clock_changes(line: str, is_warned: bool) -> None:
    assert ("clock-change" in codes(f"{line}\n", zone="Europe/Berlin")) is is_warned
    assert ("clock-change" in codes(f"CRON_TZ=Europe/Berlin\n{line}\n")) is is_warned
    assert "clock-change" not in codes(f"{line}\n")


@pytest.mark.parametrize(
    ("text", "debian", "cronie"),
    [
        ("5 5 * * * x\n", False, False),
        ("0~9 * * * * x\n", True, False),
        ("5 5 * * * -n x\n", True, False),
        ("CRON_TZ=UTC\n5 5 * * * x\n", True, False),
        ("RANDOM_DELAY=5\n5 5 * * * x\n", True, False),
        ("MAILTO=\n5 5 * * * x\n", True, False),
        ("MAILTO=''\n5 5 * * * x\n", False, False),
        ("A=' b '\n5 5 * * * x\n", True, False),
        ("A=\"'b'\"\n5 5 * * * x\n", True, False),
        ("A='b'\n5 5 * * * x\n", False, False),
        ("5 5 * * * echo \\\\\\\\ %x\n", True, True),
        (f"5 5 * * * {'x' * 999}\n", True, False),
    ],
)
def test_differences_in_other_crons(text: str, debian: bool, cronie: bool) -> None:
    assert ("other-cron" in codes(text, "debian")) is debian
    assert ("other-cron" in codes(text, "cronie")) is cronie
    assert "other-cron" not in codes(text)


def test_a_leading_minus_in_a_system_crontab() -> None:
    assert codes("-5 5 * * * root x\n", system=True) == []
    assert codes("-5 5 * * * root x\n", "debian", system=True) == ["other-cron"]


def test_an_unknown_user() -> None:
    assert codes("5 5 * * * missing-one x\n5 5 * * * root x\n", system=True) == ["unknown-user"]


@pytest.mark.parametrize("source", ["option", "comment"])
def test_warnings_can_be_silenced_but_errors_cannot(source: str) -> None:
    text = "*/7 * * * * x\n61 * * * * x\n0 0 13 * 5 x\n"
    if source == "comment":
        text += "  # pycrond: ignore uneven-step, day-union bad-minute\n"
    assert codes(text, ignored="uneven-step,day-union,bad-minute" if source == "option" else "") == [
        "bad-minute"
    ]


DISTRIBUTION_CRONTAB = """\
SHELL=/bin/sh
PATH=/usr/local/sbin:/usr/local/bin:/sbin:/bin:/usr/sbin:/usr/bin
17 *\t* * *\troot    cd / && run-parts --report /etc/cron.hourly
25 6\t* * *\troot\ttest -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.daily; }
30 3 * * 0 root test -e /run/systemd/system || SERVICE_MODE=1 /usr/lib/missing/e2scrub_all_cron
10 3 * * * root test -e /run/systemd/system || SERVICE_MODE=1 /sbin/e2scrub_all -A -r
5-55/10 * * * * root command -v debian-sa1 > /dev/null && debian-sa1 1 1
09,39 *     * * *     root   [ -x /usr/lib/php/sessionclean ] && if [ ! -d /run/systemd/system ]; then x; fi
0 */12 * * * root test -x /usr/bin/certbot -a \\! -d /run/systemd/system && perl -e 'sleep int(rand(43200))'
57 0 * * 0 root if [ -x /usr/share/mdadm/checkarray ] && [ $(date +\\%d) -le 7 ]; then x; fi
*/5 * * * * root (cd /srv && ./tick) > /dev/null 2>&1
@reboot root /usr/bin/true
"""


def test_a_crontab_as_distributions_ship_it_has_no_warnings() -> None:
    assert codes(DISTRIBUTION_CRONTAB, system=True, zone="UTC") == []


@pytest.mark.parametrize(
    ("line", "seconds", "expected"),
    [
        ("*/5 * * * * x", 400.0, ["longer-than-interval"]),
        ("*/5 * * * * x", 200.0, []),
        ("0 0 * * * x", 4000.0, []),
        ("#: overlap=skip\n*/5 * * * * x", 400.0, []),
        ("@reboot x", 400.0, []),
    ],
)
def test_runs_longer_than_the_interval(line: str, seconds: float, expected: list[str]) -> None:
    parsed = parser.parse(f"{line}\n".encode(), "jobs", user="me")
    (entry,) = parsed.entries
    facts = CheckFacts(YEAR, Zone.of("UTC"), run_seconds={entry.line: seconds})
    problems = rules.find_problems(parsed, f"{line}\n", facts)
    assert [problem.code for problem in problems] == expected


def test_the_table_has_the_codes_of_all_warnings() -> None:
    """A code is the text after the severity, or the one that a rule yields before the message."""
    sources = Path(parser.__file__).parents[1]
    files = [file for name in ("crontab", "sources", "cli/check") for file in (sources / name).glob("*.py")]
    text = "\n".join(file.read_text() for file in files)
    found = re.findall(
        r'"warning", "([a-z-]+)"|yield (?:[^"\n]*, )?"([a-z-]+)", |_warn\(\w+, "([a-z-]+)"', text
    )
    assert {code for codes in found for code in codes if code} == rules.CODES
