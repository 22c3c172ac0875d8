"""check: every error and warning of crontabs, as the daemon would see them and beyond."""

import argparse
import json
import os
import shutil
import statistics
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from pycrond import clock
from pycrond.cli.check import rules as check_rules
from pycrond.cli.check.dst_effects import DstEffects
from pycrond.cli.render import formatting
from pycrond.cli.settings_layers import configured
from pycrond.crontab import parser
from pycrond.errors import Problem, PycrondError, UnreadableError
from pycrond.host import machine, users
from pycrond.jobs.job import SEARCH_PATHS
from pycrond.jobs.options import to_json
from pycrond.ledger.reader import Reader
from pycrond.settings import Settings
from pycrond.sources import files as crontab_files
from pycrond.sources import system as system_crontabs
from pycrond.sources.loader import Loader
from pycrond.text import counted, visible

SHOWN = 100  # characters of a line above its caret


@dataclass(frozen=True, slots=True)
class CheckedFile:
    """A crontab to be checked."""

    file: str
    user: str | None  # None: it has a user column
    why_not: crontab_files.PermissionCheck | None = None
    named: bool = False  # on the command line: read whatever its owner and mode


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of one."""

    file: str
    lines: list[str]
    parsed: parser.Crontab
    problems: list[Problem]


def check(wanted: argparse.Namespace) -> int:
    """Print all that is wrong; 1 where there are errors."""
    settings = configured(wanted)
    results = list(_checked(settings, wanted))
    if wanted.json:
        print(json.dumps({"files": [_document(one, verbose=wanted.verbose) for one in results]}))
    else:
        _print(results, verbose=wanted.verbose)
    return 1 if any(problem.severity == "error" for one in results for problem in one.problems) else 0


def _checked(settings: Settings, wanted: argparse.Namespace) -> Iterator[Checked]:
    own = users.by_uid(os.geteuid())
    dialect = Loader(settings, own, read_only=True).dialect
    found, problems = _sources(settings, own.name, dialect, wanted)
    for problem in problems:
        yield _unread(problem)
    nights = DstEffects(clock.now(), machine.load_zone(machine.local_zone_name(os.environ)))
    mailer, took = machine.is_mailer_available(settings.mailer), _took(settings.state_dir)
    for source in found:
        yield _check(source, dialect, nights, wanted, mailer=mailer, took=took)


def _took(state_dir: str) -> dict[str, dict[int, float]]:
    """How long the loaded jobs' latest runs took, the median by file and line; nothing without a ledger."""
    try:
        reader = Reader(state_dir)
    except PycrondError:
        return {}
    found: dict[str, dict[int, float]] = {}
    durations = reader.durations()
    for job in reader.jobs():
        if durations.get(job.key):
            found.setdefault(job.file, {})[job.line] = statistics.median(durations[job.key])
    return found


def _sources(
    settings: Settings, own: str, dialect: str, wanted: argparse.Namespace
) -> tuple[list[CheckedFile], list[Problem]]:
    """The files named, else those that the daemon would read."""
    if wanted.files:
        return [_named(file, own, wanted.system_format) for file in wanted.files], []
    found: list[CheckedFile] = []
    problems: list[Problem] = []
    if settings.system:
        rules = system_crontabs.RULES[dialect]
        tabs, problems = system_crontabs.list_system_crontabs(settings.root, rules)
        found = [
            CheckedFile(tab.file, tab.user, system_crontabs.permission_check(tab, rules)) for tab in tabs
        ]
    for directory in settings.crontabs:
        try:
            files, skipped = crontab_files.list_crontabs(directory)
        except UnreadableError as error:
            problems.append(Problem(directory, 0, 0, "error", "refused", str(error)))
        else:
            found += [CheckedFile(file, own) for file in files]
            problems += skipped
    return found, problems


def _named(file: str, own: str, system: bool) -> CheckedFile:
    return CheckedFile(file, None if system or system_crontabs.has_user_column(file) else own, named=True)


def _check(
    source: CheckedFile,
    dialect: str,
    nights: DstEffects,
    wanted: argparse.Namespace,
    *,
    mailer: bool,
    took: dict[str, dict[int, float]],
) -> Checked:
    notes = []
    why_not = source.why_not or crontab_files.permission_problem

    def noted(status: os.stat_result) -> str | None:
        reason = why_not(status)
        if reason and source.named:
            message = f"the daemon would not read it: {reason}"
            notes.append(Problem(source.file, 0, 0, "warning", "refused", message))
        return None if source.named else reason

    try:
        data = crontab_files.read_crontab(source.file, noted)
    except UnreadableError as error:
        return _unread(Problem(source.file, 0, 0, "error", "refused", str(error)))
    parsed = parser.parse(
        data,
        source.file,
        system=source.user is None,
        dialect=dialect,
        user=source.user or "",
        seed=machine.machine_id(),
    )
    text = data.decode("utf-8", "surrogateescape")
    path = SEARCH_PATHS[wanted.other or dialect]
    asked = check_rules.wanted(parsed, path)
    facts = check_rules.CheckFacts(
        nights,
        frozenset((path, name) for path, name in asked.programs if not shutil.which(name, path=path)),
        frozenset(user for user in asked.users if users.by_name(user) is None),
        path,
        wanted.other or "",
        mailer,
        took.get(source.file, {}),
    )
    ignored = [code for part in wanted.ignore for code in part.split(",")]
    problems = check_rules.lint(parsed, text, facts, ignored)
    return Checked(source.file, text.split("\n"), parsed, [*notes, *problems])


def _unread(problem: Problem) -> Checked:
    return Checked(problem.file, [], parser.Crontab(problem.file, (), ()), [problem])


def _print(results: list[Checked], *, verbose: bool) -> None:
    errors = warnings = 0
    for one in results:
        for problem in one.problems:
            errors += problem.severity == "error"
            warnings += problem.severity == "warning"
            print(f"{problem} [{problem.code}]")
            if problem.line and problem.column and problem.line <= len(one.lines):
                print(_caret(one.lines[problem.line - 1], problem.column - 1))
        if verbose:
            print(f"{one.file}: {len(one.parsed.entries)} valid entries")
    if errors or warnings:
        said = f"{counted(errors, 'error')}, {counted(warnings, 'warning')}"
        print(f"{said} in {counted(len(results), 'file')}", file=sys.stderr)


def _caret(line: str, offset: int) -> str:
    """The line, or what is around the place, and a caret below it."""
    begin = max(0, offset - SHOWN // 2) if len(line) > SHOWN else 0
    before, after = (
        visible(part.encode("utf-8", "surrogateescape")).replace("\t", " ")
        for part in (line[begin:offset], line[offset : begin + SHOWN])
    )
    return f"    {before}{after}\n    {' ' * len(before)}^"


def _document(one: Checked, *, verbose: bool) -> dict[str, object]:
    found: dict[str, object] = {
        "file": one.file,
        "entries": len(one.parsed.entries),
        "problems": [
            {name: value for name, value in formatting.problem_json(problem).items() if name != "file"}
            for problem in one.problems
        ],
    }
    if verbose:
        found["parsed"] = [
            {
                "line": entry.line,
                "schedule": entry.schedule_text,
                "zone": entry.zone,
                "user": entry.user,
                "command": entry.command,
                "stdin": entry.stdin,
                "environment": dict(entry.environment),
                "options": to_json(entry.options),
            }
            for entry in one.parsed.entries
        ]
    return found
