"""edit: edit a copy of a crontab, and put it in place once it has no errors."""

import argparse
import contextlib
import os

from pycrond.cli.crontab_input import parse_crontab
from pycrond.cli.data.access import reload_and_wait
from pycrond.cli.drafts import content, edit_draft, make_draft, remove_unused
from pycrond.cli.printing import print_error, print_line
from pycrond.cli.reload_preview import print_reload_preview
from pycrond.cli.settings_layers import load_settings
from pycrond.cli.settings_origin import crontab_paths
from pycrond.errors import NotRunningError, Problem, PycrondError, os_reason
from pycrond.host import safe_paths
from pycrond.settings import Settings
from pycrond.sources import file_rules, system
from pycrond.sources.limits import NO_LIMITS
from pycrond.text import counted

NEW_FILE_MODE = 0o644


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE|NAME", help="a path, or the name of a crontab")


def run(options: argparse.Namespace) -> int:
    """Edit until there are no errors, put the file in place, show the changes, and reload."""
    settings = load_settings(options)
    file = _find_crontab(settings, options.file)
    unread = _reason_not_read(settings, file)
    if unread:
        print_error(f"{file}: warning: {unread}")
    before = content(file)
    draft = make_draft(settings.state_dir, os.path.basename(file), before)
    try:
        text = edit_draft(draft, file, before, lambda text: _errors(text, file, settings))
        if text is None:
            print_line("nothing was changed")
            return 0
        if content(file) != before:
            raise PycrondError(f"{file} was changed by another program meanwhile; the draft is {draft}")
        _install(text, file, draft)
    finally:
        remove_unused(draft, before)
    if unread:
        print_line(f"{file} is in place, but not read")
        return 0
    return _reload(settings, file)


def _find_crontab(settings: Settings, word: str) -> str:
    """Return the path of a crontab; a name without a slash is searched in the directories of crontabs."""
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
    return file_rules.skip_reason(name) if directory in map(os.path.realpath, settings.crontabs) else ""


def _errors(text: bytes, file: str, settings: Settings) -> list[Problem]:
    if not text.strip():
        advice = "to remove its jobs, delete the file and run pycrond reload"
        raise PycrondError(f"{file} is unchanged: the edited text is empty; {advice}")
    if message := NO_LIMITS.size_problem(text):
        return [Problem(file, 0, 0, "error", "beyond-limit", message)]
    problems = parse_crontab(text, file, settings).problems
    return [problem for problem in problems if problem.severity == "error"]


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
    """Show the changes and have the daemon load them; return 1 if a file has errors."""
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
