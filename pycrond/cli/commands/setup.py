"""setup: manual pages, completions, a unit file and examples put into place, and taken away again."""

import argparse
import os
import re
import shutil
import sys

from pycrond.cli.setup import data_files
from pycrond.cli.setup.install import Installation
from pycrond.cli.setup.plan import SetupStep
from pycrond.errors import PycrondError

PROGRAM_IN_UNITS = "/usr/local/bin/pycrond"


def setup(wanted: argparse.Namespace) -> int:
    """Say each thing that is done; 1 if a file stood in the way."""
    places = _system_places() if wanted.system else _user_places()
    root = os.path.abspath(wanted.root)
    installation = Installation(root, os.path.join(places["share"], "pycrond/setup.json"))
    if wanted.undo:
        return _undo(installation, root, dry=wanted.dry_run)
    kind = "system" if wanted.system else "user"
    files = _files(places, kind)
    steps = installation.plan(files)
    if not wanted.dry_run:
        installation.place(steps, files)
    _tell(steps, root, dry=wanted.dry_run)
    _say_what_is_next(places, kind)
    return 1 if any(step.action == "leave" for step in steps) else 0


def _undo(installation: Installation, root: str, *, dry: bool) -> int:
    if installation.is_empty:
        raise PycrondError("nothing was set up here")
    steps = installation.plan_undo()
    if not dry:
        installation.undo(steps)
    _tell(steps, root, dry=dry)
    return 1 if any(step.action == "leave" for step in steps) else 0


def _tell(steps: list[SetupStep], root: str, *, dry: bool) -> None:
    for step in steps:
        path = os.path.join(root, step.path.lstrip("/"))
        if step.action in {"write", "remove"}:
            print(f"{'would ' * dry}{step.action} {path} {step.reason}".rstrip())
        else:
            print(f"{path} {step.reason}", file=sys.stderr if step.action == "leave" else sys.stdout)


def _system_places() -> dict[str, str]:
    """What is not the distribution's own lies below /usr/local."""
    return {"share": "/usr/local/share", "units": "/etc/systemd/system"}


def _user_places() -> dict[str, str]:
    share = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    configuration = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    return {"share": share, "units": os.path.join(configuration, "systemd/user")}


def _files(places: dict[str, str], kind: str) -> dict[str, bytes]:
    """By their paths, those that belong to a system or to a user."""
    share, found = places["share"], {}
    completions = {
        "completions/bash": "bash-completion/completions/pycrond",
        "completions/zsh": "zsh/site-functions/_pycrond",
        "completions/fish": "fish/vendor_completions.d/pycrond.fish",
    }
    for name, content in data_files.files().items():
        if name.startswith("man/"):
            found[os.path.join(share, name)] = content
        elif name in completions:
            found[os.path.join(share, completions[name])] = content
        elif name.startswith("examples/"):
            found[os.path.join(share, "doc/pycrond", name)] = content
        elif name == f"systemd/{kind}/pycrond.service":
            found[os.path.join(places["units"], "pycrond.service")] = _unit(content.decode()).encode()
    return found


def _unit(text: str) -> str:
    """With the path of this program, as systemd.service(5) quotes it."""
    program = _program()
    if not re.fullmatch(r"[\w./+@-]+", program):
        quoted = program.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
        program = f'"{quoted}"'
    return text.replace(PROGRAM_IN_UNITS, program)


def _program() -> str:
    """The name by which it is found, where that is this very one: it outlives an upgrade."""
    called = os.path.abspath(sys.argv[0])
    if os.path.basename(called) != "pycrond":
        called = os.path.join(os.path.dirname(sys.executable), "pycrond")
    known = shutil.which("pycrond")
    return os.path.abspath(known) if known and os.path.samefile(known, called) else called


def _say_what_is_next(places: dict[str, str], kind: str) -> None:
    if not data_files.COMPLETIONS.keys() & data_files.files().keys():
        print("no completions: they are made when pycrond is built, and this one runs from its source tree")
    user = "" if kind == "system" else "--user "
    print(f"next: systemctl {user}daemon-reload && systemctl {user}enable --now pycrond")
    if user:
        print("      loginctl enable-linger    so that it runs while you are not logged in")
        print(f"      fpath=({places['share']}/zsh/site-functions $fpath)    in .zshrc, before compinit")
    else:
        print("      pycrond doctor    says whether another cron runs the same crontabs")
