"""edit: edit a copy of a crontab, and put it in place once it has no errors."""

import argparse
import contextlib
import os
import shlex
import subprocess
import sys
import tempfile

from pycrond.cli.data.access import reload_and_wait
from pycrond.cli.printing import print_line, print_problems
from pycrond.cli.reload_preview import print_reload_preview
from pycrond.cli.settings_layers import load_settings
from pycrond.crontab import parser as crontab_parser
from pycrond.errors import NotRunningError, Problem, PycrondError
from pycrond.host import machine, users
from pycrond.settings import Settings
from pycrond.sources import system

NEW_FILE_MODE = 0o644


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE")


def run(options: argparse.Namespace) -> int:
    """Edit until there are no errors, show what changes, put the file in place, reload."""
    settings = load_settings(options)
    file = os.path.realpath(options.file)  # a link stays, its target is replaced
    before = _content(file)
    draft = _make_draft(file, before)
    while True:
        _run_editor(draft)
        text = _content(draft)
        if text == before:
            os.unlink(draft)
            print_line("nothing was changed")
            return 0
        errors = _errors(text or b"", options.file)
        if not errors:
            break
        print_problems(errors, sys.stderr)
        if not _asks_to_edit_again():
            raise PycrondError(f"{options.file} is unchanged, for the edit has errors; the draft is {draft}")
    if _content(file) != before:
        raise PycrondError(f"{options.file} was changed by another program meanwhile; the draft is {draft}")
    _install(draft, file)
    return _reload(settings, options.file)


def _content(file: str) -> bytes | None:
    """Return None if there is no such file."""
    try:
        with open(file, "rb") as stream:
            return stream.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise PycrondError(f"cannot read {file}: {error.strerror}") from error


def _make_draft(file: str, text: bytes | None) -> str:
    """Copy beside the file, so that the copy can be renamed to it; its name is not one of a crontab."""
    try:
        descriptor, path = tempfile.mkstemp(prefix=f".{os.path.basename(file)}.", dir=os.path.dirname(file))
    except OSError as error:
        raise PycrondError(f"cannot write beside {file}: {error.strerror}") from error
    with open(descriptor, "wb") as stream:
        stream.write(text or b"")
    return path


def _run_editor(draft: str) -> None:
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    try:
        done = subprocess.run([*shlex.split(editor), draft], check=False)
    except (OSError, ValueError) as error:
        os.unlink(draft)
        raise PycrondError(f"cannot run the editor {editor}: {error}; set VISUAL or EDITOR") from error
    if done.returncode:
        raise PycrondError(f"the editor {editor} ended with {done.returncode}; the draft is {draft}")


def _errors(text: bytes, file: str) -> list[Problem]:
    parsed = crontab_parser.parse(
        text,
        file,
        system=system.has_user_column(file),
        user=users.by_uid(os.geteuid()).name,
        seed=machine.machine_id(),
    )
    return [problem for problem in parsed.problems if problem.severity == "error"]


def _asks_to_edit_again() -> bool:
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
    """Rename the draft to the file, with its owner and mode; readers see the old or the new file, whole."""
    try:
        status = os.stat(file)
    except FileNotFoundError:
        os.chmod(draft, NEW_FILE_MODE)
    else:
        with contextlib.suppress(PermissionError):
            os.chown(draft, status.st_uid, status.st_gid)
        os.chmod(draft, status.st_mode & 0o7777)
    descriptor = os.open(draft, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
    os.replace(draft, file)


def _reload(settings: Settings, file: str) -> int:
    """Show the changes and have them loaded; 1 if a file has kept its old version."""
    with contextlib.suppress(PycrondError):  # without a ledger there is nothing to compare with
        print_reload_preview(settings)
    try:
        answer = reload_and_wait(settings)
    except NotRunningError:
        print_line(f"{file} is in place; no daemon runs")
        return 0
    print_line(f"{file} is in place, {answer['jobs']} jobs are loaded")
    return 1 if answer["kept"] else 0
