"""The command of a run: its arguments, environment, directory, standard input and user."""

import os
import re
import socket
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType

from pycrond import clock
from pycrond.errors import UnknownUserError
from pycrond.host import spawn
from pycrond.host.cgroup import Limits
from pycrond.host.mounts import MountTable
from pycrond.host.names import NAMES, User
from pycrond.host.spawn import NO_LIMITS, Launch, as_bytes
from pycrond.host.spawner import SPAWNER
from pycrond.jobs.job import SEARCH_PATHS, Account, Job
from pycrond.jobs.options import Options
from pycrond.jobs.run import Fire
from pycrond.settings import Settings

_NOT_INHERITED = re.compile(
    "PG(?:PASSWORD|SSLPASSWORD)"
    "|(?:LD|PYCROND|LISTEN|WATCHDOG|SYSTEMD)_.*|NOTIFY_SOCKET|INVOCATION_ID|JOURNAL_STREAM|M(?:AIN|ANAGER)PID"
    "|MALLOC_MMAP_THRESHOLD_|SHELL|HOME|LOGNAME|USER|MAIL|MAILTO|MAILFROM|PWD|OLDPWD|SHLVL|_|(?![A-Za-z_]).*"
)
"""Variables of the daemon that make programs load files, are for the daemon alone, or belong to the user who
started it."""


class CommandBuilder:
    """Builds commands that run as a job's user, under one daemon's settings."""

    def __init__(self, settings: Settings, account: Account, dialect: str) -> None:
        """`account` is the daemon's own; `dialect` is `debian` or `cronie`."""
        self.account = account
        self.accounts: Mapping[str, Account] = {account.name: account}
        """The accounts of the users that have jobs, by name; replaced at each reload."""
        self.waited_for: frozenset[str] = frozenset()
        """Users that have jobs and are being looked up for the first time; replaced at each reload."""
        self.search_path = SEARCH_PATHS[dialect]
        self._state_dir = settings.state_dir
        self._mounts = MountTable()
        is_debians = settings.system and dialect == "debian"
        self._fallback = os.path.join(settings.root, "var/spool/cron") if is_debians else ""
        """The directory of Debian's cron, in which a job runs that cannot enter its HOME."""
        self._has_pam = bool(SPAWNER.pam_service)
        self._own = User(account, groups=tuple(os.getgroups()))
        self._inherited = inherited(os.environ, is_enabled=settings.inherit_env)

    def is_own(self, account: Account) -> bool:
        return account == self.account

    def is_settled(self, user: str) -> bool:
        """Look up a user for a start; return False while the start has to wait for the answer."""
        return user == self.account.name or (user not in self.waited_for and NAMES.is_settled(user))

    def usable_user(self, name: str, uid: int | None, now: datetime) -> User:
        """Return the user for a job, hook, ping or mail that starts now; see `Names.usable_user`.

        The daemon's own user is always usable.
        """
        if name == self.account.name and uid in {None, self.account.uid}:
            return self._own
        return NAMES.usable_user(name, uid, now)

    def user_of(self, job: Job, now: datetime) -> User:
        """Return the user of a job, which must have the uid that it had when the job was loaded."""
        return self._user_named(job.user, now)

    def _user_named(self, name: str, now: datetime) -> User:
        account = self.accounts.get(name)
        if account is None:  # a crontab is read only when its user is known
            reason = f"there was no user '{name}' when the crontabs were loaded"
            raise UnknownUserError(reason if NAMES.user(name) else NAMES.unknown_reason(name))
        return self.usable_user(name, account.uid, now)

    def start_writer(self, user: str, path: bytes, umask: str) -> socket.socket:
        """Start a process that appends to a file as a user; see `spawn.start_writer`."""
        return spawn.start_writer(self._user_named(user, clock.now()), path, umask)

    def build(
        self,
        fire: Fire,
        run: int,
        fifo: str,
        user: User,
        *,
        limits: Limits = NO_LIMITS,
        prefix: tuple[str, ...] = (),
    ) -> Launch:
        """Return the command of a run that runs as `user` and prints to `fifo`.

        `prefix` is a command that executes its arguments, as the same user.
        """
        launch = describe(
            fire,
            run,
            user.account,
            fifo,
            self.search_path,
            prefix=prefix,
            state_dir=self._state_dir,
            inherited=self._inherited,
        )
        options = fire.job.entry.options
        if not self._needs_spawner(launch, options, limits, user.account):
            return launch._replace(fallback=self._fallback)
        launch = launch._replace(owner=user.account, groups=user.groups, limits=limits)
        return _with_files(launch, options, self._fallback)

    def _needs_spawner(self, launch: Launch, options: Options, limits: Limits, account: Account) -> bool:
        """Return whether the spawner has to start a run. The daemon itself starts a run of its own user that
        needs only a directory, which takes 0.7 ms less.
        """
        if self._has_pam or options.needs_spawner or limits != NO_LIMITS or not self.is_own(account):
            return True
        shell = os.path.join(launch.directory, launch.arguments[0])
        return any(self._mounts.may_block(as_bytes(path)) for path in (launch.directory, shell))


def describe(
    fire: Fire,
    run: int,
    account: Account,
    fifo: str,
    search_path: str,
    *,
    prefix: tuple[str, ...] = (),
    state_dir: str = "",
    inherited: Mapping[str, str] = MappingProxyType({}),
) -> Launch:
    """Return the command, environment (semantics.md 3) and standard input of a run that prints to `fifo`.

    `prefix` is a command that executes its arguments. `state_dir` is the daemon's; variables of the crontab
    take precedence over `inherited` ones.
    """
    entry = fire.job.entry
    environment = {"SHELL": "/bin/sh", "HOME": account.home, "PATH": search_path, **inherited}
    environment.update(entry.environment)
    environment.update(LOGNAME=account.name, USER=account.name, PYCROND_ATTEMPT=str(fire.attempt))
    environment.update(_identity(run, fire, state_dir))
    command = (*prefix, environment["SHELL"] or "/bin/sh", "-c", entry.command)
    directory = environment["HOME"] and os.path.join("/", environment["HOME"])
    return Launch(command, environment, directory, as_bytes(entry.stdin), fifo)


def _with_files(launch: Launch, options: Options, fallback: str) -> Launch:
    """Return the command of an owner with the files and the umask of its job's options. `fallback` replaces a
    HOME that cannot be entered.
    """
    home = launch.directory
    return launch._replace(
        directory=_in_home(options.dir, home) or home,
        fallback="" if options.dir else fallback,
        umask=options.umask or "",
        variables=_in_home(options.env_file, home),
        output=_in_home(options.output, home),
    )


def _in_home(path: str | None, home: str) -> str:
    """Return the absolute path for a path that may begin with `~/` or be relative to HOME. A leading `-` is
    kept. None becomes an empty path.
    """
    if not path:
        return ""
    mark = "-" if path.startswith("-") else ""
    relative = path.removeprefix("-")
    return mark + os.path.join("/", home, "" if relative == "~" else relative.removeprefix("~/"))


def _identity(run: int, fire: Fire, state_dir: str) -> dict[str, str]:
    """Return the variables that distinguish a run's processes from all others, also those of other daemons.
    With them, a job finds its daemon.
    """
    at = fire.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    names = {"PYCROND_JOB": fire.job.key, "PYCROND_RUN": str(run), "PYCROND_FIRE_TIME": at}
    return {**names, "PYCROND_STATE_DIR": state_dir} if state_dir else names


def marks(run: int, fire: Fire, state_dir: str) -> list[bytes]:
    """Return the assignments in the environment of a run's processes, unless a process has removed them."""
    return [as_bytes(f"{name}={value}") for name, value in _identity(run, fire, state_dir).items()]


def inherited(environ: Mapping[str, str], *, is_enabled: bool) -> dict[str, str]:
    """Return the daemon's variables that every job inherits (`inherit-env`); none unless `is_enabled`."""
    return {name: text for name, text in environ.items() if is_enabled and not _NOT_INHERITED.fullmatch(name)}
