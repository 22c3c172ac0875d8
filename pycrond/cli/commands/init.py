"""init: a first pycrond.toml, with every setting explained, and a first crontab."""

import argparse
import json
import os
import textwrap
from collections.abc import Iterator
from dataclasses import fields

from pycrond.cli.settings_layers import config_dir, default_state_dir, worked_out
from pycrond.errors import PycrondError
from pycrond.settings import Settings, flag

WIDTH = 96
CRONTAB = """\
# A crontab: one job a line. Read by pycrond when it starts and at `pycrond reload`; `pycrond check` says what
# is wrong, `pycrond next` when each job is due. man 5 pycrond.crontab has it all.
#
# minute (0-59)
# |  hour (0-23)
# |  |  day of month (1-31)
# |  |  |  month (1-12 or jan-dec)
# |  |  |  |  day of week (0-7 or sun-sat, Sunday is 0 and 7)
# |  |  |  |  |
# *  *  *  *  *  command

# A job that shows that all is well; remove it when you have seen it in `pycrond history`.
#: name=hello
*/5 * * * *      echo "pycrond runs on $(uname -n)"

# Take the # away from the lines that you want. Options of the next job stand in a #: line, which other
# crons take for a comment.

# Who gets what jobs print by mail; nobody with "".
# MAILTO=you@example.org

# Every night, caught up once if the machine was off, for 12 hours; told if it fails, ended after 2 hours:
# #: name=backup missed=once within=12h timeout=2h on-failure="logger backup failed"
# 30 2 * * *     /usr/local/bin/backup /home /srv/backup

# Every minute, never twice at once:
# #: name=queue overlap=skip
# * * * * *      /usr/local/bin/work-through-queue

# Weekdays at 9, in another time zone:
# CRON_TZ=Europe/Berlin
# 0 9 * * mon-fri     /usr/local/bin/report

# Once after each boot:
# @reboot        /usr/local/bin/after-boot
"""


def init(wanted: argparse.Namespace) -> int:
    """Write both where neither is; say what to do next."""
    own = os.path.abspath(config_dir())
    folder = os.path.abspath(wanted.directory or own)
    elsewhere = folder != own
    files = {
        os.path.join(folder, "pycrond.toml"): "".join(_toml(with_crontabs=elsewhere)),
        os.path.join(folder, "crontabs", "first"): CRONTAB,
    }
    there = [path for path in files if os.path.lexists(path)]
    if there:
        raise PycrondError(f"{' and '.join(there)} {'are' if len(there) > 1 else 'is'} there already")
    for path, text in files.items():
        _write(path, text)
        print(f"wrote {path}")
    option = f" --config {os.path.join(folder, 'pycrond.toml')}" if elsewhere else ""
    print(f"next: edit them; pycrond check{option}; pycrond start{option}; pycrond list")
    return 0


def _write(path: str, text: str) -> None:
    try:
        os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
        # Not over a file that came meanwhile, nor through a link; for nobody else to write.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
        with open(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(descriptor, 0o644)
            file.write(text)
    except OSError as error:
        raise PycrondError(f"cannot write {path}: {error.strerror}") from error


def _toml(*, with_crontabs: bool) -> Iterator[str]:
    """A comment and a line a setting; `with_crontabs`: those beside the file are used."""
    default: dict[str, object] = {one.name: one.default for one in fields(Settings)}
    default |= {"crontabs": ["crontabs"], **worked_out(default_state_dir())}
    yield from _comment(
        "Settings of pycrond. Each is also a flag (--state-dir) and a variable (PYCROND_STATE_DIR), which go"
        " before this file. What is commented out is the default. Paths are relative to this file's folder."
        " `pycrond config` shows what holds and why; man 8 pycrond, SETTINGS, has more."
    )
    for one in fields(Settings):
        yield "\n"
        yield from _comment(one.metadata["help"])
        used = with_crontabs and one.name == "crontabs"
        yield f"{'' if used else '# '}{flag(one.name)[2:]} = {json.dumps(default[one.name])}\n"


def _comment(text: str) -> list[str]:
    return [f"# {line}\n" for line in textwrap.wrap(text, WIDTH, break_on_hyphens=False)]
