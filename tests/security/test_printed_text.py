"""No name, command, message or output of a job reaches a terminal unescaped.

Every command of the table runs, so that a new one is included, over crontabs, options and a ledger full of
control characters.
"""

import contextlib
import json
import os
import pty
import re
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pycrond.cli.main import main
from pycrond.cli.parser import COMMANDS
from pycrond.text import printable
from tests.conftest import SCRIPT, Crond, wait_until
from tests.support import documents

pytestmark = pytest.mark.daemon

FORGED = "* * * * * root forged"
CONTROLS = "\x1b[31m\x1b]0;title\x07\r\x0b\x0c\x08\x7f\x9b31m\x85\u2028\u202e\u2066\u200b\xad\udc9b\udcff"
EVIL = f"evil{CONTROLS}\n{FORGED}"
EVIL_LINE = f"evil{CONTROLS}{FORGED}"
"""The same for a crontab, where a newline ends the command."""
OWN_PROCESSES = {"start", "stop", "restart"}
"""Commands that run as processes of their own, since they fork or end the daemon."""
KEPT = {
    "canonical",
    "options",
    "state",
    "trigger",
    "reason_code",
    "zone",
    "severity",
    "kind",
    "stamp",
    "boot",
}
"""Columns whose values are not free texts: commands that read other values report that the ledger is damaged."""


def arguments(command: str, directory: Path) -> list[list[str]]:
    """Return command lines: without words, with words of control characters, and with valid words."""
    file = str(directory / "crontabs" / EVIL)
    words = {
        "check": [[file], ["--verbose"], ["--as", "debian", file], ["--json", "--verbose", file]],
        "next": [["--file", file], ["--json", "--file", file], [f"1 2 3 4 {EVIL}"], ["--tz", EVIL]],
        "explain": [[f"61 * * * {EVIL}"], ["* * * * *", "--tz", EVIL]],
        "why": [["file:1", EVIL], ["job", "12:00"], ["job", "12:00", "--json"]],
        "diff": [[str(directory / EVIL)], ["--json", str(directory / EVIL)]],
        "reload": [["--dry-run"]],
        "edit": [[file]],
        "crontab": [["-l", EVIL], ["-T", file], ["-T", EVIL], ["-u", EVIL, "-l"], [f"-{EVIL}"], ["-l", "-r"]],
        "run": [["job"], ["job", "--follow"]],
        "kill": [["job"]],
        "pause": [["job", "--reason", EVIL], ["job", "--for", EVIL]],
        "resume": [["job"], ["job"]],
        "history": [["--state", EVIL], ["--since", EVIL], ["--limit", EVIL]],
        "logs": [["--lines", "1000"], ["job"]],
        "timeline": [["--svg", "-"], ["--next"], ["--day", EVIL], ["--svg", str(directory / "none" / EVIL)]],
        "import": [["--root", str(directory / EVIL)], ["--output", str(directory / "root" / EVIL)]],
        "init": [["--directory", str(directory / EVIL / "new")], ["--directory", str(directory / EVIL / "new")]],
        "setup": [["--system", "--root", str(directory / EVIL)], ["--system", "--undo", "--root", str(directory / EVIL)]],
        "start": [["--crontabs", str(directory / f"none{EVIL}")]],
    }  # fmt: skip
    every = [[], [EVIL], [EVIL, EVIL], ["--json"], ["--json", EVIL], [f"--{EVIL}"], ["--config", EVIL]]
    if command in {"init", "crontab"}:  # without a directory or a file they write into /etc and the spool
        return words[command]
    return [*every, *words.get(command, []), ["--state-dir", str(directory / EVIL / "none")], ["--help"]]


def check(command: str, words: list[str], output: bytes) -> None:
    """Fail for a character that can change the terminal, a forged line, or invalid JSON."""
    text = output.decode()  # and nothing that is not UTF-8
    if command == "calendar":
        text = text.replace("\r\n", "\n")  # RFC 5545 ends lines so
    allowed = "\n\t" if command in {"logs", "run", "calendar"} else "\n"  # RFC 5545, too, keeps TABs
    bad = {char for char in text if char not in allowed and not char.isprintable()}
    assert not bad, f"{command} {words}: {bad} in {text!r}"
    assert not any(line.startswith(FORGED) for line in text.splitlines()), f"{command} {words}: {text!r}"


def check_command(
    command: str, words: list[str], capture: pytest.CaptureFixture[bytes], statuses: set[int]
) -> bytes:
    """Run a command in this process, check its output, and return its standard output."""
    capture.readouterr()
    status = main([command, *words])
    allowed = statuses | {2}  # wrong usage
    assert status in allowed, f"{command} {words}: {status}\n{capture.readouterr().err.decode()}"
    out, err = capture.readouterr()
    check(command, words, out)
    check(command, words, err)
    if "--json" in words and out:
        assert out.isascii(), f"{command} {words}: {out!r}"
        document = json.loads(out)
        if 70 not in statuses:  # else the ledger has words that are none
            documents.check(command, document)
    return out


@pytest.fixture
def evil(crond: Crond, monkeypatch: pytest.MonkeyPatch) -> Iterator[Crond]:
    """A daemon whose crontabs, jobs, output and problems are full of control characters."""
    other = crond.directory / EVIL
    (other / "etc").mkdir(parents=True)
    for file, text in (
        (
            crond.crontabs / EVIL,
            f"#: name=job\n@reboot echo '\t{EVIL_LINE}'; exit 1\n0 0 * * * {EVIL_LINE}\n",
        ),
        (crond.crontabs / f"bad{EVIL}", f"61 * * * * {EVIL_LINE}\n{EVIL_LINE}\nMAILTO={EVIL_LINE}\n"),
        (other / EVIL, f"1 1 * * * {EVIL_LINE}\n61 * * * * x\n"),
        (other / "etc/crontab", f"1 1 * * * root {EVIL_LINE}\n61 * * * * {EVIL_LINE}\n"),
    ):
        file.write_bytes(os.fsencode(text))
    crond.run("start")
    wait_until(lambda: [run for run in crond.runs() if run.ended_at and run.bytes])
    for name, value in crond.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("VISUAL", "false")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(crond.directory / EVIL))
    monkeypatch.chdir(crond.directory)
    yield crond


def test_commands_beside_a_daemon(evil: Crond, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    for command in COMMANDS.keys() - OWN_PROCESSES:
        for words in arguments(command, evil.directory):
            check_command(command, words, capfdbinary, {0, 1, 3})


def poison(ledger: Path, *, everything: bool) -> None:
    """Append the control characters, also invalid UTF-8, to every text of a ledger."""
    database = sqlite3.connect(ledger)
    tables = [name for (name,) in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    for table in tables:
        for row in database.execute(f"PRAGMA table_info({table})").fetchall():
            name, kind = row[1:3]
            if kind == "TEXT" and (everything or name not in KEPT):
                value = EVIL.encode("utf-8", "surrogateescape")
                database.execute(
                    f"UPDATE {table} SET {name} = coalesce({name}, '') || CAST(? AS TEXT)", [value]
                )
    database.commit()
    database.close()


@pytest.mark.parametrize("everything", [False, True])
def test_commands_over_a_crafted_ledger(
    evil: Crond, capfdbinary: pytest.CaptureFixture[bytes], everything: bool
) -> None:
    evil.run("stop")
    poison(evil.state / "ledger", everything=everything)
    statuses = {0, 1, 3, 70} if everything else {0, 1, 3}
    showing = set()
    for command in COMMANDS.keys() - OWN_PROCESSES:
        for words in arguments(command, evil.directory):
            if EVIL not in words and b"evil^[[31m" in check_command(command, words, capfdbinary, statuses):
                showing.add(command)
    shown = {
        "calendar",
        "check",
        "diff",
        "doctor",
        "history",
        "list",
        "logs",
        "next",
        "reload",
        "timeline",
        "import",
    }
    assert everything or shown <= showing


@pytest.mark.parametrize("command", sorted(OWN_PROCESSES))
def test_commands_that_start_and_stop(evil: Crond, command: str) -> None:
    elsewhere = str(evil.directory / EVIL / EVIL / "none")  # below a file
    for words in [
        *arguments(command, evil.directory)[:-2],
        ["--pidfile", elsewhere],
        ["--state-dir", elsewhere],
    ]:
        done = subprocess.run(
            [SCRIPT, command, *words], env=evil.environment, capture_output=True, check=False, timeout=60
        )
        check(command, words, done.stdout)
        check(command, words, done.stderr)


def test_a_terminal_gets_the_colours_of_pycrond_alone(evil: Crond) -> None:
    for words in (["list"], ["history"], ["logs"], ["timeline"], ["next"], ["check"]):
        ours, theirs = pty.openpty()
        environment = {**evil.environment, "TERM": "xterm", "COLUMNS": "400"}
        environment.pop("NO_COLOR", None)
        with subprocess.Popen([SCRIPT, *words], stdin=theirs, stdout=theirs, stderr=theirs, env=environment):
            os.close(theirs)
            printed = b""
            with contextlib.suppress(OSError):  # the last writer has gone
                while data := os.read(ours, 65536):
                    printed += data
        os.close(ours)
        assert printed
        text = re.sub(r"\x1b\[[0-9;]*m", "", printed.decode()).replace("\r\n", "\n")
        check("logs" if words == ["logs"] else words[0], words, text.encode())


def test_the_escaping_itself() -> None:
    assert printable(EVIL).isprintable()
    assert printable("\ud800\udfff") == "\\355\\240\\200\\355\\277\\277"
    assert printable("käse ✓ 漢字") == "käse ✓ 漢字"


def test_one_module_writes_to_the_terminal() -> None:
    """Ruff forbids `print` elsewhere; this test finds the other ways."""
    package = Path(__file__).parents[2] / "pycrond" / "cli"
    writers = {
        str(file.relative_to(package))
        for file in package.rglob("*.py")
        if re.search(r"std(?:out|err)\.(?:buffer\.)?write|print\(.*file=", file.read_text())
    }
    assert writers == {"commands/calendar.py", "printing.py", "render/terminal.py"}
