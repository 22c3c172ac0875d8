"""The manual pages name every command, option, setting, file and message; mandoc reports no fault in them."""

import argparse
import ast
import functools
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pycrond import settings
from pycrond.cli.parser import build_parser
from pycrond.crontab import parser
from pycrond.crontab.expression import MACROS
from pycrond.crontab.field import FIELDS, Field
from pycrond.errors import NotRunningError, PycrondError
from pycrond.host import signals
from pycrond.jobs import options
from pycrond.jobs.job import Account, make_jobs
from pycrond.jobs.run import Fire
from pycrond.runs.command import describe
from tests.conftest import Crond
from tests.support import packages

ROOT = Path(__file__).parent.parent
PAGES = sorted((ROOT / "man").iterdir())


@functools.cache
def source(page: str) -> str:
    """Return a page's source, with options spelled as they are typed: `Fl Fl json` becomes --json."""
    text = (ROOT / "man" / page).read_text()
    return re.sub(r"\bFl (?=\w)", "-", re.sub(r"\bFl Fl ", "--", text))


def section(page: str, title: str) -> str:
    """Return the text from a heading of a section or subsection to the next heading."""
    match = re.search(rf"^\.S[sh] {title}\n(.*?)(?=^\.S[sh] |\Z)", source(page), re.MULTILINE | re.DOTALL)
    assert match, f"{page} has no section {title}"
    return match[1]


def names(text: str, word: str) -> bool:
    return re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", text) is not None


def program_sources() -> Iterator[tuple[Path, str]]:
    for path in sorted((ROOT / "pycrond").rglob("*.py")):
        yield path, path.read_text()


def commands() -> dict[str, argparse.ArgumentParser]:
    actions = (action for action in build_parser()._actions if isinstance(action, argparse._SubParsersAction))
    return dict(next(actions).choices)


# pycrond(8)


@pytest.mark.parametrize("name", commands())
def test_every_command_has_its_paragraph(name: str) -> None:
    assert re.search(rf"^\.It Cm {name}\b", section("pycrond.8", "COMMANDS"), re.MULTILINE)
    assert names(section("pycrond.8", "SYNOPSIS"), name)


OPTIONS = sorted(
    {
        option
        for command in commands().values()
        for action in command._actions
        for option in action.option_strings
    }
)


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_is_named(option: str) -> None:
    assert names(section("pycrond.8", "COMMANDS") + section("pycrond.8", "SETTINGS"), option)


@pytest.mark.parametrize("name", settings.SETTINGS)
def test_every_setting_has_its_paragraph_and_variable(name: str) -> None:
    assert re.search(
        rf"^\.It {settings.SETTINGS[name].flag}\b", section("pycrond.8", "SETTINGS"), re.MULTILINE
    )
    assert names(section("pycrond.8", "ENVIRONMENT"), settings.SETTINGS[name].variable)


def test_every_value_of_a_setting_is_named() -> None:
    text = section("pycrond.8", "SETTINGS")
    for allowed in (list(settings.FACILITIES)[:-8], ("local0", "local7", "rfc3164", "rfc5424")):
        assert not [word for word in allowed if not names(text, word)]


READ = re.compile(r'(?:environ\[|environ\.get\(|_user_dir\()"([A-Z_]+[A-Z])"|"([A-Z_]+)" in (?:os\.)?environ')


def test_every_variable_that_is_read_is_named() -> None:
    matches = [pair for _, text in program_sources() for pair in READ.findall(text)]
    read = {name for pair in matches for name in pair if name}
    assert {"TZ", "COLUMNS", "NOTIFY_SOCKET", "XDG_STATE_HOME"} <= read  # else the pattern matches nothing
    assert not [name for name in read if not names(section("pycrond.8", "ENVIRONMENT"), name)]


def test_every_exit_status_is_named() -> None:
    text = (ROOT / "pycrond/cli/main.py").read_text()
    main = next(
        node
        for node in ast.parse(text).body
        if isinstance(node, ast.FunctionDef) and node.name == "_status_of"
    )
    returned = {
        node.value.value
        for node in ast.walk(main)
        if isinstance(node, ast.Return) and isinstance(node.value, ast.Constant)
    }
    statuses = {0, 2, PycrondError.status, NotRunningError.status} | returned
    documented = re.findall(r"^\.It (\d+)$", section("pycrond.8", "EXIT STATUS"), re.MULTILINE)
    assert {int(status) for status in documented} == statuses


@pytest.mark.parametrize("number", sorted(set(signals.HANDLED) - {signal.SIGCHLD}))
def test_every_signal_is_named(number: int) -> None:
    assert names(section("pycrond.8", "SIGNALS"), signal.Signals(number).name)


def test_every_kind_of_log_line_is_named() -> None:
    words = {word for _, text in program_sources() for word in re.findall(r'\bwrite\(\s*"([A-Z]+)"', text)}
    assert {"STARTUP", "SHUTDOWN"} <= words  # else the pattern matches nothing
    words |= {"ERROR", "WARNING", "CMD", "CMDOUT", "CMDEND", "EXIT"}
    assert not [word for word in words if not names(section("pycrond.8", "LOG LINES"), word)]


@pytest.mark.parametrize("name", ["a~", "a.bak", "a.swp", "a.orig", "a.rej", "a.dpkg-new", "a.rpmsave"])
def test_every_name_that_is_skipped_is_named(name: str) -> None:
    ending = re.sub(r"-new|save", "", name[1:])
    assert ending in section("pycrond.8", "CRONTABS THAT ARE READ")


@pytest.mark.daemon
def test_everything_a_daemon_leaves_is_named(crond: Crond) -> None:
    crond.write("jobs", "* * * * * true\n@reboot echo hello\n")
    crond.run("start")
    listed = re.findall(r"(STATE|RUNTIME)/([\w.-]+)", section("pycrond.8", "FILES"))
    for place, directory in (("STATE", crond.state), ("RUNTIME", crond.runtime)):
        prefixes = tuple(name for root, name in listed if root == place)
        assert not [name for name in os.listdir(directory) if not name.startswith(prefixes)]


# pycrond.crontab(5)


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_every_field_has_its_row(field: Field) -> None:
    row = (
        f".It {field.name.replace('-', ' ')} Ta {field.first}-{field.last} Ta {' '.join(field.names)}".strip()
    )
    assert row in section("pycrond.crontab.5", "ENTRIES").splitlines()


@pytest.mark.parametrize("macro", [*MACROS, "@reboot", "@every"])
def test_every_macro_is_named(macro: str) -> None:
    assert names(source("pycrond.crontab.5"), macro)


@pytest.mark.parametrize(("macro", "stands_for"), MACROS.items())
def test_the_fields_of_every_macro(macro: str, stands_for: str) -> None:
    assert re.search(
        rf"^\.It Li .*{macro}\b.*\n\.Li {re.escape(stands_for)}$", source("pycrond.crontab.5"), re.MULTILINE
    )


@pytest.mark.parametrize(
    "schedule",
    [
        *("*/15 * * * *", "0 9-17/2 * * *", "0 22-2 * * *", "0 0 * * fri-sun", "0 0 30 2 *"),
        *("0 0 L * *", "0 0 L-3 * *", "0 0 L-30 * *", "0 0 LW * *", "0 0 15W * *"),
        *("0 0 * * 5L", "0 0 * * friL", "0 0 * * mon#2", "0 0 * * 1#2"),
        *("0~9 * * * *", "~ * * * *", "0~29/10 * * * *", "H * * * *", "H/15 * * * *", "H(0-29) * * * *"),
        *("H(0-29)/10 * * * *", "@every 90m", "@every 2h", "@every 1d12h", "@every_minute"),
    ],
)
def test_every_schedule_of_the_page_is_accepted(schedule: str) -> None:
    assert len(parser.parse(f"{schedule} true\n".encode(), "page").entries) == 1


@pytest.mark.parametrize(
    "schedule", ["5/15 * * * *", "60 * * * *", "*/0 * * * *", "? * * * *", "R * * * *", "0 0 * * monday"]
)
def test_every_error_of_the_page_is_an_error(schedule: str) -> None:
    assert not parser.parse(f"{schedule} true\n".encode(), "page").entries


@pytest.mark.parametrize("option", options.OPTIONS, ids=lambda option: option.name)
def test_every_option_of_a_job_has_its_paragraph(option: options.Option) -> None:
    assert re.search(rf"^\.It Cm {option.name}= ", section("pycrond.crontab.5", "OPTIONS"), re.MULTILINE)


def test_the_options_section_is_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "docs" / "manual.py", "--check"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_every_variable_of_a_job_is_named() -> None:
    entry = parser.parse(b"* * * * * true\n", "one").entries
    fire = Fire(make_jobs(entry, "me")[0], datetime.now(UTC), 0)
    launch = describe(fire, 1, Account("me", 1, 1, "/"), "fifo", "/bin", state_dir="/")
    text = section("pycrond.crontab.5", "ASSIGNMENTS")
    assert not [name for name in launch.environment if not names(text, name)]


def test_the_example_has_no_problems() -> None:
    match = re.search(
        r"^\.Bd -literal\n(.*?)^\.Ed$", section("pycrond.crontab.5", "EXAMPLES"), re.MULTILINE | re.DOTALL
    )
    assert match
    read = parser.parse(match[1].replace(r"\e", "\\").encode(), "example")
    assert read.entries
    assert not read.problems


def test_limits() -> None:
    assert names(section("pycrond.crontab.5", "BYTES AND LIMITS"), str(parser.MAX_LINE_BYTES))


# Both


@functools.cache
def mandoc() -> str:
    packages.install("mandoc", lambda: shutil.which("mandoc"))
    return "mandoc"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_mandoc_reports_no_fault(page: Path) -> None:
    done = subprocess.run(
        [mandoc(), "-T", "lint", "-W", "warning", page], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")
