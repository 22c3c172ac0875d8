"""setup: place commands, manual pages, completions, a unit file and examples, and remove them again."""

import argparse
import glob
import os
import pwd
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator

from pycrond.cli.printing import print_line
from pycrond.cli.setup import data_files
from pycrond.cli.setup.install import Installation
from pycrond.cli.setup.plan import SetupStep
from pycrond.errors import PycrondError, os_reason
from pycrond.host import safe_paths

PROGRAM_IN_UNITS = "/usr/local/bin/pycrond"
BIN_DIR = "/usr/local/bin"
PACKAGED_PROGRAM = "/usr/bin/pycrond"
UNIT = "pycrond.service"
OTHER_CRONS = ("cron", "crond", "cronie")
"""The names of the services of other crons."""
PLACES = {
    "man/": "man/",
    "examples/": "doc/pycrond/examples/",
    "completions/bash": "bash-completion/completions/pycrond",
    "completions/zsh": "zsh/site-functions/_pycrond",
    "completions/fish": "fish/vendor_completions.d/pycrond.fish",
}
"""The places of data files below the directory `share`, by the beginnings of their names."""
FIRST_USER = 1000  # the smallest uid of a person, by the defaults of adduser and useradd


def add_arguments(parser: argparse.ArgumentParser) -> None:
    scope = parser.add_mutually_exclusive_group(required=True)
    scope.add_argument("--system", action="store_true", help="below /usr/local and /etc/systemd/system")
    scope.add_argument("--user", action="store_true", help="below ~/.local/share and ~/.config/systemd/user")
    act = parser.add_mutually_exclusive_group()
    about = "with --system: disable other crons, enable the service and start it"
    act.add_argument("--start", action="store_true", help=about)
    about = "remove what setup has put there; the service is stopped and disabled before"
    act.add_argument("--undo", action="store_true", help=about)
    parser.add_argument("--dry-run", action="store_true", help="only print what would be done")
    parser.add_argument("--root", default="/", metavar="DIR", help="place all files below this directory")


def run(options: argparse.Namespace) -> int:
    """Carry out and print each action; return 1 if another program's file is in the way."""
    directories = _system_directories() if options.system else _user_directories()
    root = os.path.abspath(options.root)
    installation = Installation(root, os.path.join(directories["share"], "pycrond/setup.json"))
    kind = "system" if options.system else "user"
    if options.start and (kind == "user" or root != "/" or options.dry_run):
        raise PycrondError("--start: only with --system, and without --root and --dry-run")
    files = {} if options.undo else _files(directories, kind)
    if options.undo and installation.is_empty:
        raise PycrondError("nothing was set up here")
    steps = installation.plan(files)
    unit = os.path.join(directories["units"], UNIT)
    if options.undo and not options.dry_run:
        _disable(os.path.join(root, unit.lstrip("/")), kind, is_running=root == "/")
        installation.undo(steps)
    elif not options.dry_run:
        installation.place(steps, files)
    _print_steps(steps, root, dry=options.dry_run)
    is_complete = not any(step.action == "leave" for step in steps)
    if options.start and is_complete:
        return _start_service()
    if not options.undo:
        _print_next_steps(directories, kind)
    return 0 if is_complete else 1


def _start_service() -> int:
    """Have systemd run pycrond in place of another cron; return the exit status."""
    for name in OTHER_CRONS:
        _systemctl("disable", "--now", name, capture_output=True)
    status = _systemctl("daemon-reload") or _systemctl("enable", "--now", UNIT)
    if status == 0:
        print_line("the service runs; pycrond doctor looks for problems")
    return status


def _systemctl(*words: str, capture_output: bool = False) -> int:
    command = ["systemctl", *words]
    try:
        return subprocess.run(command, capture_output=capture_output, check=False).returncode  # noqa: S603
    except OSError as error:
        raise PycrondError(f"cannot run systemctl: {os_reason(error)}") from error


def _disable(unit: str, kind: str, *, is_running: bool) -> None:
    """Stop and disable the service of a unit file, and remove the links by which it was enabled."""
    if is_running and os.path.exists(unit) and shutil.which("systemctl"):
        _systemctl(*(["--user"] if kind == "user" else []), "disable", "--now", UNIT)
    for link in glob.glob(os.path.join(os.path.dirname(unit), "*.wants", UNIT)):
        if os.path.islink(link):
            with safe_paths.place(link, follow=False) as entry:
                os.unlink(entry.name, dir_fd=entry.directory)
            print_line(f"remove {link}")


def _print_steps(steps: list[SetupStep], root: str, *, dry: bool) -> None:
    for step in steps:
        path = os.path.join(root, step.path.lstrip("/"))
        if step.action in {"write", "remove"}:
            print_line(f"{'would ' * dry}{step.action} {path} {step.reason}".rstrip())
        else:
            print_line(f"{path} {step.reason}", sys.stderr if step.action == "leave" else sys.stdout)


def _system_directories() -> dict[str, str]:
    """Return the directories for the system; /usr/local is for files that no package owns."""
    return {"share": "/usr/local/share", "units": "/etc/systemd/system"}


def _user_directories() -> dict[str, str]:
    share = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    configuration = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    return {"share": share, "units": os.path.join(configuration, "systemd/user")}


def _files(directories: dict[str, str], kind: str) -> dict[str, bytes]:
    """Return the content of the files for a system or a user, by path."""
    share, program = directories["share"], _program()
    files = {}
    if kind == "system":
        _check_program(program)
        files = _commands(program)
    for name, content in data_files.files().items():
        for begin, place in PLACES.items():
            if name.startswith(begin):
                files[os.path.join(share, place + name.removeprefix(begin))] = content
        if name == f"systemd/{kind}/{UNIT}":
            files[os.path.join(directories["units"], UNIT)] = _unit(content.decode(), program).encode()
    return files


def _commands(program: str) -> dict[str, bytes]:
    """Return the commands that execute the program, by path, without the path of the program itself."""
    scripts = {
        os.path.join(BIN_DIR, command): f'#!/bin/sh\nexec {shlex.quote(program)}{words} "$@"\n'.encode()
        for command, words in (("pycrond", ""), ("crontab", " crontab"))
    }
    return {path: script for path, script in scripts.items() if path != program}


def _unit(text: str, program: str) -> str:
    """Insert the path of the program, quoted as in systemd.service(5), into a unit file."""
    if not re.fullmatch(r"[\w./+@-]+", program):
        quoted = program.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
        program = f'"{quoted}"'
    return text.replace(PROGRAM_IN_UNITS, program)


def _check_program(program: str) -> None:
    """Raise PycrondError for a program of a package, which has placed all files, or one in a home directory.
    Root's service must not run a program that the user of a home directory could replace.
    """
    if program == PACKAGED_PROGRAM:
        raise PycrondError(f"{program} is part of a package, which has installed all of this")
    homes = {"/home", "/root", *_homes()}
    for path in (program, os.path.realpath(program)):
        if home := next((home for home in homes if path.startswith(f"{home}/")), None):
            remedy = "python3 -m venv /opt/pycrond && /opt/pycrond/bin/pip install pycrond"
            raise PycrondError(
                f"{program} is below the home directory {home}, and root's service would run it:"
                f" install pycrond elsewhere, as in {remedy}"
            )


def _homes() -> Iterator[str]:
    for account in pwd.getpwall():
        home = account.pw_dir.rstrip("/")
        is_person = account.pw_uid >= FIRST_USER and home.count("/") > 1
        if is_person or (account.pw_uid == 0 and home):
            yield home


def _program() -> str:
    """Return the program's path; prefer a link in PATH, because it survives an upgrade."""
    called = os.path.abspath(sys.argv[0])
    if os.path.basename(called) != "pycrond":
        called = os.path.join(os.path.dirname(sys.executable), "pycrond")
    in_path = shutil.which("pycrond")
    return os.path.abspath(in_path) if in_path and os.path.samefile(in_path, called) else called


def _print_next_steps(directories: dict[str, str], kind: str) -> None:
    if not data_files.COMPLETIONS.keys() & data_files.files().keys():
        print_line("no completions: they exist only in a built pycrond, and this is a source tree")
    user = "" if kind == "system" else "--user "
    print_line(f"next: systemctl {user}daemon-reload && systemctl {user}enable --now pycrond")
    if user:
        print_line("      loginctl enable-linger    so that it runs while you are not logged in")
        print_line(
            f"      fpath=({directories['share']}/zsh/site-functions $fpath)    in .zshrc, before compinit"
        )
    else:
        print_line("      or pycrond setup --system --start, which also disables the other cron")
