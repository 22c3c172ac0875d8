"""The facts about daemon, crontabs and machine that `doctor` gathers, and the findings drawn from them."""

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warning", "problem"]


@dataclass(frozen=True, slots=True)
class Finding:
    """A line of the output."""

    level: Level
    about: str
    text: str
    remedy: str = ""
    """The commands or changes that help; empty if the level is `ok`."""


@dataclass(frozen=True, slots=True)
class OtherCron:
    """Another cron that runs, or that is configured to run."""

    name: str
    crontabs: tuple[str, ...]
    """The files and directories that it reads."""
    stop: str
    """The command that stops it."""


@dataclass(frozen=True, slots=True)
class DaemonFacts:
    """The state of our daemon."""

    is_locked: bool
    answers: bool
    jobs_left: int = 0
    """Jobs that still run although the daemon was stopped."""
    pid: int = 0
    version: str = ""
    zone: str = ""
    has_keeper: bool = True
    backlog: int = 0
    """Ended runs whose output is not yet sent to syslog."""
    disk: tuple[str, ...] = ()
    """The problems of the disk, and the output that waits for it, as lines."""
    stale_pid: int | None = None
    """The pid in a pidfile that no daemon holds."""


@dataclass(frozen=True, slots=True)
class DirectoryFacts:
    """The state directory or the runtime directory."""

    path: str
    file_system: str
    """Its type, such as `ext4`; empty if unknown."""
    refusal: str | None = None
    """The reason why owner or mode forbid the use of the directory."""
    free_bytes: int = 1 << 40
    free_inodes: int | None = None
    """None if the file system creates inodes on demand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineFacts:
    """All facts about the daemon, its crontabs and the machine."""

    version: str
    """The installed version."""
    daemon: DaemonFacts
    crontabs: tuple[str, ...]
    """The files and directories that pycrond reads."""
    other_crons: tuple[OtherCron, ...]
    syslog: str
    syslog_error: str
    """The reason why no message reaches syslog; empty if messages reach it."""
    log_stderr: bool
    zone: str
    zone_exists: bool
    zone_source: str
    """TZ or /etc/localtime."""
    timezone_file: str
    """The content of /etc/timezone; empty without the file."""
    synchronised: bool | None
    """The state of the kernel's clock; None if it cannot be read."""
    clock_programs: tuple[str, ...]
    state: DirectoryFacts
    runtime: DirectoryFacts
    unit: str = ""
    """The service of systemd that the daemon runs in."""
    kill_mode: str = ""
    crontab_command: str | None = ""
    """The path of crontab(1); None if there is none, empty if none is needed."""
    mailer: str
    has_mailer: bool
    jobs_with_mailto: tuple[str, ...] = ()
    kept_crontabs: tuple[str, ...] = ()
    """Files whose last good version is in force."""
    crontab_errors: tuple[str, ...] = ()
    """Errors of crontabs, as `check` prints them."""
    jobs: int = 0
    failing_jobs: tuple[str, ...] = ()
    gone_and_overdue: tuple[str, ...] = ()
    missed_jobs: tuple[str, ...] = ()
    """Jobs with missed fires since their last runs."""
    never_due_jobs: tuple[str, ...] = ()
    ledger_bytes: int = 0
    idle_crontabs: tuple[str, ...] = ()
    """Crontabs of the system that root's pycrond does not read."""
    exposed_password: str = ""
    """The path of a pycrond.toml in which others can read the password of the cluster's database."""
