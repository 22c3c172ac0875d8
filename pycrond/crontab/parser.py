"""A crontab: bytes in; its entries, and every problem with line and column, out."""

import re
from dataclasses import dataclass

from pycrond.crontab.expression import Expression, parse_cached, parse_expression, seeded_pick
from pycrond.crontab.field import quoted
from pycrond.crontab.scope import Scope
from pycrond.crontab.syntax import explain_bad_assignment, parse_assignment, split_command
from pycrond.errors import Problem, Severity
from pycrond.jobs.job import Entry
from pycrond.jobs.options import Value

MAX_LINE_BYTES = 131_071
"""Bytes. cronie cuts a longer line silently; here it is an error."""

_NUMBERS = [0]
"""Of lines: each number once in memory, however many crontabs have such a line."""

_SCHEDULE = r"(?P<schedule>@every[ \t]++[^ \t]++|@[^ \t]*+|[^@ \t][^ \t]*+(?:[ \t]++[^ \t]++){4})"
_USER = r"(?:[ \t]++(?P<user>[^ \t]++))?+"
_COMMAND = r"[ \t]*+(?P<command>.*+)"
_ENTRY = re.compile(_SCHEDULE + _COMMAND, re.DOTALL)
_SYSTEM_ENTRY = re.compile(_SCHEDULE + _USER + _COMMAND, re.DOTALL)

_QUIET = re.compile(r"-[^ \t]")
_FLAGS = re.compile(r"-(?P<letters>[nqs]++)(?:[ \t]++|\Z)")
_MEANT_BY: dict[str, dict[str, Value]] = {
    "n": {"mail": "failure"},
    "q": {"log": False},
    "s": {"overlap": "skip"},
}


@dataclass(frozen=True, slots=True)
class Crontab:
    """What one file says."""

    file: str
    entries: tuple[Entry, ...]
    problems: tuple[Problem, ...]
    """Errors and warnings in the order of the lines. A line with an error is no entry."""


def parse(
    data: bytes,
    file: str,
    *,
    system: bool = False,
    dialect: str = "cronie",
    user: str = "",
    seed: str = "",
    runs_as: str | None = None,
) -> Crontab:
    """Read a crontab; `system` ones have a user column. Never raises for what the file says.

    `dialect` is ``cronie`` or ``debian``. `user` is whose crontab it is. `seed` (the machine's id) and
    what an entry says decide the values that `~` and `H` draw. `runs_as` becomes the user of each entry
    that has no user column.
    """
    parser = _Parser(file, system, dialect, user, seed=seed, runs_as=runs_as)
    parser.read(data.decode("utf-8", "surrogateescape"))
    problems = sorted(parser.report.problems, key=lambda problem: (problem.line, problem.column))
    return Crontab(file, tuple(parser.entries), tuple(problems))


class _Parser:
    """Reads one crontab, line by line."""

    def __init__(
        self, file: str, system: bool, dialect: str, user: str, *, seed: str, runs_as: str | None
    ) -> None:
        self.entries: list[Entry] = []
        self.report = _Report(file)
        self._file = file
        self._system = system
        self._pattern = _SYSTEM_ENTRY if system else _ENTRY
        self._dialect = dialect
        self._user = user
        self._seed = seed
        self._runs_as = runs_as
        self._quiet_allowed = system or user in {"", "root"}
        self._force = Scope(self.report)
        self._names: dict[tuple[str | None, str], int] = {}

    def read(self, text: str) -> None:
        lines = self._without_carriage_returns(text).split("\n")
        while len(_NUMBERS) <= len(lines):
            _NUMBERS.append(len(_NUMBERS))
        for number, line in zip(_NUMBERS[1 : len(lines) + 1], lines, strict=True):
            start = len(line) - len(line.lstrip(" \t"))
            if start == len(line):
                continue
            if line[start] == "#":
                if line.startswith("#:", start):
                    self._force.option_line(number, line, start + 2)
            elif self._unreadable(number, line) or not self._read_assignment(number, line, start):
                self._force.bound()
        last = lines[-1].lstrip(" \t")
        if last and not last.startswith("#"):
            message = "the last line has no newline: other crons do not run it"
            self.report(len(lines), len(lines[-1]) + 1, "warning", "no-newline", message)
        self._force.at_end()

    def _without_carriage_returns(self, text: str) -> str:
        first = re.search(r"\r(?:\n|\Z)", text)
        if not first:
            return text
        line = text.count("\n", 0, first.start()) + 1
        column = first.start() - text.rfind("\n", 0, first.start())
        message = "a line ends with CR LF: the CR is left out, here and below; other crons keep it"
        self.report(line, column, "warning", "carriage-return", message)
        return re.sub(r"\r(?=\n|\Z)", "", text)

    def _unreadable(self, number: int, line: str) -> bool:
        if number == 1 and line.startswith("\ufeff"):
            message = "the file begins with a byte order mark: remove it"
            self.report(1, 1, "error", "byte-order-mark", message)
        elif "\0" in line:
            self.report(number, line.index("\0") + 1, "error", "nul", "a NUL byte")
        elif len(line) * 4 > MAX_LINE_BYTES and len(line.encode("utf-8", "surrogateescape")) > MAX_LINE_BYTES:
            self.report(number, 1, "error", "too-long", f"the line is longer than {MAX_LINE_BYTES} bytes")
        else:
            return False
        return True

    def _read_assignment(self, number: int, line: str, start: int) -> bool:
        """Whether the line is one; else it is read as an entry. An assignment comes first in cron, but text
        that begins with a valid schedule can be one only after a macro (``@daily = x``).
        """
        quiet = self._quiet_allowed and _QUIET.match(line, start) is not None
        found = self._pattern.match(line, start + quiet)
        expression = parse_cached(found["schedule"] if found else line[start + quiet :].rstrip(" \t"))
        if not expression.valid or line.startswith("@", start + quiet):
            text = line[start:]
            pair = parse_assignment(text)
            if pair:
                self._force.assign(number, start + 1, line.rindex(pair[1]) + 1, *pair)
                return True
            wrong = None if expression.valid else explain_bad_assignment(text)
            if wrong:
                self.report(number, start + wrong[0] + 1, "error", "bad-assignment", wrong[1])
                return False
        for flaw in expression.flaws:
            self.report(number, start + quiet + flaw.offset + 1, flaw.severity, flaw.code, flaw.message)
        if found:
            self._read_entry(number, found, expression, {"log": False} if quiet else {})
        return False

    def _read_entry(
        self, number: int, found: re.Match[str], expression: Expression, meant: dict[str, Value]
    ) -> None:
        column = found.start("schedule") + 1
        text = self._command(number, found, meant)
        if self._force.bad_zone:
            message = f"not run, because the time zone in line {self._force.bad_zone} is unknown"
            self.report(number, column, "error", "bad-zone", message)
        elif text and expression.valid:
            user = found["user"] if self._system else self._runs_as
            command, given = text, ""
            if "%" in text or "\\" in text:
                command, given = split_command(text, self._dialect)
            if expression.draws:
                expression = self._drawn(number, found, expression, (user or self._user, command))
            options = self._force.options(meant)
            if options.name is not None:
                self._report_duplicate(number, column, user, options.name)
            self.entries.append(
                Entry(
                    self._file,
                    number,
                    user,
                    expression.schedule,
                    expression.text,
                    "UTC" if expression.in_utc else self._force.zone,
                    command,
                    given,
                    self._force.environment(),
                    options,
                )
            )

    def _drawn(
        self, number: int, found: re.Match[str], expression: Expression, identity: tuple[str, str]
    ) -> Expression:
        """The expression with the values drawn for this entry, which may name days that do not exist."""
        user, command = identity
        drawn = parse_expression(found["schedule"], seeded_pick(self._seed, user, expression.text, command))
        for flaw in drawn.flaws[len(expression.flaws) :]:
            column = found.start("schedule") + flaw.offset + 1
            self.report(number, column, flaw.severity, flaw.code, flaw.message)
        return drawn

    def _command(self, number: int, found: re.Match[str], meant: dict[str, Value]) -> str | None:
        """The text of the command without its flags, which are added to `meant`; None after an error."""
        if self._system and (found["user"] or "*").startswith("*"):
            self._report_no_user(number, found)
            return None
        text, column = found["command"], found.start("command") + 1
        while text.startswith("-"):
            flags = _FLAGS.match(text)
            if not flags:
                message = f"unknown flag {quoted(text.split()[0])} before the command (-n, -q, -s)"
                self.report(number, column, "error", "bad-flag", message)
                return None
            for letter in flags["letters"]:
                meant.update(_MEANT_BY[letter])
            text, column = text[flags.end() :], column + flags.end()
        if not text:
            self.report(number, column, "error", "no-command", "no command")
        elif text.startswith("*") and not self._system:
            message = "the command begins with '*': cron has no sixth field"
            self.report(number, column, "error", "sixth-field", message)
        else:
            return text
        return None

    def _report_no_user(self, number: int, found: re.Match[str]) -> None:
        if found["user"]:
            message = f"bad user {quoted(found['user'])}: cron has no sixth field"
            self.report(number, found.start("user") + 1, "error", "sixth-field", message)
        else:
            self.report(number, found.end() + 1, "error", "no-command", "no user and no command")

    def _report_duplicate(self, number: int, column: int, user: str | None, name: str) -> None:
        first = self._names.setdefault((user, name), number)
        if first != number:
            message = f"the name {quoted(name)} is taken by line {first}: this job goes by a hash"
            self.report(number, column, "warning", "duplicate-name", message)


class _Report:
    """Collects what is wrong: no part of the parser, or that would refer to itself and stay in memory."""

    def __init__(self, file: str) -> None:
        self.problems: list[Problem] = []
        self._file = file

    def __call__(self, line: int, column: int, severity: Severity, code: str, message: str) -> None:
        self.problems.append(Problem(self._file, line, column, severity, code, message))
