"""The crontab parser: from bytes to entries, and to every problem with its line and column."""

import re
from typing import NamedTuple

from pycrond.crontab import characters
from pycrond.crontab.command import split_command
from pycrond.crontab.entry_options import cluster_mistake, with_addresses
from pycrond.crontab.expression import Expression, parse_cached, parse_expression, seeded_pick
from pycrond.crontab.problems import ProblemList
from pycrond.crontab.scope import Assignment, Scope
from pycrond.crontab.syntax import explain_bad_assignment, parse_assignment
from pycrond.errors import Problem
from pycrond.jobs.job import Entry
from pycrond.jobs.options import BY_NAME, Options, Value
from pycrond.jobs.shared_identity import SharedIdentity
from pycrond.text import quoted

MAX_LINE_BYTES = 131_071  # cronie cuts a longer line silently; here it is an error

_NUMBERS = [0]
"""Line numbers, shared by all entries: each number is in memory once."""

_SCHEDULE = r"(?P<schedule>@every[ \t]++[^ \t]++|@[^ \t]*+|[^@ \t][^ \t]*+(?:[ \t]++[^ \t]++){4})"
_USER = r"(?:[ \t]++(?P<user>[^ \t]++))?+"
_COMMAND = r"[ \t]*+(?P<flags>(?:-[nqs]++(?:[ \t]++|\Z))*+)(?P<command>.*+)"
ENTRY = re.compile(_SCHEDULE + _COMMAND, re.DOTALL)
SYSTEM_ENTRY = re.compile(_SCHEDULE + _USER + _COMMAND, re.DOTALL)
"""The same with a user column, which may be missing."""

_QUIET = re.compile(r"-[^ \t]")
_FLAG = re.compile("-([nqs]+)")
_FLAG_OPTIONS: dict[str, tuple[str, Value]] = {
    "n": ("mail", "failure"),
    "q": ("log", False),
    "s": ("overlap", "skip"),
}


class Crontab(NamedTuple):
    """The parsed content of a file."""

    file: str
    entries: tuple[Entry, ...]
    problems: tuple[Problem, ...]
    """Errors and warnings in the order of the lines. A line with an error gives no entry."""
    assignments: tuple[Assignment, ...] = ()


def parse(
    data: bytes,
    file: str,
    *,
    system: bool = False,
    dialect: str = "cronie",
    user: str = "",
    seed: str = "",
    runs_as: str | None = None,
    is_roots: bool = True,
    max_entries: int = 0,
    cluster: SharedIdentity | None = None,
) -> Crontab:
    """Parse a crontab; with `system` it has a user column. Never raises for the content of the file.

    `dialect` is ``cronie`` or ``debian``. `user` owns the crontab. `seed` (the machine's id) and the text of
    an entry decide the values that `~` and `H` draw. `runs_as` becomes the user of each entry without a user
    column. Without `is_roots`, options that raise privileges have no effect and are reported. A crontab with
    more than `max_entries` entries, other lines or problems (0: no limit) gives no entry at all. `cluster` is
    the daemon's cluster; entries that a cluster cannot run are errors, or warnings without a cluster.
    """
    parser = _Parser(file, system, dialect, user, runs_as=runs_as)
    parser.seed, parser.cluster = seed, cluster
    if characters.is_utf16(data):
        message = "the file is UTF-16: save it as UTF-8, without a byte order mark"
        return Crontab(file, (), (Problem(file, 1, 1, "error", "utf-16", message),))
    text = data.decode("utf-8", "surrogateescape")
    parser.parse(text, max_entries or len(data) + 1, is_roots=is_roots)
    problems = sorted(parser.report.problems, key=lambda problem: (problem.line, problem.column))
    return Crontab(file, tuple(parser.entries), tuple(problems), tuple(parser.assignments))


class _Parser:
    """Parses one crontab, line by line."""

    def __init__(self, file: str, system: bool, dialect: str, user: str, *, runs_as: str | None) -> None:
        self.seed = ""
        self.cluster: SharedIdentity | None = None
        self.entries: list[Entry] = []
        self.assignments: list[Assignment] = []
        self.report = ProblemList(file)
        self._file = file
        self._system = system
        self._pattern = SYSTEM_ENTRY if system else ENTRY
        self._dialect = dialect
        self._user = user
        self._runs_as = runs_as
        self._hint = ": is the user column missing?" if system else ""
        self._quiet_allowed = system or user in {"", "root"}
        self._scope: Scope
        self._names: dict[tuple[str | None, str], int] = {}
        self._entry_lines = self._other_lines = 0

    def parse(self, text: str, max_entries: int, *, is_roots: bool) -> None:
        self._scope = Scope(self.report, is_roots=is_roots, has_cluster=self.cluster is not None)
        lines = self._without_carriage_returns(text).split("\n")
        while len(_NUMBERS) <= len(lines):
            _NUMBERS.append(len(_NUMBERS))
        for number, line in zip(_NUMBERS[1 : len(lines) + 1], lines, strict=True):
            start = len(line) - len(line.lstrip(" \t"))
            if start == len(line) or (line[start] == "#" and not line.startswith("#:", start)):
                continue
            if self._is_entry(number, line, start):
                self._entry_lines += 1
                self._scope.end_entry()
            else:
                self._other_lines += 1
            if self._is_beyond(max_entries):
                return
        last = lines[-1].lstrip(" \t")
        if last and not last.startswith("#"):
            message = "the last line has no newline: other crons do not run it"
            self.report(len(lines), len(lines[-1]) + 1, "warning", "no-newline", message)
        self._scope.end_file()

    def _is_entry(self, number: int, line: str, start: int) -> bool:
        """Parse a line, and return whether it is neither an assignment nor options."""
        if line[start] == "#":
            self._scope.add_options(number, line, start + 2)
            return False
        return self._has_bad_bytes(number, line) or not self._parse_line(number, line, start)

    def _is_beyond(self, limit: int) -> bool:
        """Return whether the crontab exceeds a limit; then it gives no entry, and the rest is not read."""
        if max(self._entry_lines, self._other_lines, len(self.report.problems)) <= limit:
            return False
        kind = "problems"
        if self._entry_lines > limit:
            kind = "entries"
        elif self._other_lines > limit:
            kind = "assignments and #: lines"
        message = f"not read: it has more than {limit} {kind}, at most {limit} (setting max-crontab-entries)"
        self.report(0, 0, "error", "beyond-limit", message)
        self.entries.clear()
        return True

    def _without_carriage_returns(self, text: str) -> str:
        first = re.search(r"\r(?:\n|\Z)", text)
        if not first:
            return text
        line = text.count("\n", 0, first.start()) + 1
        column = first.start() - text.rfind("\n", 0, first.start())
        message = "a line ends with CR LF: the CR is ignored, here and below; other crons keep it"
        self.report(line, column, "warning", "carriage-return", message)
        return re.sub(r"\r(?=\n|\Z)", "", text)

    def _has_bad_bytes(self, number: int, line: str) -> bool:
        if number == 1 and line.startswith("\ufeff"):
            message = "the file begins with a byte order mark: remove it"
            self.report(1, 1, "error", "byte-order-mark", message)
        elif "\0" in line:
            self.report(number, line.index("\0") + 1, "error", "nul", "the line contains a NUL byte")
        elif len(line) * 4 > MAX_LINE_BYTES and len(line.encode("utf-8", "surrogateescape")) > MAX_LINE_BYTES:
            self.report(number, 1, "error", "too-long", f"the line is longer than {MAX_LINE_BYTES} bytes")
        else:
            return False
        return True

    def _parse_line(self, number: int, line: str, start: int) -> bool:
        """Parse a line as an assignment, else as an entry, and return whether it is an assignment. cron tries
        the assignment first. A line with a valid schedule can be one only if it is a macro (``@daily = x``).
        """
        quiet = self._quiet_allowed and _QUIET.match(line, start) is not None
        match = self._pattern.match(line, start + quiet)
        expression = parse_cached(match["schedule"] if match else line[start + quiet :].rstrip(" \t"))
        if not expression.valid or line.startswith("@", start + quiet):
            text = line[start:]
            pair = parse_assignment(text)
            if pair:
                assignment = Assignment(number, start + 1, line.rindex(pair[1]) + 1, *pair)
                if self._scope.assign(assignment):
                    self.assignments.append(assignment)
                return True
            mistake = None if expression.valid else explain_bad_assignment(text)
            if mistake:
                self.report(number, start + mistake[0] + 1, "error", "bad-assignment", mistake[1])
                return False
        remark = characters.remark(match["schedule"] if match else line) if expression.flaws else ""
        for flaw in expression.flaws:
            column = start + quiet + flaw.offset + 1
            self.report(number, column, flaw.severity, flaw.code, flaw.message + remark)
            remark = ""
        if match:
            flags = self._flag(number, start + 1, "-", ("log", False)) if quiet else {}
            self._parse_entry(number, match, expression, flags)
        return False

    def _parse_entry(
        self, number: int, match: re.Match[str], expression: Expression, flags: dict[str, Value]
    ) -> None:
        column = match.start("schedule") + 1
        text = self._parse_command(number, match, flags)
        if self._scope.bad_zone:
            message = f"not run, because the time zone in line {self._scope.bad_zone} is unknown"
            self.report(number, column, "error", "bad-zone", message)
        elif text and expression.valid and not self._scope.refuses(number, column):
            self._add_entry(number, match, expression, text, self._scope.options(flags))

    def _add_entry(
        self, number: int, match: re.Match[str], expression: Expression, text: str, options: Options
    ) -> None:
        user = match["user"] if self._system else self._runs_as
        owner = user or self._user
        command, stdin = text, ""
        if "%" in text or "\\" in text:
            command, stdin = split_command(text, self._dialect)
        if self._dialect == "cronie":
            options = with_addresses(options, self._scope.environment(), owner)
        column = match.start("schedule") + 1
        has_own_name = self._has_own_name(number, column, user, options.name)
        zone, words = self._scope.zone, [self.seed, owner, expression.text, command]
        if options.is_clustered:
            mistake = cluster_mistake(options, is_reboot=not expression.schedule, has_own_name=has_own_name)
            if mistake and not self._is_accepted(number, column, *mistake):
                return
        if options.is_shared and self.cluster and self.cluster.name:
            zone, words = zone or self.cluster.zone, [self.cluster.name, f"{owner}/{options.name}"]
            if not self._scope.is_zone(zone):
                message = f"not run, because the cluster's time zone {quoted(zone)} is unknown"
                self.report(number, column, "error", "bad-zone", message)
                return
        if expression.draws:
            expression = self._draw_values(number, match, expression, words)
        self.entries.append(
            Entry(
                *(self._file, number, user, expression.schedule, expression.text),
                *("UTC" if expression.in_utc else zone, command, stdin, self._scope.environment(), options),
            )
        )

    def _is_accepted(self, number: int, column: int, attribute: str, message: str) -> bool:
        """Report an option that a cluster cannot carry out; return whether the entry is run nevertheless:
        without a cluster, it runs on this machine.
        """
        line, column = self._scope.place(attribute) or (number, column)
        self.report(line, column, "error" if self.cluster else "warning", "cluster-option", message)
        return self.cluster is None

    def _draw_values(
        self, number: int, match: re.Match[str], expression: Expression, words: list[str]
    ) -> Expression:
        """Return the expression with values drawn by `words`; report drawn days that do not exist."""
        drawn = parse_expression(match["schedule"], seeded_pick(*words))
        for flaw in drawn.flaws[len(expression.flaws) :]:
            column = match.start("schedule") + flaw.offset + 1
            self.report(number, column, flaw.severity, flaw.code, flaw.message)
        return drawn

    def _parse_command(self, number: int, match: re.Match[str], flags: dict[str, Value]) -> str | None:
        """Return the command without its flags, whose options are added to `flags`; None after an error."""
        if self._system and (match["user"] or "*").startswith("*"):
            self._report_no_user(number, match)
            return None
        for word in _FLAG.finditer(match["flags"]):
            for letter in word[1]:
                column = match.start("flags") + word.start() + 1
                flags |= self._flag(number, column, f"-{letter}", _FLAG_OPTIONS[letter])
        text, column = match["command"], match.start("command") + 1
        if text.startswith("-"):
            message = f"unknown flag {quoted(text.split()[0])} before the command (-n, -q, -s){self._hint}"
            self.report(number, column, "error", "bad-flag", message)
        elif not text:
            self.report(number, column, "error", "no-command", f"no command{self._hint}")
        elif text.startswith("*") and not self._system:
            message = "the command begins with '*': cron has no sixth field"
            self.report(number, column, "error", "sixth-field", message)
        else:
            return text
        return None

    def _flag(self, number: int, column: int, spelling: str, option: tuple[str, Value]) -> dict[str, Value]:
        """Return the option that a flag sets, if this crontab may set it."""
        name, value = option
        return self._scope.permitted(number, column, spelling, BY_NAME[name], value)

    def _report_no_user(self, number: int, match: re.Match[str]) -> None:
        if match["user"]:
            message = f"bad user {quoted(match['user'])}: cron has no sixth field"
            self.report(number, match.start("user") + 1, "error", "sixth-field", message)
        else:
            self.report(number, match.end() + 1, "error", "no-command", "no user and no command")

    def _has_own_name(self, number: int, column: int, user: str | None, name: str | None) -> bool:
        """Return whether an entry is the first with its name; report a name that is used already."""
        if name is None:
            return False
        first = self._names.setdefault((user, name), number)
        if first != number:
            message = f"the name {quoted(name)} is already used in line {first}: this job gets a hash instead"
            self.report(number, column, "warning", "duplicate-name", message)
        return first == number
