"""Drafts: copies of crontabs that are edited, and put in place once they have no errors."""

import contextlib
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

from pycrond.cli.printing import print_with_carets
from pycrond.cli.settings_layers import default_state_dir
from pycrond.errors import Problem, PycrondError, os_reason
from pycrond.host import safe_paths

DRAFT_LIFETIME = 30 * 86_400  # seconds


def make_draft(state_dir: str, name: str, text: bytes | None) -> str:
    """Copy a text into pycrond's directory of drafts, where only this user can create or replace files.

    The directory is in the state directory or, if that belongs to another user, in this user's own state
    directory. Raise PycrondError.
    """
    if os.path.exists(state_dir) and os.stat(state_dir).st_uid != os.geteuid():
        state_dir = default_state_dir()
    directory = os.path.join(state_dir, "drafts")
    draft = os.path.join(directory, f"{name[:200]}.{os.urandom(4).hex()}")
    try:
        safe_paths.make_directory(state_dir, 0o700)
        safe_paths.make_directory(directory, 0o700)
        safe_paths.write_file(draft, text or b"", 0o600, is_new=True)
    except OSError as error:
        raise PycrondError(f"cannot write a draft in {directory}: {os_reason(error)}") from error
    return draft


def edit_draft(
    draft: str, name: str, before: bytes | None, errors_of: Callable[[bytes], Sequence[Problem]]
) -> bytes | None:
    """Have a draft edited until it has no errors; return its text, or None if nothing was changed.

    `name` is the crontab's name in messages. Raise PycrondError if the user gives up; the draft stays.
    """
    while True:
        failure = _run_editor(draft)
        text = content(draft)
        if text is None or text == (before or b""):
            if failure:
                raise PycrondError(f"nothing was changed: {failure}")
            return None
        if failure:
            raise PycrondError(f"{name} is unchanged: {failure}; the draft is {draft}")
        errors = errors_of(text)
        if not errors:
            return text
        print_with_carets(errors, text)
        if not _asks_to_edit_again():
            raise PycrondError(f"{name} is unchanged: the edit has errors; the draft is {draft}")


def remove_unused(draft: str, before: bytes | None) -> None:
    """Remove a draft without edits, and all drafts that are older than a month."""
    directory, oldest = os.path.dirname(draft), time.time() - DRAFT_LIFETIME
    with contextlib.suppress(OSError, PycrondError):
        text = content(draft)
        if text is not None and (text == before or not text.strip()):
            os.unlink(draft)
        for name in safe_paths.list_directory(directory):
            path = os.path.join(directory, name)
            if os.lstat(path).st_mtime < oldest:
                os.unlink(path)


def content(file: str) -> bytes | None:
    """Return the content of a file; None without a file. Refuse a file that other users could replace."""
    try:
        return safe_paths.read_file(file)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise PycrondError(f"cannot read {file}: {os_reason(error)}") from error


def _run_editor(draft: str) -> str:
    """Run the editor; return why it failed, or an empty text. Raise PycrondError if it cannot be run."""
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
