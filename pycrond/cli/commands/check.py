"""check: print all errors and warnings about crontabs, more than the daemon reports."""

import argparse
import os
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from pycrond.cli.arguments import add_json
from pycrond.cli.check.checker import CheckedCrontab, CrontabChecker
from pycrond.cli.check.rules import CODES
from pycrond.cli.crontab_input import cluster_identity, read_named_crontab
from pycrond.cli.documents.reports import CheckDocument, CheckedFileDocument
from pycrond.cli.not_loaded import FileChange, unloaded_changes
from pycrond.cli.parser import suggestion
from pycrond.cli.printing import caret, print_error, print_json, print_line
from pycrond.cli.render.formatting import file_problem_json
from pycrond.cli.settings_layers import load_settings
from pycrond.crontab.parser import Crontab
from pycrond.errors import Problem, PycrondError, UnreadableError
from pycrond.host import users
from pycrond.jobs.job import Account
from pycrond.jobs.options import to_json
from pycrond.ledger.reader import Reader
from pycrond.settings import Settings
from pycrond.sources import file_rules
from pycrond.sources import files as crontab_files
from pycrond.sources import system as system_crontabs
from pycrond.text import counted


class FileToCheck(NamedTuple):
    """A crontab to be checked."""

    file: str
    user: str | None
    """None for a file with a user column."""
    permission_check: file_rules.PermissionCheck = file_rules.OWN_CHECK
    is_named: bool = False
    """True for a file of the command line, which is read whatever its owner and mode."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    about = "check these instead of the daemon's crontabs; - is standard input"
    parser.add_argument("files", nargs="*", metavar="FILE", help=about)
    parser.add_argument("--system-format", action="store_true", help="the files have a user column")
    about = "report also what this cron would read differently"
    parser.add_argument("--as", dest="other", choices=("debian", "cronie"), help=about)
    about = "leave out warnings with this code"
    parser.add_argument(
        "--ignore", type=_warning_codes, action="extend", default=[], metavar="CODE", help=about
    )
    about = "print the number of valid entries; with --json the parsed entries"
    parser.add_argument("--verbose", action="store_true", help=about)
    add_json(parser, CheckDocument)


def _warning_codes(text: str) -> list[str]:
    """The type of codes of warnings."""
    codes = text.split(",")
    for code in codes:
        if code not in CODES:
            near = suggestion(code, CODES) or "; see 'check' in pycrond(8)"
            raise argparse.ArgumentTypeError(f"'{code}' is the code of no warning{near}")
    return codes


def run(options: argparse.Namespace) -> int:
    """Print all problems; 1 if there are errors."""
    settings = load_settings(options)
    results = list(_checked(settings, options))
    named = {os.path.abspath(file) for file in options.files}
    changes = [change for change in unloaded_changes(settings) if not named or change.file in named]
    if options.json:
        document: CheckDocument = {
            "files": [_document(crontab, verbose=options.verbose) for crontab in results]
        }
        if changes:
            document["not_loaded"] = [change.document() for change in changes]
        print_json(document)
    else:
        _print(results, changes, verbose=options.verbose)
    problems = [problem for crontab in results for problem in crontab.problems]
    return 1 if any(problem.severity == "error" for problem in problems) else 0


def _checked(settings: Settings, options: argparse.Namespace) -> Iterator[CheckedCrontab]:
    own = users.by_uid(os.geteuid())
    dialect = system_crontabs.dialect_of(settings)
    files: list[FileToCheck] = []
    for file in options.files:
        has_user_column = options.system_format or system_crontabs.has_user_column(file)
        user = None if has_user_column else _owner(file, settings, own)
        files.append(FileToCheck(file, user, is_named=True))
    if not options.files:
        files, problems = _daemon_files(settings, own.name, dialect)
        yield from map(_unread, problems)
    daemon_user = users.by_uid(0).name if settings.system else own.name
    checker = CrontabChecker(
        dialect,
        settings.mailer,
        daemon_user=daemon_user,
        other_cron=options.other or "",
        cluster=cluster_identity(settings),
    )
    run_seconds = _run_seconds(settings.state_dir)
    for source in files:
        yield _check(checker, source, run_seconds.get(source.file, {}), options.ignore)


def _owner(file: str, settings: Settings, own: Account) -> str:
    """Return the user of a crontab: its name if it is in the spool, else the caller, or for root the owner of
    the file.
    """
    *_, spool = system_crontabs.system_paths(settings.root)
    directory, name = os.path.split(os.path.abspath(file))
    if directory == spool and users.by_name(name):
        return name
    try:
        return own.name if own.uid else users.by_uid(os.stat(file).st_uid).name
    except OSError:
        return own.name


def _run_seconds(state_dir: str) -> dict[str, dict[int, float]]:
    """Return the median duration of each job's latest runs, by file and line; empty without a ledger."""
    try:
        reader = Reader(state_dir)
    except PycrondError:
        return {}
    medians: dict[str, dict[int, float]] = {}
    durations = reader.durations()
    for job in reader.jobs():
        if durations.get(job.key):
            medians.setdefault(job.file, {})[job.line] = statistics.median(durations[job.key])
    return medians


def _daemon_files(settings: Settings, user: str, dialect: str) -> tuple[list[FileToCheck], list[Problem]]:
    """Return the files that the daemon would read, and a problem for each file that it would not."""
    to_check: list[FileToCheck] = []
    problems: list[Problem] = []
    if settings.system:
        crontabs, problems = system_crontabs.list_system_crontabs(settings.root, dialect)
        to_check += [FileToCheck(crontab.file, crontab.user, crontab.check) for crontab in crontabs]
    for directory in settings.crontabs:
        try:
            files, skipped = crontab_files.list_crontabs(directory)
        except UnreadableError as error:
            problems.append(Problem(directory, 0, 0, "error", "refused", str(error)))
        else:
            to_check += [FileToCheck(file, user) for file in files]
            problems += skipped
    return to_check, problems


def _check(
    checker: CrontabChecker, source: FileToCheck, run_seconds: Mapping[int, float], ignored: Sequence[str]
) -> CheckedCrontab:
    refusals = []

    def refusal(status: os.stat_result) -> str | None:
        reason = source.permission_check.problem(status)
        if not (reason and source.is_named):
            return reason
        message = f"the daemon would not read it: {reason}"
        refusals.append(Problem(source.file, 0, 0, "warning", "refused", message))
        return None

    try:
        follows_links = source.is_named or source.permission_check.follows_links
        check = file_rules.PermissionCheck(refusal, follows_links)
        data = read_named_crontab(source.file, check)
    except UnreadableError as error:
        return _unread(Problem(source.file, 0, 0, "error", "refused", str(error)))
    crontab = checker.check(data, source.file, source.user, run_seconds=run_seconds, ignored=ignored)
    return crontab._replace(problems=[*refusals, *crontab.problems])


def _unread(problem: Problem) -> CheckedCrontab:
    return CheckedCrontab(Crontab(problem.file, (), ()), [], [problem])


def _print(results: list[CheckedCrontab], changes: list[FileChange], *, verbose: bool) -> None:
    errors = warnings = 0
    for crontab in results:
        for problem in crontab.problems:
            errors += problem.severity == "error"
            warnings += problem.severity == "warning"
            for line in (f"{problem} [{problem.code}]", *caret(problem, crontab.lines)):
                print_line(line)
        if verbose:
            print_line(f"{crontab.parsed.file}: {len(crontab.parsed.entries)} valid entries")
    for change in changes:
        print_line(str(change))
    if errors or warnings:
        counts = f"{counted(errors, 'error')}, {counted(warnings, 'warning')}"
        print_error(f"{counts} in {counted(len(results), 'file')}")
    else:
        entries = sum(len(crontab.parsed.entries) for crontab in results)
        print_line(f"ok: {counted(entries, 'job')} in {counted(len(results), 'file')}")


def _document(crontab: CheckedCrontab, *, verbose: bool) -> CheckedFileDocument:
    document: CheckedFileDocument = {
        "file": crontab.parsed.file,
        "entries": len(crontab.parsed.entries),
        "problems": [file_problem_json(problem) for problem in crontab.problems],
    }
    if verbose:
        document["parsed"] = [
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
            for entry in crontab.parsed.entries
        ]
    return document
