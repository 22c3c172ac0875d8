"""How programs are started as another user: by chroot(8), in 0.6 ms, or by setpriv(1), in 1 ms.

Of GNU's chroot it is known that with `/` it changes no root, only the user; whether the one of this machine
does all that is wanted is tried out.
"""

import os
from collections.abc import Callable, Sequence

from pycrond.jobs.job import Account

STRANGER, GROUPS = Account("", 65534, 65533, "/"), (65533, 65532)


CHROOT, SETPRIV = "/usr/sbin/chroot", "/usr/bin/setpriv"


UserPrefix = Callable[[Account, Sequence[int]], list[str]]
"""The command that executes the one which follows it as that user, with these groups and no way back: the
daemon never changes a uid of its own but the effective one, or that user's processes could signal it.
"""


WANTED = {
    "Uid": ["65534"] * 4,
    "Gid": ["65533"] * 4,
    "Groups": ["65532", "65533"],
    **{name: ["0" * 16] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")},
}
"""What proc(5) must say of a program that was started as that user."""


def choose_user_prefix() -> UserPrefix:
    """By chroot where that leaves a program nothing of root's, and in its folder; else by setpriv. Only root
    can try it out.
    """
    os.chdir("/proc")
    try:
        status = _printed([*chroot_prefix(STRANGER, GROUPS), "/bin/cat", "self/status"])
    except OSError:
        status = ""
    finally:
        os.chdir("/")
    said = {name: values.split() for name, _, values in (line.partition(":") for line in status.splitlines())}
    return chroot_prefix if {name: said.get(name) for name in WANTED} == WANTED else setpriv_prefix


def _printed(command: list[str]) -> str:
    """What a program prints until its end."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    with open(reader, "rb") as file:
        try:
            actions = [(os.POSIX_SPAWN_DUP2, writer, 1), (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0)]
            pid = os.posix_spawn(command[0], command, {}, file_actions=actions, setsigmask=[])
        finally:
            os.close(writer)
        printed = file.read()
    os.waitpid(pid, 0)
    return printed.decode("utf-8", "replace")


def setpriv_prefix(account: Account, _groups: Sequence[int]) -> list[str]:
    """It looks the groups up itself."""
    ids = [f"--reuid={account.uid}", f"--regid={account.gid}", "--init-groups"]
    return [SETPRIV, *ids, "--inh-caps=-all", "--"]


def chroot_prefix(account: Account, groups: Sequence[int]) -> list[str]:
    """The root stays the same. `+` says that what follows is no name."""
    numbers = ",".join(f"+{group}" for group in groups)
    return [CHROOT, f"--userspec=+{account.uid}:+{account.gid}", f"--groups={numbers}", "--skip-chdir", "/"]
