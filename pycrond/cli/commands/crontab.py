"""crontab: install, show, edit or remove a user's crontab, as crontab(1) of Debian and cronie do."""

import argparse
import os
import sys

from pycrond.cli.crontab_access import NO_NEWLINE, CrontabAccess
from pycrond.cli.parser import CommandLineParser
from pycrond.cli.printing import ask, print_error, print_with_carets, write_bytes
from pycrond.cli.settings_layers import load_settings
from pycrond.errors import PycrondError, os_reason
from pycrond.host import safe_paths
from pycrond.sources import files

CONFIRMED = ("y", "Y")
SEE_ALSO = "\nSee crontab(1) for more information"  # the second line of a refusal
BACKUP_MODE = 0o600


def add_arguments(parser: CommandLineParser) -> None:
    parser.usage_status = 1  # as in both crons
    about = "the owner of the crontab; only root can name another user"
    parser.add_argument("-u", dest="user", metavar="USER", help=about)
    for flag, name, about in (
        ("-l", "list", "print the crontab"),
        ("-e", "edit", "edit the crontab; it is put in place only without errors"),
        ("-r", "remove", "remove the crontab"),
        ("-T", "test", "check FILE and put nothing in place"),
        ("-n", "test", "the same as -T"),
    ):
        parser.add_argument(
            flag, dest="operations", action="append_const", const=name, default=[], help=about
        )
    parser.add_argument("-i", dest="ask", action="store_true", help="ask before the crontab is removed")
    parser.add_argument("-b", dest="backup", action="store_false", help="keep no copy of the old crontab")
    parser.add_argument("file", nargs="?", metavar="FILE", help="the new crontab; - is the standard input")


def run(options: argparse.Namespace) -> int:
    """Carry out one operation with the messages of Debian's and cronie's crontab(1); 1 if it fails."""
    try:
        _run(options)
    except PycrondError as error:
        print_error(str(error).removesuffix(SEE_ALSO))
        if str(error).endswith(SEE_ALSO):
            print_error(SEE_ALSO.strip())
        return 1
    return 0


def _run(options: argparse.Namespace) -> None:
    operation = options.operations[0] if options.operations else "replace"
    if len(options.operations) > 1:
        raise PycrondError("crontab: usage error: only one operation permitted")
    if options.file is not None and operation not in {"replace", "test"}:
        raise PycrondError("crontab: usage error: no arguments permitted after this option")
    if options.system is None:
        options.system = True  # users' crontabs belong to the system's daemon
    access = CrontabAccess(load_settings(options), options.user)
    OPERATIONS[operation](access, options)


# Operations


def _list(access: CrontabAccess, _options: argparse.Namespace) -> None:
    text = access.read("list")
    if text is None:
        raise PycrondError(f"no crontab for {access.account.name}")
    write_bytes(text)


def _remove(access: CrontabAccess, options: argparse.Namespace) -> None:
    name = access.account.name
    if options.ask and not _is_confirmed(f"crontab: really delete {name}'s crontab? (y/n) "):
        return
    if options.backup:
        _keep_copy(access.read("list"), options)
    if not access.delete():
        raise PycrondError(f"no crontab for {name}")


def _test(access: CrontabAccess, options: argparse.Namespace) -> None:
    _refuse_errors(access, *_read(access, options.file))
    print_error("The syntax of the crontab file was successfully checked.")


def _replace(access: CrontabAccess, options: argparse.Namespace) -> None:
    text, file = _read(access, options.file)
    _refuse_errors(access, text, file)
    access.replace(text)


def _edit(access: CrontabAccess, options: argparse.Namespace) -> None:
    """Have a copy edited until it has no errors, show the changes of fire times, and install it."""
    from pycrond.cli import drafts

    name = access.account.name
    before = access.read("edit")
    if before is None:
        print_error(f"no crontab for {name} - using an empty one")
    draft = drafts.make_draft(access.state_dir, f"crontab.{name}", before)
    try:
        text = drafts.edit_draft(
            draft, f"the crontab of {name}", before, lambda edited: access.errors(edited, name)
        )
        if text is None:
            print_error("No modification made")
            return
        if access.read("list") != before:
            raise PycrondError(f"the crontab of {name} was changed meanwhile; the draft is {draft}")
        if options.backup:
            _keep_copy(before, options)
        _install(access, text, draft, before or b"")
    finally:
        drafts.remove_unused(draft, before)


def _install(access: CrontabAccess, text: bytes, draft: str, before: bytes) -> None:
    """Install an edited text and remove the draft."""
    try:
        access.replace(text)
    except PycrondError as error:
        raise PycrondError(f"{error}; the edits are left in {draft}") from error
    os.unlink(draft)
    for line in access.changes(before, text):
        print_error(line)
    print_error("crontab: installing new crontab")


OPERATIONS = {"list": _list, "remove": _remove, "edit": _edit, "test": _test, "replace": _replace}

# Parts of several operations


def _read(access: CrontabAccess, file: str | None) -> tuple[bytes, str]:
    """Return a text and its name in messages. Raise PycrondError.

    Without a file, Debian's crontab(1) reads standard input, and cronie's refuses to. On a terminal both are
    refused here, because an end of input by mistake would empty the crontab.
    """
    if file is None and (access.dialect == "cronie" or sys.stdin.isatty()):
        raise PycrondError("crontab: usage error: file name or - (for stdin) must be specified")
    if file in {None, "-"}:
        return sys.stdin.buffer.read(files.MAX_BYTES + 1), "-"
    try:
        with open(str(file), "rb") as stream:
            return stream.read(files.MAX_BYTES + 1), str(file)
    except OSError as error:
        raise PycrondError(f"{file}: {os_reason(error)}") from error


def _refuse_errors(access: CrontabAccess, text: bytes, file: str) -> None:
    """Print all errors of a text; raise PycrondError if there are any."""
    if errors := access.errors(text, file):
        if errors[-1].code == "no-newline":
            raise PycrondError(NO_NEWLINE)
        print_with_carets(errors, text)
        raise PycrondError("errors in crontab file, can't install.")


def _is_confirmed(question: str) -> bool:
    ask(question)
    return sys.stdin.readline().strip() in CONFIRMED


def _keep_copy(text: bytes | None, options: argparse.Namespace) -> None:
    """Save the old crontab as crontab/crontab.bak in the user's cache, where cronie's crontab(1) does."""
    if text is None:
        return
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    name = f"crontab.{options.user}.bak" if options.user else "crontab.bak"
    path = os.path.join(cache, "crontab", name)
    try:
        safe_paths.make_directory(os.path.dirname(path), 0o700)
        safe_paths.write_file(path, text, BACKUP_MODE)
    except PycrondError as error:
        print_error(f"crontab: no copy of the old crontab is kept: {error}")
    except OSError as error:
        print_error(f"crontab: no copy of the old crontab is kept: cannot write {path}: {os_reason(error)}")
