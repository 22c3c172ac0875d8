"""diff, edit: what a reload would change, and a change made so that no error gets in."""

import argparse
import contextlib
import json
import os
import shlex
import subprocess
import sys
import tempfile
from dataclasses import replace
from datetime import datetime, timedelta

from pycrond import clock
from pycrond.cli.commands.show import print_problems
from pycrond.cli.compare import JobChange, compare
from pycrond.cli.data.access import reload_and_wait
from pycrond.cli.render import formatting
from pycrond.cli.settings_layers import configured
from pycrond.control import protocol
from pycrond.crontab import parser
from pycrond.errors import NotRunningError, Problem, PycrondError
from pycrond.host import machine, users
from pycrond.ledger.codec import JobRows
from pycrond.ledger.reader import Reader
from pycrond.settings import Settings
from pycrond.sources import system
from pycrond.sources.loader import Loader, LoadResult
from pycrond.text import counted, rfc3339

AHEAD = timedelta(days=7)  # in which fire times are compared
SHOWN = 3  # fire times named of a job
MARKS = {"added": "+", "removed": "-", "changed": "~"}


def diff(wanted: argparse.Namespace) -> int:
    """What a reload would change; with a DIR, if the crontabs were those in it. 1 if a file has errors."""
    settings = configured(wanted)
    if wanted.directory:
        settings = replace(settings, crontabs=(os.path.abspath(wanted.directory),))
    return show_changes(settings, as_json=wanted.json)


def show_changes(settings: Settings, *, as_json: bool = False) -> int:
    """Print what a reload would change; the exit status that it would have."""
    now = clock.now()
    start = now.replace(second=0, microsecond=0)
    loaded = _loaded(settings)
    own = _daemons_zone(settings)
    after = list(JobRows(loaded.jobs, own))
    before = Reader(settings.state_dir).jobs()
    changes = compare(before, after, machine.load_zone, start + timedelta(minutes=1), start + AHEAD)
    errors = [one for one in loaded.problems if one.severity == "error"]
    if as_json:
        print(json.dumps(_document(changes, errors, loaded)))
    else:
        for change in changes:
            print(_line(change, now.astimezone()))
        kinds = [change.kind for change in changes]
        said = ", ".join(f"{kinds.count(kind)} {kind}" for kind in MARKS)
        print(f"{said}; {counted(len(loaded.jobs), 'job')} in all" if changes else "nothing would change")
        print_problems(errors, sys.stderr)
    return 1 if errors else 0


def _daemons_zone(settings: Settings) -> str:
    """The one that the daemon runs in, which need not be this shell's."""
    try:
        answer = protocol.ask(os.path.join(settings.runtime_dir, "control.sock"), {"command": "status"})
    except PycrondError:
        return machine.load_zone(machine.local_zone_name(os.environ)).name
    return str(answer["zone"])


def _loaded(settings: Settings) -> LoadResult:
    return Loader(settings, users.by_uid(os.geteuid()), read_only=True).load()


def _line(change: JobChange, now: datetime) -> str:
    job = change.job
    text = f"{MARKS[change.kind]} {formatting.title(job.key, job.name, job.command)}  {job.schedule}"
    if change.before and change.after and "schedule" in change.what:
        text += f" (was {change.before.schedule})"
    elif change.what:
        text += f" (other {', '.join(change.what)})"
    for word, times in (("won", change.won), ("lost", change.lost)):
        if times:
            named = ", ".join(formatting.moment(at, now) for at in times[:SHOWN])
            more = ", …" if len(times) > SHOWN else ""
            text += f"; {counted(len(times), 'fire')} {word} in 7 days: {named}{more}"
    return text


def _document(changes: list[JobChange], errors: list[Problem], loaded: LoadResult) -> dict[str, object]:
    return {
        "changes": [
            {
                "kind": change.kind,
                "key": change.job.key,
                "name": change.job.name,
                "file": change.job.file,
                "line": change.job.line,
                "schedule": change.job.schedule,
                "before": change.before.schedule if change.before else None,
                "what": list(change.what),
                "won": [rfc3339(at.timestamp()) for at in change.won],
                "lost": [rfc3339(at.timestamp()) for at in change.lost],
            }
            for change in changes
        ],
        "kept": list(loaded.kept),
        "problems": [formatting.problem_json(one) for one in errors],
    }


# edit


def edit(wanted: argparse.Namespace) -> int:
    """Have a copy edited until it has no errors, show what changes, put it in place, reload."""
    settings = configured(wanted)
    file = os.path.realpath(wanted.file)  # of a link, what it leads to
    before = _content(file)
    draft = _draft(file, before)
    while True:
        _run_editor(draft)
        text = _content(draft)
        if text == before:
            os.unlink(draft)
            print("nothing was changed")
            return 0
        errors = _errors(text or b"", wanted.file)
        if not errors:
            break
        print_problems(errors, sys.stderr)
        if not _asks_again():
            raise PycrondError(f"{wanted.file} is as it was, it has errors; the draft is {draft}")
    if _content(file) != before:
        raise PycrondError(f"{wanted.file} was changed by somebody else meanwhile; the draft is {draft}")
    _install(draft, file)
    return _reload(settings, wanted.file)


def _content(file: str) -> bytes | None:
    """None where there is no such file."""
    try:
        with open(file, "rb") as opened:
            return opened.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise PycrondError(f"cannot read {file}: {error.strerror}") from error


def _draft(file: str, text: bytes | None) -> str:
    """A copy beside the file, so that it can be renamed into place; its name is one that no crontab has."""
    try:
        descriptor, path = tempfile.mkstemp(prefix=f".{os.path.basename(file)}.", dir=os.path.dirname(file))
    except OSError as error:
        raise PycrondError(f"cannot write beside {file}: {error.strerror}") from error
    with open(descriptor, "wb") as opened:
        opened.write(text or b"")
    return path


def _run_editor(draft: str) -> None:
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    try:
        done = subprocess.run([*shlex.split(editor), draft], check=False)
    except (OSError, ValueError) as error:
        os.unlink(draft)
        raise PycrondError(f"cannot run the editor {editor}: {error}") from error
    if done.returncode:
        raise PycrondError(f"the editor {editor} ended with {done.returncode}; the draft is {draft}")


def _errors(text: bytes, file: str) -> list[Problem]:
    parsed = parser.parse(
        text,
        file,
        system=system.has_user_column(file),
        user=users.by_uid(os.geteuid()).name,
        seed=machine.machine_id(),
    )
    return [one for one in parsed.problems if one.severity == "error"]


def _asks_again() -> bool:
    if not sys.stdin.isatty():
        return False
    answer = ""
    while answer not in {"e", "q"}:
        try:
            answer = input("edit again (e) or quit and keep the draft (q)? ").strip().lower()
        except EOFError:
            return False
    return answer == "e"


def _install(draft: str, file: str) -> None:
    """With the owner and mode of the file it replaces; what is in place is always whole."""
    try:
        status = os.stat(file)
    except FileNotFoundError:
        os.chmod(draft, 0o644)
    else:
        with contextlib.suppress(PermissionError):
            os.chown(draft, status.st_uid, status.st_gid)
        os.chmod(draft, status.st_mode & 0o7777)
    descriptor = os.open(draft, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
    os.replace(draft, file)


def _reload(settings: Settings, file: str) -> int:
    with contextlib.suppress(PycrondError):  # no ledger yet: nothing to compare with
        show_changes(settings)
    try:
        answer = reload_and_wait(settings)
    except NotRunningError:
        print(f"{file} is in place; no daemon runs")
        return 0
    print(f"{file} is in place, {answer['jobs']} jobs are loaded")
    return 1 if answer["kept"] else 0
