"""init: write a first pycrond.toml, with every setting explained, and a first crontab."""

import argparse
import json
import os
import textwrap

from pycrond.cli.printing import print_line
from pycrond.cli.settings_layers import config_dir, default_state_dir, user_defaults
from pycrond.errors import PycrondError, os_reason
from pycrond.host import safe_paths
from pycrond.settings import SETTINGS

COMMENT_WIDTH = 96  # characters
CRONTAB = """\
# A crontab: one job a line. pycrond reads it when it starts and at `pycrond reload`. `pycrond check` lists
# its errors, `pycrond next` the fire times of each job. Manual page: man 5 pycrond.crontab.
#
# minute (0-59)
# |  hour (0-23)
# |  |  day of month (1-31)
# |  |  |  month (1-12 or jan-dec)
# |  |  |  |  day of week (0-7 or sun-sat, Sunday is 0 and 7)
# |  |  |  |  |
# *  *  *  *  *  command

# A job that shows that pycrond works; remove it when you have seen it in `pycrond history`.
#: name=hello
*/5 * * * *      echo "pycrond runs on $(uname -n)"

# To use one of the lines below, remove its #. Options of the next job stand in a #: line, which other crons
# read as a comment.

# The address that receives the output of jobs by mail; "" for no mail.
# MAILTO=you@example.org

# Every night; started late if the machine was off, by up to 12 hours; reported if it fails, ended after 2 h:
# #: name=backup missed=once within=12h timeout=2h on-failure="logger backup failed"
# 30 2 * * *     /usr/local/bin/backup /home /srv/backup

# Every minute, but not while the previous run still runs:
# #: name=queue overlap=skip
# * * * * *      /usr/local/bin/work-through-queue

# Weekdays at 9, in another time zone:
# CRON_TZ=Europe/Berlin
# 0 9 * * mon-fri     /usr/local/bin/report

# Once after each boot:
# @reboot        /usr/local/bin/after-boot
"""
TOML_HEADER = (
    "Settings of pycrond. Each is also a flag (--state-dir) and a variable (PYCROND_STATE_DIR), which precede"
    " this file. A line that is commented out shows the default. Paths are relative to this file's directory."
    " `pycrond config` shows the settings in force and their origin; man 8 pycrond, SETTINGS, has more."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    about = "write the files there, instead of to /etc/pycrond or ~/.config/pycrond"
    parser.add_argument("--directory", metavar="DIR", help=about)


def run(options: argparse.Namespace) -> int:
    """Write both files unless one exists, and name the next commands."""
    default = os.path.abspath(config_dir())
    directory = os.path.abspath(options.directory or default)
    is_elsewhere = directory != default
    config = os.path.join(directory, "pycrond.toml")
    files = {
        config: toml_text(uses_crontabs=is_elsewhere),
        os.path.join(directory, "crontabs", "first"): CRONTAB,
    }
    existing = [path for path in files if os.path.lexists(path)]
    if existing:
        raise PycrondError(f"{' and '.join(existing)} {'exist' if len(existing) > 1 else 'exists'} already")
    for path, text in files.items():
        _write(path, text)
        print_line(f"wrote {path}")
    option = f" --config {config}" if is_elsewhere else ""
    print_line(f"next: edit them; pycrond check{option}; pycrond start{option}; pycrond list")
    return 0


def _write(path: str, text: str) -> None:
    try:
        safe_paths.make_directory(os.path.dirname(path), 0o755)
        safe_paths.write_file(path, text.encode("utf-8", "surrogateescape"), 0o644, is_new=True)
    except OSError as error:
        raise PycrondError(f"cannot write {path}: {os_reason(error)}") from error


def toml_text(*, uses_crontabs: bool = False, of_root: bool | None = None) -> str:
    """Return a first pycrond.toml. `uses_crontabs`: set `crontabs` to the directory beside the file.
    `of_root`: use the defaults of root, of any other user if False, of this user if None.
    """
    state_dir = default_state_dir(of_root=of_root)
    defaults = {"crontabs": ["crontabs"], **user_defaults(state_dir, of_root=of_root)}
    text = _comment(TOML_HEADER)
    for setting in SETTINGS.values():
        is_set = uses_crontabs and setting.name == "crontabs"
        value = json.dumps(defaults.get(setting.name, setting.default))
        text += f"\n{_comment(setting.help)}{'' if is_set else '# '}{setting.key} = {value}\n"
    return text


def _comment(text: str) -> str:
    return "".join(f"# {line}\n" for line in textwrap.wrap(text, COMMENT_WIDTH, break_on_hyphens=False))
