"""The groups of the daemon, and commands that change the directory and then execute another command."""

import contextlib
import os
from collections.abc import Callable

from pycrond.host import users
from pycrond.jobs.job import Account

ENV, SHELL = "/usr/bin/env", "/bin/sh"
CANNOT_ENTER = 125
"""The exit status of a run whose directory cannot be entered: that of env(1) for errors of its own."""


def take_groups(account: Account) -> None:
    """Give this process the groups of its own user, as a login does, where it may: its jobs inherit them."""
    with contextlib.suppress(PermissionError):
        os.setgroups(users.group_ids(account))
        os.setgid(account.gid)


def _output(command: list[str]) -> str:
    """Return the output of a command."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    with open(reader, "rb") as file:
        try:
            actions = [(os.POSIX_SPAWN_DUP2, writer, 1), (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0)]
            pid = os.posix_spawn(command[0], command, {}, file_actions=actions, setsigmask=[])
        finally:
            os.close(writer)
        output = file.read()
    os.waitpid(pid, 0)
    return output.decode("utf-8", "replace")


DirectoryPrefix = Callable[[str], list[str]]
"""Returns the command that executes its arguments in a directory. It runs in the child, so that a dead mount
stops nothing but the job.
"""


def choose_directory_prefix() -> DirectoryPrefix:
    """Return `env_prefix` if the env(1) of this machine can change the directory, else `shell_prefix`."""
    try:
        shown = _output([*env_prefix("/proc"), "/bin/cat", "self/comm"])
    except OSError:
        shown = ""
    return env_prefix if shown == "cat\n" else shell_prefix


def env_prefix(directory: str) -> list[str]:
    """Return a command of env(1) of GNU coreutils 8.28 or later."""
    return [ENV, "-C", directory, "--"]


def shell_prefix(directory: str) -> list[str]:
    """Return a command for env(1) of busybox. It takes 0.3 ms longer, and some shells drop variables whose
    names are no identifiers.
    """
    change = f'cd -- "$0" || exit {CANNOT_ENTER}; unset OLDPWD; exec "$@"'
    return [SHELL, "-c", change, directory]
