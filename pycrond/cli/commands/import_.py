"""import: a report on the machine's present crontabs under pycrond, and copies of them for pycrond."""

import argparse
import os
import pwd
from collections.abc import Iterator, Sequence

from pycrond.cli.importer.importer import CrontabImporter
from pycrond.cli.importer.report import CrontabCopy, report_lines
from pycrond.cli.settings_layers import load_settings
from pycrond.errors import PycrondError


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
    text = "\n".join(lines) + "\n"
    if options.report:
        _write_report(options.report, text)
    else:
        print(text, end="")
    return 0


def _write_copies(directory: str, copies: Sequence[CrontabCopy]) -> None:
    """Write into an empty directory; root gives each file to its owner."""
    try:
        os.makedirs(directory, mode=0o755, exist_ok=True)
        if os.listdir(directory):
            raise PycrondError(f"{directory} is not empty: nothing was written")
        for copy in copies:
            path = os.path.join(directory, copy.path)
            os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with open(descriptor, "wb") as file:
                file.write(copy.content)
                if os.geteuid() == 0:
                    account = pwd.getpwnam(copy.owner)
                    os.fchown(descriptor, account.pw_uid, account.pw_gid)
                os.fchmod(descriptor, copy.mode)
    except OSError as error:
        raise PycrondError(f"cannot write {error.filename}: {error.strerror}") from error


def _write_report(file: str, text: str) -> None:
    try:
        with open(file, "w", encoding="utf-8", errors="surrogateescape") as opened:
            opened.write(text)
    except OSError as error:
        raise PycrondError(f"cannot write {file}: {error.strerror}") from error


def _next_steps(directory: str, cron: str, *, own_only: bool) -> Iterator[str]:
    yield f"The crontabs are in {directory}. Next:"
    options = f"--crontabs {directory}" if own_only else f"--system --root {directory} --dialect {cron}"
    yield f"  pycrond check {options}"
    if not own_only:
        yield "  systemctl disable --now cron crond anacron.timer    (those that there are)"
    yield f"  pycrond start {options}"
