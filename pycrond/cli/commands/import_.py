"""import: a report on the machine's present crontabs under pycrond, and copies of them for pycrond."""

import argparse
import os
import pwd
from collections.abc import Iterator, Sequence

from pycrond.cli.importer.importer import CrontabImporter
from pycrond.cli.importer.report import CrontabCopy, report_lines
from pycrond.cli.printing import print_text, write_document
from pycrond.cli.settings_layers import load_settings
from pycrond.errors import PycrondError, os_reason
from pycrond.host import safe_paths
from pycrond.text import printable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    about = "the root directory of the machine whose crontabs are imported"
    parser.add_argument("--root", default="/", metavar="DIR", help=about)
    parser.add_argument("--output", metavar="DIR", help="write crontabs for pycrond there")
    parser.add_argument("--report", metavar="FILE", help="write the report there")


def run(options: argparse.Namespace) -> int:
    """Print the report and with --output write the crontabs; a user other than root imports only its own."""
    root = os.path.abspath(options.root)
    own_only = os.geteuid() != 0 and root == "/"
    importer = CrontabImporter(root, load_settings(options).mailer, own_only=own_only)
    crontabs = importer.crontabs()
    lines = [*report_lines(crontabs, importer.cron)]
    if options.output:
        directory = os.path.abspath(options.output)
        _write_copies(directory, [crontab.copy for crontab in crontabs if crontab.copy])
        lines += ["", *_next_steps(directory, importer.cron, own_only=own_only)]
    text = "\n".join(map(printable, lines))
    if options.report:
        write_document(options.report, f"{text}\n")
    else:
        print_text(text)
    return 0


def _write_copies(directory: str, copies: Sequence[CrontabCopy]) -> None:
    """Write into an empty directory that other users cannot change; root gives each file to its owner."""
    try:
        safe_paths.make_directory(directory, 0o755)
        if safe_paths.list_directory(directory):
            raise PycrondError(f"{directory} is not empty: nothing was written")
        for copy in copies:
            path = os.path.join(directory, copy.path)
            safe_paths.make_directory(os.path.dirname(path), 0o755)
            account = pwd.getpwnam(copy.owner) if os.geteuid() == 0 else None
            owner = (account.pw_uid, account.pw_gid) if account else None
            safe_paths.write_file(path, copy.content, copy.mode, owner=owner, is_new=True)
    except OSError as error:
        raise PycrondError(f"cannot write {error.filename or directory}: {os_reason(error)}") from error


def _next_steps(directory: str, cron: str, *, own_only: bool) -> Iterator[str]:
    yield f"The crontabs are in {directory}. Next:"
    options = f"--crontabs {directory}" if own_only else f"--system --root {directory} --dialect {cron}"
    yield f"  pycrond check {options}"
    if not own_only:
        yield "  systemctl disable --now cron crond anacron.timer    (those that there are)"
    yield f"  pycrond start {options}"
