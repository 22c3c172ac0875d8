"""What was found out about daemon, crontabs and machine, and what is said of it."""

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warning", "problem"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line."""

    level: Level
    about: str
    text: str
    do: str = ""


@dataclass(frozen=True, slots=True)
class OtherCron:
    """Another cron that runs, or is set up to."""

    name: str
    folders: tuple[str, ...]
    """What it reads."""
    stop: str
    """How it is stopped."""


@dataclass(frozen=True, slots=True)
class DaemonFacts:
    """Whether ours runs, and what it says of itself."""

    locked: bool
    answers: bool
    left: int = 0
    """Jobs that a stop has left running."""
    pid: int = 0
    version: str = ""
    zone: str = ""
    has_keeper: bool = True
    backlog: int = 0
    stale_pid: int | None = None
    """What stands in a pidfile that no daemon holds."""


@dataclass(frozen=True, slots=True)
class PlaceFacts:
    """The state directory or the runtime directory."""

    path: str
    kind: str
    """Its file system; empty where the directory is not there yet."""
    refusal: str | None = None
    """Why its owner or mode forbids its use."""
    free: int = 1 << 40
    inodes: int | None = None
    """Free ones; None where the file system makes them as needed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineFacts:
    """What was found out."""

    version: str
    daemon: DaemonFacts
    reads: tuple[str, ...]
    """Folders that our crontabs are in."""
    rivals: tuple[OtherCron, ...]
    syslog: str
    syslog_trouble: str
    """Why nothing reaches it; empty if all is well."""
    log_stderr: bool
    zone: str
    zone_known: bool
    timezone_file: str
    """What /etc/timezone says; empty without it."""
    zone_from: str
    """TZ or /etc/localtime."""
    synchronised: bool | None
    """The kernel's own word; None where it says nothing."""
    clock_programs: tuple[str, ...]
    state: PlaceFacts
    runtime: PlaceFacts
    unit: str = ""
    """The service of systemd that the daemon runs in."""
    kill_mode: str = ""
    mailer: str
    has_mailer: bool
    mailed: tuple[str, ...] = ()
    """Jobs with a MAILTO."""
    kept: tuple[str, ...] = ()
    """Files that keep their last good version."""
    broken: tuple[str, ...] = ()
    """Errors of crontabs, as they print."""
    jobs: int = 0
    failing: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    ledger: int = 0
    """Bytes."""
