"""The table of settings: names, defaults, allowed values."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, NamedTuple

from pycrond.errors import PycrondError

FACILITIES = {
    "auth": 4,
    "authpriv": 10,
    "cron": 9,
    "daemon": 3,
    "ftp": 11,
    "kern": 0,
    "lpr": 6,
    "mail": 2,
    "news": 7,
    "syslog": 5,
    "user": 1,
    "uucp": 8,
    **{f"local{number}": 16 + number for number in range(8)},
}
"""The facilities of syslog, with their numbers in RFC 5424, section 6.2.1."""
JOURNAL_SOCKET = "/run/systemd/journal/socket"  # where it exists, the default of `syslog` is `journal`
TRUE, FALSE = ("1", "yes", "true", "on"), ("0", "no", "false", "off")
NUMBER_DIGITS_MOST = 9
_DIRECTORY = {"metavar": "DIR", "is_path": True, "locates_daemon": True}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The values a daemon is started with. `state_dir` is its identity: one daemon for a state directory.

    A field `state_dir` is `--state-dir` on the command line, `state-dir` in pycrond.toml and
    PYCROND_STATE_DIR in the environment. Fields with a default are optional everywhere. The metadata of a
    field are attributes of its `Setting`.
    """

    crontabs: tuple[str, ...] = field(
        default=(), metadata=_DIRECTORY | {"help": "a directory of crontab files (may be repeated)"}
    )
    state_dir: str = field(metadata=_DIRECTORY | {"help": "where the ledger and the jobs' output are kept"})
    runtime_dir: str = field(
        metadata=_DIRECTORY | {"help": "where sockets and FIFOs are made; best on a tmpfs"}
    )
    pidfile: str = field(
        metadata=_DIRECTORY | {"help": "the file that holds the daemon's pid", "metavar": "FILE"}
    )
    system: bool = field(
        default=False,
        metadata={
            "help": "read /etc/crontab, /etc/cron.d and the users' crontabs, as the system's cron does",
            "locates_daemon": True,
        },
    )
    root: str = field(
        default="/", metadata=_DIRECTORY | {"help": "with --system: the directory that these three lie below"}
    )
    dialect: str = field(
        default="auto",
        metadata={
            "help": "what a line means where Debian cron and cronie differ: debian, cronie, or auto",
            "allowed": ("auto", "debian", "cronie"),
        },
    )
    watch: bool = field(
        default=False, metadata={"help": "look each minute for changed files and read them, as --system does"}
    )
    syslog: str = field(
        default="/dev/log", metadata={"help": "a socket's path, udp://host[:514], tcp://host:port or journal"}
    )
    syslog_format: str = field(
        default="rfc3164", metadata={"help": "rfc3164 or rfc5424", "allowed": ("rfc3164", "rfc5424")}
    )
    syslog_facility: str = field(
        default="cron", metadata={"help": "the facility of every message", "allowed": tuple(FACILITIES)}
    )
    spool_limit: int = field(
        default=4096,
        metadata={
            "help": "most MiB of output on disk: of what syslog has, the oldest is deleted first; 0: no limit"
        },
    )
    keep_days: int = field(
        default=90, metadata={"help": "days after which a run is only counted, without output; 0: no limit"}
    )
    keep_runs: int = field(
        default=10_000,
        metadata={"help": "most runs of a job that are kept, older ones are only counted; 0: no limit"},
    )
    mailer: str = field(
        default="/usr/sbin/sendmail",
        metadata={"help": "what sends mail: a program, smtp://[user@]host[:port] or smtps://…"},
    )
    mailer_password_file: str = field(
        default="",
        metadata={
            "help": "with a user in --mailer: the file whose first line is the password",
            "metavar": "FILE",
        },
    )
    mail_environment: bool = field(
        default=False, metadata={"help": "add the jobs' variables to their mails, as X-Cron-Env"}
    )
    max_running: int = field(
        default=0, metadata={"help": "most jobs that run at once, the others wait; 0: no limit"}
    )
    max_running_user: int = field(
        default=0,
        metadata={"help": "most jobs of a user that run at once; 0: as many as leave room for other users"},
    )
    max_waiting_user: int = field(
        default=1000,
        metadata={
            "help": "most fires of a user that wait for a run to end, the others are skipped; 0: no limit"
        },
    )
    max_catch_ups_user: int = field(
        default=10_000,
        metadata={"help": "most missed fires of a user that are caught up after an absence; 0: no limit"},
    )
    spool_limit_user: int = field(
        default=1024, metadata={"help": "most MiB of a user's output that may wait for syslog; 0: no limit"}
    )
    max_waiting_alarms: int = field(
        default=10_000,
        metadata={
            "help": "most mails, hooks and pings of a user that may wait for their delivery; 0: no limit"
        },
    )
    max_orders: int = field(
        default=100,
        metadata={
            "help": "most orders (run, kill, pause, resume) of a user a minute, root apart; 0: no limit"
        },
    )
    max_crontab_size: int = field(
        default=128, metadata={"help": "with --system: most KiB of a user's crontab; 0: no limit"}
    )
    max_crontab_entries: int = field(
        default=1000,
        metadata={"help": "with --system: most entries, and assignments, of a user's crontab; 0: no limit"},
    )
    pam: str = field(default="auto", metadata={"help": "PAM service of jobs; none; auto: that of cron"})
    inherit_env: bool = field(
        default=False,
        metadata={"help": "give jobs the daemon's own environment too, below what their crontab sets"},
    )
    log_console: bool = field(
        default=False,
        metadata={"help": "write the daemon's messages to the console when syslog cannot be reached"},
    )
    log_stderr: bool = field(
        default=False, metadata={"help": "write every message to standard error as well"}
    )

    @property
    def ledger_path(self) -> str:
        return os.path.join(self.state_dir, "ledger")

    @property
    def spool_dir(self) -> str:
        """The output of the runs."""
        return os.path.join(self.state_dir, "spool")

    @property
    def last_good_dir(self) -> str:
        """The last good version of each crontab."""
        return os.path.join(self.state_dir, "crontabs")

    @property
    def lock_path(self) -> str:
        return os.path.join(self.state_dir, "lock")

    @property
    def checkpoint_path(self) -> str:
        """The minute up to which jobs have run."""
        return os.path.join(self.state_dir, "last-turn")

    @property
    def ends_path(self) -> str:
        """The exit statuses that a keeper wrote down when it ended."""
        return os.path.join(self.state_dir, "ends")

    @property
    def crash_path(self) -> str:
        """The tracebacks of crashes."""
        return os.path.join(self.state_dir, "crash")

    @property
    def journal_path(self) -> str:
        """The starts and ends of runs that the ledger may not have."""
        return os.path.join(self.runtime_dir, "starts")

    @property
    def fifo_dir(self) -> str:
        """A FIFO for each run whose output may still come."""
        return os.path.join(self.runtime_dir, "fifo")

    @property
    def control_socket(self) -> str:
        return os.path.join(self.runtime_dir, "control.sock")

    @property
    def keeper_socket(self) -> str:
        return os.path.join(self.runtime_dir, "keeper.sock")


def recorded_settings_path(state_dir: str) -> str:
    """Return where the settings of the latest daemon are recorded, by which commands find it."""
    return os.path.join(state_dir, "settings")


class Setting(NamedTuple):
    """A row of the table: a field of `Settings` and the names by which users set it."""

    name: str
    default: Any
    """None if it depends on the user."""
    help: str
    metavar: str = "VALUE"
    allowed: tuple[str, ...] = ()
    is_path: bool = False
    """Relative to the working directory, or to the directory of pycrond.toml."""
    locates_daemon: bool = False
    """Accepted by every command; the others only by the commands that start a daemon or read crontabs."""

    @property
    def key(self) -> str:
        """The name in pycrond.toml."""
        return self.name.replace("_", "-")

    @property
    def flag(self) -> str:
        return f"--{self.key}"

    @property
    def variable(self) -> str:
        return f"PYCROND_{self.name.upper()}"


SETTINGS = {
    row.name: Setting(row.name, None if row.default is MISSING else row.default, **row.metadata)
    for row in fields(Settings)
}
"""The table, by the fields' names."""


def settle(layers: Iterable[Mapping[str, object]]) -> Settings:
    """Take each setting from the first layer that has it; raise PycrondError for a value not allowed."""
    merged: dict[str, object] = {}
    for layer in layers:
        for name, value in layer.items():
            merged.setdefault(name, value)
    values: dict[str, Any] = {name: _read(SETTINGS[name], value) for name, value in merged.items()}
    return Settings(**values)


def _read(setting: Setting, value: object) -> object:
    if setting.name == "crontabs":
        return _read_directories(value)
    if isinstance(setting.default, bool):
        return _read_bool(setting, value)
    if isinstance(setting.default, int):
        return _read_number(setting, value)
    if not isinstance(value, str) or (setting.is_path and not value):
        raise PycrondError(f"setting '{setting.key}' must be text, not {value!r}")
    if setting.allowed and value not in setting.allowed:
        raise PycrondError(f"setting '{setting.key}': '{value}' is not one of {', '.join(setting.allowed)}")
    return value


def _read_directories(value: object) -> tuple[str, ...]:
    directories = (value,) if isinstance(value, str) else value
    if (
        isinstance(directories, (list, tuple))
        and (directories or directories == ())
        and all(directory and isinstance(directory, str) for directory in directories)
    ):
        return tuple(directories)
    raise PycrondError("setting 'crontabs' must be a list of directories")


def _read_bool(setting: Setting, value: object) -> bool:
    if isinstance(value, bool):
        return value
    word = str(value).lower()
    if word not in TRUE + FALSE:
        raise PycrondError(f"setting '{setting.key}': '{value}' is neither yes nor no")
    return word in TRUE


def _read_number(setting: Setting, value: object) -> int:
    text = str(value)
    if isinstance(value, bool) or not (text.isascii() and text.isdigit()) or len(text) > NUMBER_DIGITS_MOST:
        raise PycrondError(f"setting '{setting.key}' must be a whole number from 0, not '{value}'")
    return int(text)
