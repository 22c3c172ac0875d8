"""What a run is started with: its command, environment, folder, standard input, and as whom."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC
from types import MappingProxyType

from pycrond.host.privileges import Become, by_setpriv
from pycrond.host.spawn import Launch, as_bytes
from pycrond.jobs.job import Account
from pycrond.jobs.run import Fire

ENV = "/usr/bin/env"
UNSAFE = re.compile(
    "(?:LD|MALLOC|GLIBC|RES|RESOLV|LC|NSS)_.*|LANG|LANGUAGE|LOC(?:ALDOMAIN|PATH)|(?:GCONV|NIS|NLS)(?:_)?PATH"
    "|GETCONF_DIR|HOSTALIASES|TMPDIR|TZ|TZDIR"
)
"""Variables that can make a program load or write files, those that ld.so(8) takes from setuid programs among
them: a user's own reach only what runs as that user, not chroot or setpriv, which are root when they begin.
"""


def describe(
    fire: Fire,
    run: int,
    account: Account,
    fifo: str,
    search_path: str,
    *,
    groups: Sequence[int] | None = None,
    become: Become = by_setpriv,
    prefix: tuple[str, ...] = (),
    state_dir: str = "",
    inherited: Mapping[str, str] = MappingProxyType({}),
) -> Launch:
    """The command, environment (semantics.md 3) and standard input of a run that prints to `fifo`.

    `groups` are those of another user than the daemon's own, which must then be root; else None. `prefix`
    is a command that executes the one which follows it, under limits; it is run as the daemon's user, before
    that of `become`.
    `state_dir` is the daemon's, `inherited` are variables that the crontab's go before.
    """
    entry = fire.job.entry
    environment = {"SHELL": "/bin/sh", "HOME": account.home, "PATH": search_path, **inherited}
    environment.update(entry.environment)
    environment.update(
        LOGNAME=account.name,
        USER=account.name,
        PYCROND_ATTEMPT=str(fire.attempt),
        **_names(run, fire, state_dir),
    )
    shell = environment["SHELL"] or "/bin/sh"
    command: tuple[str, ...] = (shell, "-c", entry.command)
    folder, stdin = environment["HOME"], as_bytes(entry.stdin)
    if groups is None:
        return Launch((*prefix, *command), environment, folder, stdin, fifo)
    unsafe = {name: environment.pop(name) for name in list(environment) if UNSAFE.fullmatch(name)}
    if unsafe:
        command = (ENV, "--", *(f"{name}={value}" for name, value in unsafe.items()), *command)
    command = (*prefix, *become(account, groups), *command)
    return Launch(command, environment, folder, stdin, fifo, account, tuple(groups))


def _names(run: int, fire: Fire, state_dir: str) -> dict[str, str]:
    """What tells a run's processes from all others, other daemons' too; and a job finds its daemon by it."""
    at = fire.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    names = {"PYCROND_JOB": fire.job.key, "PYCROND_RUN": str(run), "PYCROND_FIRE_TIME": at}
    return {**names, "PYCROND_STATE_DIR": state_dir} if state_dir else names


def marks(run: int, fire: Fire, state_dir: str) -> list[bytes]:
    """What stands in the environment of every process of a run, unless one has emptied it."""
    return [as_bytes(f"{name}={value}") for name, value in _names(run, fire, state_dir).items()]
