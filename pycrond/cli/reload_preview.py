"""The changes that a reload would make: jobs added, removed and changed, with fire times won and lost."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from pycrond import clock
from pycrond.cli.compare import JobChange, compare
from pycrond.cli.crontab_input import load_crontabs
from pycrond.cli.daemon_requests import STATUS_TIMEOUT, ask_daemon
from pycrond.cli.documents.times import ChangeDocument, DiffDocument
from pycrond.cli.printing import print_json, print_line, print_problems
from pycrond.cli.render import formatting
from pycrond.errors import Problem, PycrondError
from pycrond.host import machine
from pycrond.jobs.job import Job
from pycrond.ledger.codec import JobRows
from pycrond.ledger.reader import Reader
from pycrond.ledger.rows import JobRow
from pycrond.settings import Settings
from pycrond.sources.load_result import LoadResult
from pycrond.text import counted, rfc3339

COMPARED_DAYS = 7  # days in which fire times are compared
FIRES_SHOWN = 3  # for each job
MARKS = {"added": "+", "removed": "-", "changed": "~"}


def print_reload_preview(settings: Settings, *, as_json: bool = False) -> int:
    """Print the changes, and return the exit status of such a reload: 1 if a file has errors."""
    now = clock.now()
    loaded = load_crontabs(settings)
    after = JobRows(loaded.jobs, _daemon_zone(settings))
    changes = _compare(Reader(settings.state_dir).jobs(), [*after], now)
    errors = [problem for problem in loaded.problems if problem.severity == "error" or problem.code == "kept"]
    if as_json:
        print_json(_document(changes, errors, loaded))
    else:
        for change in changes:
            print_line(_line(change, now.astimezone()))
        kinds: list[str] = [change.kind for change in changes]
        counts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in MARKS)
        print_line(
            f"{counts}; {counted(len(loaded.jobs), 'job')} in all" if changes else "nothing would change"
        )
        print_problems(errors)
    return 1 if loaded.errors else 0


def changes_of_fire_times(
    settings: Settings, before: Sequence[Job], after: Sequence[Job], now: datetime
) -> list[str]:
    """Return a line for each job of a crontab that an edit adds, removes or changes."""
    zone = _daemon_zone(settings)
    changes = _compare([*JobRows(before, zone)], [*JobRows(after, zone)], now)
    return [_line(change, now.astimezone()) for change in changes]


def _compare(before: Sequence[JobRow], after: Sequence[JobRow], now: datetime) -> list[JobChange]:
    minute = now.replace(second=0, microsecond=0)
    until = minute + timedelta(days=COMPARED_DAYS)
    return compare(before, after, minute + timedelta(minutes=1), until)


def _daemon_zone(settings: Settings) -> str:
    """Return the zone in which the daemon runs, which may differ from this shell's."""
    try:
        return str(ask_daemon(settings, "status", timeout=STATUS_TIMEOUT)["zone"])
    except PycrondError:
        return machine.local_zone().name


def _line(change: JobChange, now: datetime) -> str:
    job = change.job
    text = f"{MARKS[change.kind]} {job.title}  {job.schedule}"
    if change.before and change.after and "schedule" in change.differences:
        text += f" (was {change.before.schedule})"
    elif change.differences:
        text += f" (changed: {', '.join(change.differences)})"
    for verb, times in (("won", change.won), ("lost", change.lost)):
        if times:
            shown = ", ".join(formatting.moment(at, now) for at in times[:FIRES_SHOWN])
            more = ", …" if len(times) > FIRES_SHOWN else ""
            text += f"; {counted(len(times), 'fire')} {verb} in {COMPARED_DAYS} days: {shown}{more}"
    return text


def _document(changes: Sequence[JobChange], errors: Sequence[Problem], loaded: LoadResult) -> DiffDocument:
    return {
        "changes": [_change_json(change) for change in changes],
        "kept": list(loaded.kept),
        "problems": [formatting.problem_json(problem) for problem in errors],
    }


def _change_json(change: JobChange) -> ChangeDocument:
    return {
        "kind": change.kind,
        "key": change.job.key,
        "name": change.job.name,
        "display_name": change.job.title,
        "file": change.job.file,
        "line": change.job.line,
        "schedule": change.job.schedule,
        "before": change.before.schedule if change.before else None,
        "what": list(change.differences),
        "won": [rfc3339(at.timestamp()) for at in change.won],
        "lost": [rfc3339(at.timestamp()) for at in change.lost],
    }
