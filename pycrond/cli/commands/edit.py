"""edit: edit a copy of a crontab, and put it in place once it has no errors."""

import argparse
import contextlib
import os
import shlex
import subprocess
import sys
import time

from pycrond.cli.data.access import reload_and_wait
from pycrond.cli.printing import print_error, print_line, print_problems
from pycrond.cli.reload_preview import print_reload_preview
from pycrond.cli.settings_layers import default_state_dir, load_settings
from pycrond.cli.settings_origin import crontab_paths
from pycrond.crontab import parser as crontab_parser
from pycrond.errors import NotRunningError, Problem, PycrondError, os_reason
from pycrond.host import machine, safe_paths, users
from pycrond.settings import Settings
from pycrond.sources import files, system
from pycrond.text import counted

NEW_FILE_MODE = 0o644
DRAFT_LIFETIME = 30 * 86_400  # seconds


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE|NAME", help="a path, or the name of a crontab")


def run(options: argparse.Namespace) -> int:
    """Edit until there are no errors, show what changes, put the file in place, reload."""
    settings = load_settings(options)
    file = _find(settings, options.file)
    unread = _reason_not_read(settings, file)
    if unread:
        print_error(f"{file}: warning: {unread}")
    before = _content(file)
    draft = _make_draft(settings, file, before)
    try:
        text = _edit(draft, file, before, system.dialect_of(settings))
        if text is None:
            print_line("nothing was changed")
            return 0
        if _content(file) != before:
            raise PycrondError(f"{file} was changed by another program meanwhile; the draft is {draft}")
        _install(text, file, draft)
    finally:
        _remove_unused(draft, before)
    if unread:
        print_line(f"{file} is in place, but not read")
        return 0
    return _reload(settings, file)


def _find(settings: Settings, word: str) -> str:
    """Return the path of a crontab; a name without a directory is looked for where crontabs are read."""
    if "/" in word:
        return word
    places = [*settings.crontabs]
    if settings.system:
        table, *directories = system.system_paths(settings.root)
        places += [*([os.path.dirname(table)] if word == "crontab" else []), *directories]
    paths = [os.path.join(place, word) for place in places]
    present = [path for path in paths if os.path.lexists(path)]
    if not present and os.path.lexists(word):
        return word
    if len(present or paths) != 1:
        kind = f"several crontabs are called '{word}'" if present else f"there is no crontab '{word}'"
        raise PycrondError(f"{kind}: give the path, as in {', '.join(present or paths)}")
    return (present or paths)[0]


def _reason_not_read(settings: Settings, file: str) -> str:
    """Return the reason why neither the daemon nor the next start reads a file; empty if it is read."""
    directory, name = os.path.split(os.path.abspath(file))
    places = [os.path.realpath(path) for path in crontab_paths(settings)]
    directory = os.path.realpath(directory)
    if directory not in places and os.path.join(directory, name) not in places:
        return f"not read by pycrond, whose crontabs are in {', '.join(crontab_paths(settings))}"
    return files.skip_reason(name) if directory in map(os.path.realpath, settings.crontabs) else ""


def _edit(draft: str, file: str, before: bytes | None, dialect: str) -> bytes | None:
    """Return the edited text without errors; None if nothing was changed."""
    while True:
        failure = _run_editor(draft)
        text = _content(draft)
        if text is None or text == (before or b""):
            if failure:
                raise PycrondError(f"nothing was changed: {failure}")
            return None
        if failure:
            raise PycrondError(f"{file} is unchanged, for {failure}; the draft is {draft}")
        if not text.strip():
            advice = "to have no jobs in it, delete it and run pycrond reload"
            raise PycrondError(f"{file} is unchanged, for the edited text is empty; {advice}")
        errors = _errors(text, file, dialect)
        if not errors:
            return text
        print_problems(errors, sys.stderr)
        if not _asks_to_edit_again():
            raise PycrondError(f"{file} is unchanged, for the edit has errors; the draft is {draft}")


def _remove_unused(draft: str, before: bytes | None) -> None:
    """Remove a draft without an edit in it, and all drafts that nobody has come back to for a month."""
    directory, oldest = os.path.dirname(draft), time.time() - DRAFT_LIFETIME
    with contextlib.suppress(OSError, PycrondError):
        text = _content(draft)
        if text is not None and (text == before or not text.strip()):
            os.unlink(draft)
        for name in safe_paths.list_directory(directory):
            path = os.path.join(directory, name)
            if os.lstat(path).st_mtime < oldest:
                os.unlink(path)


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


def _run_editor(draft: str) -> str:
    """Return how the editor failed; empty if it did not. Raises PycrondError if it cannot be run."""
    named = [name for name in ("VISUAL", "EDITOR") if os.environ.get(name, "").strip()]
    editor = os.environ[named[0]] if named else "vi"
    origin = f"the value of {named[0]}" if named else "as neither VISUAL nor EDITOR is set"
    try:
        done = subprocess.run([*shlex.split(editor), draft], check=False)  # noqa: S603 -- its user's choice
    except (OSError, ValueError) as error:
        is_absent = isinstance(error, FileNotFoundError)
        reason = "there is no such program" if is_absent else os_reason(error)
        raise PycrondError(f"cannot run the editor {editor}, {origin}: {reason}") from error
    status = done.returncode
    end = f"with {status}" if status > 0 else f"by signal {-status}"
    return f"the editor {editor} ended {end}" if status else ""


def _errors(text: bytes, file: str, dialect: str) -> list[Problem]:
    parsed = crontab_parser.parse(
        text,
        file,
        system=system.has_user_column(file),
        dialect=dialect,
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
    """Show the changes and have them loaded; 1 if a file has errors."""
    with contextlib.suppress(PycrondError):  # without a ledger there is nothing to compare with
        print_reload_preview(settings)
    try:
        answer = reload_and_wait(settings)
    except NotRunningError:
        print_line(f"{file} is in place; no daemon runs")
        return 0
    verb = "is" if answer["jobs"] == 1 else "are"
    print_line(f"{file} is in place, {counted(answer['jobs'], 'job')} {verb} loaded")
    return 1 if answer["errors"] else 0
