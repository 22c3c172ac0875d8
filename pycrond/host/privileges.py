"""Commands that execute another command: as another user by chroot(8), in 0.6 ms, or by setpriv(1), in 1 ms;
then by env(1) with an environment and in a directory.

GNU's chroot with `/` only changes the user. The programs of this machine are tested before they are used.
"""

import contextlib
import os
from collections.abc import Callable, Iterable, Sequence

from pycrond.host import users
from pycrond.jobs.job import Account

TEST_ACCOUNT, TEST_GROUPS = Account("", 65534, 65533, "/"), (65533, 65532)


CHROOT, SETPRIV = "/usr/sbin/chroot", "/usr/bin/setpriv"
ENV, SHELL = "/usr/bin/env", "/bin/sh"
CANNOT_ENTER = 125
"""The exit status of a run whose directory cannot be entered: that of env(1) for errors of its own."""


def take_groups(account: Account) -> None:
    """Give this process the groups of its own user, as a login does, where it may: its jobs inherit them."""
    with contextlib.suppress(PermissionError):
        os.setgroups(users.group_ids(account))
        os.setgid(account.gid)


UserPrefix = Callable[[Account, Sequence[int]], list[str]]
"""Returns the command that executes its arguments as a user with these groups, without a way back. The daemon
changes only its effective uid: with another real or saved uid, that user's processes could signal it.
"""


EXPECTED_STATUS = {
    "Uid": ["65534"] * 4,
    "Gid": ["65533"] * 4,
    "Groups": ["65532", "65533"],
    **{name: ["0" * 16] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")},
}
"""Lines of /proc/self/status of a program that runs as the test account."""


def choose_user_prefix() -> UserPrefix:
    """Return `chroot_prefix` if it leaves a program no right of root's, else `setpriv_prefix`.

    Only root can test this.
    """
    try:
        status = _output([*chroot_prefix(TEST_ACCOUNT, TEST_GROUPS), "/bin/cat", "/proc/self/status"])
    except OSError:
        status = ""
    values = {name: value.split() for name, _, value in (line.partition(":") for line in status.splitlines())}
    passed = {name: values.get(name) for name in EXPECTED_STATUS} == EXPECTED_STATUS
    return chroot_prefix if passed else setpriv_prefix


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


def setpriv_prefix(account: Account, _groups: Sequence[int]) -> list[str]:
    """Return a setpriv(1) command, which looks up the groups itself."""
    ids = [f"--reuid={account.uid}", f"--regid={account.gid}", "--init-groups"]
    return [SETPRIV, *ids, "--inh-caps=-all", "--"]


def chroot_prefix(account: Account, groups: Sequence[int]) -> list[str]:
    """Return a chroot(8) command that keeps the root directory. `+` marks a number, not a name."""
    numbers = ",".join(f"+{group}" for group in groups)
    return [CHROOT, f"--userspec=+{account.uid}:+{account.gid}", f"--groups={numbers}", "/"]


DirectoryPrefix = Callable[[str, Iterable[str] | None], list[str]]
"""Returns the command that executes its arguments in a directory and, if any are given, with these variables
alone (`NAME=value`). It runs as the job's user, so that a dead mount stops nothing but the job.
"""


def choose_directory_prefix() -> DirectoryPrefix:
    """Return `env_prefix` if the env(1) of this machine can change the directory, else `shell_prefix`."""
    try:
        shown = _output([*env_prefix("/proc", ["PYCROND=1"]), "/bin/cat", "self/environ"])
    except OSError:
        shown = ""
    return env_prefix if shown == "PYCROND=1\0" else shell_prefix


def env_prefix(directory: str, variables: Iterable[str] | None) -> list[str]:
    """Return a command of env(1) of GNU coreutils 8.28 or later."""
    own = [] if variables is None else ["-i"]
    return [ENV, *own, "-C", directory, "--", *(variables or ())]


def shell_prefix(directory: str, variables: Iterable[str] | None) -> list[str]:
    """Return a command that takes 0.3 ms longer, for env(1) of busybox."""
    change = f'cd -- "$0" || exit {CANNOT_ENTER}; unset OLDPWD; exec "$@"'
    own = [] if variables is None else [ENV, "-i", "--", *variables]
    return [SHELL, "-c", change, directory, *own]
