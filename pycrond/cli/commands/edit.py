"""edit: edit a copy of a crontab, and put it in place once it has no errors."""

import argparse
import contextlib
import os
import shlex
import subprocess
import sys

from pycrond.cli.data.access import reload_and_wait
from pycrond.cli.printing import print_line, print_problems
from pycrond.cli.reload_preview import print_reload_preview
from pycrond.cli.settings_layers import default_state_dir, load_settings
from pycrond.crontab import parser as crontab_parser
from pycrond.errors import NotRunningError, Problem, PycrondError, os_reason
from pycrond.host import machine, safe_paths, users
from pycrond.settings import Settings
from pycrond.sources import system

NEW_FILE_MODE = 0o644


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE")


def run(options: argparse.Namespace) -> int:
    """Edit until there are no errors, show what changes, put the file in place, reload."""
    settings = load_settings(options)
    before = _content(options.file)
    draft = _make_draft(settings, options.file, before)
    while True:
        _run_editor(draft)
        text = _content(draft)
        if text is None or text == before:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(draft)
            print_line("nothing was changed")
            return 0
        errors = _errors(text, options.file)
        if not errors:
            break
        print_problems(errors, sys.stderr)
        if not _asks_to_edit_again():
            raise PycrondError(f"{options.file} is unchanged, for the edit has errors; the draft is {draft}")
    if _content(options.file) != before:
        raise PycrondError(f"{options.file} was changed by another program meanwhile; the draft is {draft}")
    _install(text, options.file, draft)
    return _reload(settings, options.file)


def _content(file: str) -> bytes | None:
    """Return None if there is no such file; a file that others could replace meanwhile is refused."""
    try:
        return safe_paths.read_file(file)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise PycrondError(f"cannot read {file}: {os_reason(error)}") from error


def _make_draft(settings: Settings, file: str, text: bytes | None) -> str:
    """Copy into a directory of pycrond's own, where only this user can name or replace a file."""
    state_dir = settings.state_dir
    if os.path.exists(state_dir) and os.stat(state_dir).st_uid != os.geteuid():
        state_dir = default_state_dir()
    directory = os.path.join(state_dir, "drafts")
    draft = os.path.join(directory, f"{os.path.basename(file)[:200]}.{os.urandom(4).hex()}")
    try:
        safe_paths.make_directory(state_dir, 0o700)
        safe_paths.make_directory(directory, 0o700)
        safe_paths.write_file(draft, text or b"", 0o600, is_new=True)
    except OSError as error:
        raise PycrondError(f"cannot write a draft in {directory}: {os_reason(error)}") from error
    return draft


def _run_editor(draft: str) -> None:
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    try:
        done = subprocess.run([*shlex.split(editor), draft], check=False)  # noqa: S603 -- its user's choice
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


def _install(text: bytes, file: str, draft: str) -> None:
    """Put the text in place of a file, with its owner and mode, and remove the draft."""
    try:
        with safe_paths.place(file) as entry:
            mode, owner = NEW_FILE_MODE, None
            if entry.status:
                mode = entry.status.st_mode & 0o777
                owner = (entry.status.st_uid, entry.status.st_gid)
            safe_paths.replace(entry, text, mode, owner)
        os.unlink(draft)
    except OSError as error:
        raise PycrondError(f"cannot write {file}: {os_reason(error)}; the draft is {draft}") from error


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
