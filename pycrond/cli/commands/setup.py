"""setup: place manual pages, completions, a unit file and examples, and remove them again."""

import argparse
import os
import re
import shutil
import sys

from pycrond.cli.printing import print_line
from pycrond.cli.setup import data_files
from pycrond.cli.setup.install import Installation
from pycrond.cli.setup.plan import SetupStep
from pycrond.errors import PycrondError

PROGRAM_IN_UNITS = "/usr/local/bin/pycrond"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    scope = parser.add_mutually_exclusive_group(required=True)
    scope.add_argument("--system", action="store_true", help="below /usr/local and /etc/systemd/system")
    scope.add_argument("--user", action="store_true", help="below ~/.local/share and ~/.config/systemd/user")
    parser.add_argument("--undo", action="store_true", help="remove what setup has put there")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be done")
    parser.add_argument("--root", default="/", metavar="DIR", help="the directory below which all of it lies")


def run(options: argparse.Namespace) -> int:
    """Print each action; 1 if a file of others is in the way."""
    directories = _system_directories() if options.system else _user_directories()
    root = os.path.abspath(options.root)
    installation = Installation(root, os.path.join(directories["share"], "pycrond/setup.json"))
    kind = "system" if options.system else "user"
    files = {} if options.undo else _files(directories, kind)
    if options.undo and installation.is_empty:
        raise PycrondError("nothing was set up here")
    steps = installation.plan_undo() if options.undo else installation.plan(files)
    if options.undo and not options.dry_run:
        installation.undo(steps)
    elif not options.dry_run:
        installation.place(steps, files)
    _print_steps(steps, root, dry=options.dry_run)
    if not options.undo:
        _print_next_steps(directories, kind)
    return 1 if any(step.action == "leave" for step in steps) else 0


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
    share, files = directories["share"], {}
    completions = {
        "completions/bash": "bash-completion/completions/pycrond",
        "completions/zsh": "zsh/site-functions/_pycrond",
        "completions/fish": "fish/vendor_completions.d/pycrond.fish",
    }
    for name, content in data_files.files().items():
        if name.startswith("man/"):
            files[os.path.join(share, name)] = content
        elif name in completions:
            files[os.path.join(share, completions[name])] = content
        elif name.startswith("examples/"):
            files[os.path.join(share, "doc/pycrond", name)] = content
        elif name == f"systemd/{kind}/pycrond.service":
            files[os.path.join(directories["units"], "pycrond.service")] = _unit(content.decode()).encode()
    return files


def _unit(text: str) -> str:
    """Insert the path of this program, quoted as in systemd.service(5), into a unit file."""
    program = _program()
    if not re.fullmatch(r"[\w./+@-]+", program):
        quoted = program.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
        program = f'"{quoted}"'
    return text.replace(PROGRAM_IN_UNITS, program)


def _program() -> str:
    """Return the program's path; a link in PATH is preferred because it survives an upgrade."""
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
        print_line("      pycrond doctor    says whether another cron runs the same crontabs")
