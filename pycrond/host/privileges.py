"""Commands that execute another command as another user: by chroot(8), in 0.6 ms, or by setpriv(1), in 1 ms.

GNU's chroot with `/` only changes the user. The chroot of this machine is tested before it is used.
"""

import os
from collections.abc import Callable, Sequence

from pycrond.jobs.job import Account

TEST_ACCOUNT, TEST_GROUPS = Account("", 65534, 65533, "/"), (65533, 65532)


CHROOT, SETPRIV = "/usr/sbin/chroot", "/usr/bin/setpriv"


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
    """Return `chroot_prefix` if it leaves a program no right of root's and keeps the directory.

    Otherwise `setpriv_prefix`. Only root can test this.
    """
    os.chdir("/proc")
    try:
        status = _output([*chroot_prefix(TEST_ACCOUNT, TEST_GROUPS), "/bin/cat", "self/status"])
    except OSError:
        status = ""
    finally:
        os.chdir("/")
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
    return [CHROOT, f"--userspec=+{account.uid}:+{account.gid}", f"--groups={numbers}", "--skip-chdir", "/"]
