"""Warnings about text that is legal but probably a mistake, or that another cron reads differently. Pure.

Facts about the machine come as `CheckFacts`.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import islice, pairwise
from typing import NamedTuple

from pycrond.cli.check.dst_effects import dst_effect
from pycrond.cli.check.facts import CheckFacts
from pycrond.cli.check.positions import EntryPositions, entry_positions
from pycrond.cli.check.program_name import BUILTINS, SHELLS, program_name
from pycrond.cli.check.shell_text import PLAIN_SHELLS, bash_words, look_alikes
from pycrond.cli.check.variables import assignment_warnings
from pycrond.crontab.command import command_end
from pycrond.crontab.field import DAY_OF_MONTH, DAY_OF_WEEK, HOUR, MINUTE
from pycrond.crontab.parser import Crontab
from pycrond.errors import Problem
from pycrond.jobs.job import Entry
from pycrond.jobs.options import to_json
from pycrond.schedule.schedule import LAST_WALL, Schedule
from pycrond.schedule.timezone import Zone
from pycrond.text import duration, quoted

SAMPLED_FIRE_TIMES = 300  # fire times among which the shortest interval of a schedule is found
SAMPLE_START = 29_000_000  # wall minute
MAX_DEBIAN_COMMAND = 998  # bytes of a command in Debian cron

STRICT = {"unknown-option", "needs-root", "cluster-option"}
"""The codes of the parser's warnings that are errors here: the job runs, but not as its author wants."""
CODES = frozenset(
    """
    bad-address bad-content-type bad-name bad-option bad-random-delay bash-word carriage-return clock-change
    cluster-option day-union duplicate-name ends-in-sunday extension further-problems jitter kept large-step
    longer-than-interval look-alike missing-home missing-program needs-root never-matches
    no-cluster no-newline not-expanded orphan other-cron percent reversed-range schedule-in-value skipped
    unbound-options uneven-step unknown-option unknown-user without-effect
    """.split()  # noqa: SIM905 -- easier to read than a list
)
"""The codes of all warnings."""
_IGNORE = re.compile(r"^[ \t]*#[ \t]*pycrond: ignore ([\w, -]+)$", re.MULTILINE)
_STEP = re.compile(r"\*/([0-9]+)")


class _CheckedEntry(NamedTuple):
    """The input of a rule: an entry, its line and the facts."""

    entry: Entry
    line: str
    at: EntryPositions
    facts: CheckFacts


def find_problems(
    crontab: Crontab, text: str, facts: CheckFacts, ignored: Iterable[str] = ()
) -> list[Problem]:
    """Return the parser's problems and the warnings of all rules, in the order of the lines.

    An unknown option and an option that needs root's crontab are errors here. Warnings are left out if
    `ignored` or a comment ``# pycrond: ignore CODE``, anywhere in the file, has their code.
    """
    lines = text.replace("\r\n", "\n").split("\n")
    silent = set(ignored)
    for comment in _IGNORE.finditer(text):
        silent.update(re.split(r"[, \t]+", comment[1].strip()))
    problems = [
        problem._replace(severity="error") if problem.code in STRICT else problem
        for problem in crontab.problems
    ]
    problems += [
        Problem(crontab.file, line, offset + 1, "warning", code, message)
        for line, offset, code, message in _warnings(crontab, lines, facts)
    ]
    kept = [problem for problem in problems if problem.severity == "error" or problem.code not in silent]
    return sorted(kept, key=lambda problem: (problem.line, problem.column))


def _warnings(crontab: Crontab, lines: list[str], facts: CheckFacts) -> Iterator[tuple[int, int, str, str]]:
    """Yield line, offset in the line, code and message."""
    for entry in crontab.entries:
        line = lines[entry.line - 1]
        checked = _CheckedEntry(entry, line, entry_positions(line, entry), facts)
        for rule in RULES:
            for offset, code, message in rule(checked):
                yield entry.line, offset, code, message
    variables = dict.fromkeys(("HOME", "PATH", "SHELL", "LOGNAME", "USER"), "")
    for assignment in crontab.assignments:
        for code, message in assignment_warnings(assignment, lines[assignment.line - 1], variables, facts):
            yield assignment.line, assignment.column - 1, code, message
        variables[assignment.name] = assignment.value


RuleWarnings = Iterator[tuple[int, str, str]]
"""Offset in the line, code, message."""


def _day_union(checked: _CheckedEntry) -> RuleWarnings:
    words = checked.entry.schedule_text.split(" ")
    if len(words) != 5 or words[2][0] == "*" or words[4][0] == "*":
        return
    message = (
        f"runs on each day that matches {DAY_OF_MONTH.name} {words[2]} or {DAY_OF_WEEK.name} {words[4]}:"
        " either is enough, because neither begins with *"
    )
    yield checked.at.words[2], "day-union", message


def _steps(checked: _CheckedEntry) -> RuleWarnings:
    words = checked.entry.schedule_text.split(" ")
    if len(words) != 5:
        return
    for index, (unit, size) in enumerate(((MINUTE, 60), (HOUR, 24), (DAY_OF_MONTH, 31))):
        match = _STEP.fullmatch(words[index])
        step = int(match[1]) if match else 1
        if step >= size:
            message = f"{words[index]} means {unit.first} only: the step is not shorter than the field"
            yield checked.at.words[index], "large-step", message
        elif size % step:
            last = unit.first + (size - 1) // step * step
            message = f"uneven: after {unit.name} {last} comes {unit.first} again, not {step} later"
            yield checked.at.words[index], "uneven-step", message


def _clock_change(checked: _CheckedEntry) -> RuleWarnings:
    entry, facts = checked.entry, checked.facts
    zone = facts.zone if entry.zone is None else Zone.of(entry.zone)
    if entry.schedule and (effect := dst_effect(entry.schedule, zone, facts.year)):
        yield checked.at.words[0], "clock-change", effect


def _percent(checked: _CheckedEntry) -> RuleWarnings:
    offset = command_end(checked.line, checked.at.command)
    if offset < len(checked.line):
        message = "an unescaped % ends the command; the rest is its standard input (write \\%)"
        yield offset, "percent", message


def _missing_program(checked: _CheckedEntry) -> RuleWarnings:
    environment = dict(checked.entry.environment)
    if environment.get("SHELL", "sh").rpartition("/")[2] not in SHELLS:
        return
    user, name = checked.entry.user, program_name(checked.entry.command)
    if user is not None and not checked.facts.user_exists(user):
        return  # the user column may be missing
    path = environment.get("PATH", checked.facts.default_path)
    if name and not checked.facts.program_exists(name, path):
        reason = "there is no program" if name.startswith("/") else f"not found in PATH ({path}):"
        is_user = user is None and "/" not in name and checked.facts.user_exists(name)
        hint = "; this crontab has no user column" if is_user else ""
        yield checked.at.command, "missing-program", f"{reason} {quoted(name)}{hint}"


def _unknown_user(checked: _CheckedEntry) -> RuleWarnings:
    user = checked.entry.user
    if user is not None and not checked.facts.user_exists(user):
        command = program_name(user) or user
        path = dict(checked.entry.environment).get("PATH", checked.facts.default_path)
        is_command = (
            re.search(r"[^\w.-]", user) or command in BUILTINS or checked.facts.program_exists(user, path)
        )
        hint = ": is the user column missing?" if is_command else ""
        yield checked.at.user, "unknown-user", f"there is no user {quoted(user)}{hint}"


def _shell_text(checked: _CheckedEntry) -> RuleWarnings:
    """Warn of words of bash under a shell that does not know them, and of typographic characters."""
    start, shell = checked.at.command, dict(checked.entry.environment).get("SHELL") or "/bin/sh"
    text = checked.line[start:].removesuffix("\r")
    for offset, message in look_alikes(text):
        yield start + offset, "look-alike", message
    if (name := checked.facts.shell_name(shell)) in PLAIN_SHELLS:
        runs = shell if shell.endswith(f"/{name}") else f"{shell} ({name})"
        for offset, message in bash_words(text, runs):
            yield start + offset, "bash-word", message


def _jitter(checked: _CheckedEntry) -> RuleWarnings:
    options = checked.entry.options
    if options.within is not None and options.jitter > options.within:
        message = (
            f"the jitter of up to {duration(options.jitter)} is longer than the {duration(options.within)}"
            " of within: a fire that it delays for longer is missed"
        )
        yield checked.at.words[0], "jitter", message


def _without_effect(checked: _CheckedEntry) -> RuleWarnings:
    """Warn of options for fires that one node claims, if each node runs the job."""
    options = checked.entry.options
    idle = [name for name in ("node-loss", "on-partition") if name in to_json(options)]
    if idle and not options.is_shared:
        are = "have" if idle[1:] else "has"
        message = f"{' and '.join(idle)} {are} no effect without on=one or on=one:LABEL"
        yield checked.at.words[0], "without-effect", message


def _no_cluster(checked: _CheckedEntry) -> RuleWarnings:
    """Warn of options for a cluster on a machine without one."""
    options = checked.entry.options
    if options.on != "every" and not checked.facts.has_cluster:
        message = f"on={options.on}: without the setting cluster, this machine runs the job as with on=every"
        yield checked.at.words[0], "no-cluster", message
    if options.cluster_lock is not None and not checked.facts.has_cluster:
        message = f"lock={options.lock}: without the setting cluster, it locks jobs of this machine only"
        yield checked.at.words[0], "no-cluster", message


_EXTENSION = re.compile(
    r"@every.*|(?:.*[ ,])?H.*"
    r"|(?:\S+ ){2}\S*(?:L|[0-9]W)\S*(?: \S+){2}"
    r"|(?:\S+ ){4}\S*(?:[0-9a-z]L(?![a-z])|#)\S*",
    re.IGNORECASE,
)
_OPEN_RANGE = re.compile(r".*(?:~(?![0-9])|(?:^|[ ,])~|~[0-9]+/).*")


def _extension(checked: _CheckedEntry) -> RuleWarnings:
    text = checked.entry.schedule_text
    if _EXTENSION.fullmatch(text) or _OPEN_RANGE.fullmatch(text):
        message = f"{quoted(text)} is an extension, which other crons refuse"
        yield checked.at.words[0], "extension", message


def _other_cron(checked: _CheckedEntry) -> RuleWarnings:
    """Warn of parts that the other cron reads differently."""
    schedule_text, at = checked.entry.schedule_text, checked.at
    command = checked.line[at.command :]
    if checked.facts.other_cron == "cronie" and "\\\\" in command and "%" in command:
        yield at.command, "other-cron", "cronie keeps both of two backslashes"
    if checked.facts.other_cron != "debian":
        return
    if "~" in schedule_text and not _OPEN_RANGE.fullmatch(schedule_text):
        yield at.words[0], "other-cron", "Debian cron refuses ~, and with it the whole file"
    if at.quiet:
        message = "Debian cron refuses the - before the minute, and with it the whole file"
        yield at.words[0], "other-cron", message
    if at.flags != at.command:
        yield at.flags, "other-cron", "Debian cron reads the flag as part of the command"
    if "\\\\" in command:
        yield at.command, "other-cron", "Debian cron reads two backslashes as one"
    if len(command.encode("utf-8", "surrogateescape")) > MAX_DEBIAN_COMMAND:
        message = f"Debian cron refuses commands of more than {MAX_DEBIAN_COMMAND} bytes"
        yield at.command, "other-cron", message


def _longer_than_interval(checked: _CheckedEntry) -> RuleWarnings:
    """Warn of runs that last longer than the interval between fire times, and therefore overlap."""
    entry = checked.entry
    seconds = checked.facts.run_seconds.get(entry.line)
    if entry.schedule is None or seconds is None or entry.options.overlap != "allow":
        return
    interval = _shortest_interval(entry.schedule) * 60
    if 0 < interval < seconds:
        message = (
            f"its runs take {duration(seconds)}, but it is due again after {duration(interval)}:"
            " set overlap=skip or overlap=queue"
        )
        yield checked.at.words[0], "longer-than-interval", message


def _shortest_interval(schedule: Schedule) -> int:
    """Return the least number of wall minutes between two fire times; 0 if there are not two."""
    walls = islice(schedule.walls(SAMPLE_START, LAST_WALL), SAMPLED_FIRE_TIMES)
    return min((after - before for before, after in pairwise(walls)), default=0)


RULES: tuple[Callable[[_CheckedEntry], RuleWarnings], ...] = (
    *(_day_union, _steps, _clock_change, _percent, _missing_program, _unknown_user, _shell_text, _jitter),
    *(_without_effect, _no_cluster, _extension, _other_cron, _longer_than_interval),
)
